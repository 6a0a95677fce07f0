"""What the page "What happens when" says and no other test proved."""

from __future__ import annotations

from typing import Any

import pytest

from relay.cluster.directory import Retention
from relay.cluster.local import LocalDirectory
from relay.facts import BrokerLost, BrokerRestored, Disconnected, Draining, MemberAdded, MemberRemoved
from relay.prometheus import HubCollector
from relay.testing import AssertingChannel, Kit, Nodes, Weather, cluster
from tests.unit.client import arrive

pytestmark = pytest.mark.every_loop
ROOM = "presence-room"


async def come(kit: Kit, user: str) -> AssertingChannel:
    client = await kit.connect()
    return await client.subscribe(ROOM, user_id=user)


def members(room: AssertingChannel) -> set[str]:
    return {member.id for member in room.members}


async def hearing(kit: Kit, channel: str = "orders") -> list[Any]:
    """The data of all that a client of this node gets from now on."""
    seen: list[Any] = []
    (await (await kit.connect()).subscribe(channel)).bind("paid", lambda event: seen.append(event.data))
    return seen


def edges(nodes: Nodes, user: str) -> list[str]:
    """What all nodes said of a user, by their facts."""
    return [
        type(fact).__name__
        for kit in nodes
        for fact in kit.facts
        if isinstance(fact, MemberAdded | MemberRemoved) and fact.user_id == user
    ]


def ready(kit: Kit) -> float:
    """The metric, as a scrape reads it."""
    families = {family.name: family for family in HubCollector(kit.hub).collect()}
    return families["relay_ready"].samples[0].value


async def test_a_client_that_vanishes_is_a_member_on_all_nodes_until_it_has_not_answered_a_ping():
    async with cluster() as nodes:
        room = await come(nodes[1], "bob")
        vanished = await arrive(nodes[0].hub)
        await vanished.subscribe(ROOM, "ada")
        await nodes.settle()
        app = vanished.app
        await nodes.advance(app.activity_timeout + app.pong_timeout - 1)
        assert members(room) == {"ada", "bob"}
        await nodes.advance(2)
        assert members(room) == {"bob"}
        assert (vanished.close_code, edges(nodes, "ada")) == (4201, ["MemberAdded", "MemberRemoved"])
        assert [fact.code for fact in nodes[0].facts if isinstance(fact, Disconnected)] == [4201]


async def test_of_what_a_publisher_sent_before_its_node_died_all_get_the_beginning_in_order_and_nothing_twice():
    async with cluster(nodes=3, seed=2, weather=Weather(delay=(0.1, 0.4))) as nodes:
        heard = [await hearing(nodes[0]), await hearing(nodes[1])]
        for number in range(5):
            await nodes[2].hub.trigger("orders", "paid", number)
        nodes.kill(2)
        await nodes.advance(30)
        for seen in heard:
            assert seen == list(range(len(seen)))
        await nodes[0].hub.trigger("orders", "paid", "after")
        await nodes.advance(1)
        assert [seen[-1] for seen in heard] == ["after", "after"]
        assert nodes.check() == []


async def test_what_others_publish_while_a_node_is_parted_is_lost_to_its_clients_counted_and_never_late():
    async with cluster() as nodes:
        seen = await hearing(nodes[1])
        nodes.part(1)
        for number in range(3):
            await nodes[0].hub.trigger("orders", "paid", number)
        await nodes.heal(1)
        await nodes.advance(30)
        assert (seen, nodes.lost) == ([], 3)
        await nodes[0].hub.trigger("orders", "paid", "again")
        await nodes.settle()
        assert seen == ["again"]


async def test_a_parted_node_says_so_in_its_readiness_its_metric_and_its_facts():
    async with cluster() as nodes:
        assert (ready(nodes[1]), nodes[1].hub.readiness().broker) == (1, "proven")
        nodes.part(1)
        assert (ready(nodes[1]), nodes[1].hub.readiness().broker) == (0, "lost")
        assert ready(nodes[0]) == 1
        await nodes.heal(1)
        assert (ready(nodes[1]), nodes[1].hub.readiness().broker) == (1, "proven")
        told = [type(fact) for fact in nodes[1].facts if isinstance(fact, BrokerLost | BrokerRestored)]
        assert told == [BrokerLost, BrokerRestored]


async def test_clients_of_a_node_that_drains_are_members_again_where_they_come_back_and_each_edge_is_told_once():
    async with cluster() as nodes:
        watcher, leaving = await come(nodes[1], "bob"), await arrive(nodes[0].hub)
        await leaving.subscribe(ROOM, "ada")
        await nodes.settle()
        await nodes[0].hub.drain(0)
        assert (leaving.close_code, ready(nodes[0]), ready(nodes[1])) == (4200, 0, 1)
        assert [fact.connections for fact in nodes[0].facts if isinstance(fact, Draining)] == [1]
        leaving.disconnect()
        await nodes.settle()
        assert members(watcher) == {"bob"}
        await come(nodes[1], "ada")
        assert members(watcher) == {"ada", "bob"}
        assert edges(nodes, "ada").count("MemberAdded") == 2
        assert edges(nodes, "ada").count("MemberRemoved") == 1
        assert nodes.check() == []


@pytest.mark.parametrize(("ahead", "there"), [(-30, True), (0, True), (59, True), (61, False)])
async def test_a_last_event_is_held_for_longer_or_shorter_by_as_much_as_clocks_differ(ahead, there):
    directory, published = LocalDirectory(), 1_760_000_000.0
    kept = Retention(ttl=60, max_channels=10, max_bytes=1000)
    step = await directory.remember("1", "cache-news", b"old", now=published, retention=kept)
    found = await directory.recall("1", "cache-news", now=published + ahead)
    assert (found is not None) == there
    assert await directory.remember("1", "cache-news", b"new", now=published + ahead, retention=kept) > step
