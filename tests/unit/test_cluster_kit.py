"""Several nodes in one test: what one does the others know, whatever breaks between them."""

from typing import Any

import pytest

from relay import UsageError
from relay.facts import BrokerLost, BrokerRestored, MemberAdded, MemberRemoved
from relay.testing import AssertingChannel, Kit, Nodes, Weather, cluster

pytestmark = pytest.mark.every_loop
ROOM = "presence-room"


async def come(kit: Kit, user: str) -> AssertingChannel:
    """The room, as a client is in it that just came."""
    client = await kit.connect()
    return await client.subscribe(ROOM, user_id=user)


def members(room: AssertingChannel) -> set[str]:
    return {member.id for member in room.members}


async def hearing(kit: Kit) -> tuple[AssertingChannel, list[Any]]:
    """A channel, and the data of all it gets from now on."""
    client = await kit.connect()
    channel = await client.subscribe("orders")
    seen: list[Any] = []
    channel.bind("paid", lambda event: seen.append(event.data))
    return channel, seen


def edges(nodes: Nodes, kind: type[MemberAdded] | type[MemberRemoved]) -> list[str]:
    """Whom the facts of all nodes call added, or removed."""
    return sorted(fact.user_id for kit in nodes for fact in kit.facts if isinstance(fact, kind))


async def test_what_one_node_publishes_reaches_the_clients_of_all():
    async with cluster(nodes=3) as nodes:
        clients = [await kit.connect() for kit in nodes]
        cause, *others = [await client.subscribe("orders") for client in clients]
        receipt = await nodes[2].hub.trigger("orders", "paid", {"id": 7}, socket_id=clients[0].socket_id)
        assert (receipt.delivered, receipt.remote) == (1, "sent")
        for other in others:
            assert (await other.expect("paid")).data == {"id": 7}
        await cause.expect_nothing()
        assert nodes.check() == []


async def test_a_user_with_tabs_on_two_nodes_is_one_member():
    async with cluster() as nodes:
        ada = await come(nodes[0], "ada")
        tab = await come(nodes[1], "ada")
        bob = await come(nodes[1], "bob")
        assert members(bob) == {"ada", "bob"}
        await ada.unsubscribe()
        await nodes.settle()
        assert members(bob) == {"ada", "bob"}
        await tab.unsubscribe()
        await nodes.settle()
        assert members(bob) == {"bob"}
        assert (edges(nodes, MemberAdded), edges(nodes, MemberRemoved)) == (["ada", "bob"], ["ada"])
        assert nodes.check() == []


async def test_members_of_a_dead_node_leave_once_when_its_lease_is_over():
    async with cluster(nodes=3) as nodes:
        await come(nodes[0], "ada")
        watchers = [await come(kit, name) for kit, name in zip(list(nodes)[1:], ("bob", "eve"), strict=True)]
        nodes.kill(0)
        await nodes.settle()
        assert all(members(watcher) == {"ada", "bob", "eve"} for watcher in watchers)
        await nodes.advance(14)
        assert all(members(watcher) == {"bob", "eve"} for watcher in watchers)
        removed = [fact for kit in list(nodes)[1:] for fact in kit.facts if isinstance(fact, MemberRemoved)]
        assert [fact.user_id for fact in removed] == ["ada"]
        assert nodes.check() == []


async def test_a_node_that_was_parted_serves_its_own_and_is_right_again_when_it_is_back():
    async with cluster() as nodes:
        ada, bob = await come(nodes[0], "ada"), await come(nodes[1], "bob")
        nodes.part(1)
        receipt = await nodes[1].hub.trigger(ROOM, "paid", "")
        assert (receipt.delivered, receipt.remote) == (1, "unavailable")
        await bob.expect("paid")
        assert not nodes[1].hub.readiness().ready
        await come(nodes[1], "eve")
        await ada.unsubscribe()
        await nodes.heal(1)
        await nodes.advance(20)
        assert nodes[1].hub.readiness().ready
        assert members(bob) == {"bob", "eve"}
        assert nodes.check() == []
        assert [type(fact) for fact in nodes[1].facts if isinstance(fact, BrokerLost | BrokerRestored)] == [
            BrokerLost,
            BrokerRestored,
        ]


async def test_a_node_that_was_away_longer_than_its_lease_does_not_bring_back_who_left():
    async with cluster() as nodes:
        ada, bob = await come(nodes[0], "ada"), await come(nodes[1], "bob")
        nodes.part(1)
        await nodes.advance(30)
        assert members(ada) == {"ada"}
        await nodes.heal(1)
        await nodes.advance(20)
        assert members(ada) == members(bob) == {"ada", "bob"}
        await bob.unsubscribe()
        await nodes.settle()
        assert members(ada) == {"ada"}
        assert nodes.check() == []


async def test_envelopes_of_different_nodes_overtake_each_other_and_those_of_one_do_not():
    async with cluster(nodes=3, seed=4, weather=Weather(delay=(0.01, 0.5))) as nodes:
        channel, seen = await hearing(nodes[0])
        sent = []
        for number in range(10):
            for publisher in (1, 2):
                sent.append([publisher, number])
                await nodes[publisher].hub.trigger("orders", "paid", sent[-1])
        await channel.expect_nothing()
        await nodes.advance(5)
        assert sorted(seen) == sorted(sent)
        assert seen != sent
        for publisher in (1, 2):
            assert [number for who, number in seen if who == publisher] == list(range(10))


async def test_loss_is_counted_and_the_same_for_the_same_seed():
    async def lost(seed: int) -> int:
        async with cluster(seed=seed, weather=Weather(loss=0.5)) as nodes:
            _, seen = await hearing(nodes[0])
            for _ in range(100):
                await nodes[1].hub.trigger("orders", "paid", "")
            await nodes.settle()
            assert len(seen) + nodes.lost == 100
            return nodes.lost

    assert 20 < await lost(1) < 80
    assert await lost(1) == await lost(1) != await lost(2)


async def test_a_node_that_does_not_read_catches_up():
    async with cluster() as nodes:
        channel, seen = await hearing(nodes[0])
        nodes.hold(0)
        await nodes[1].hub.trigger("orders", "paid", 1)
        await channel.expect_nothing()
        await nodes.release(0)
        await channel.expect("paid")
        assert seen == [1]


async def test_a_node_may_come_later():
    async with cluster(nodes=1) as nodes:
        ada = await come(nodes[0], "ada")
        bob = await come(await nodes.add(), "bob")
        assert members(ada) == members(bob) == {"ada", "bob"}
        assert len(nodes) == 2


@pytest.mark.parametrize(
    ("weather", "told"),
    [
        ({"delay": (1, 0)}, r"delay is a range of seconds such as \(0.0, 0.05\), got \(1, 0\)"),
        ({"delay": (-1, 0)}, "delay is a range of seconds"),
        ({"loss": 2}, "loss is a probability from 0 to 1, got 2"),
        ({"beat": 20}, "beat must be above 0 and under lease, got beat 20 and lease 10"),
    ],
)
def test_weather_that_cannot_be_is_refused(weather, told):
    with pytest.raises(UsageError, match=told):
        Weather(**weather)


async def test_a_dead_node_stays_dead_and_a_cluster_has_a_node():
    async with cluster() as nodes:
        nodes.kill(1)
        with pytest.raises(UsageError, match="node 1 is dead"):
            await nodes.heal(1)
    with pytest.raises(UsageError, match="at least one node, got nodes=0"):
        async with cluster(nodes=0):
            pass
