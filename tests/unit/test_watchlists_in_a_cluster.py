"""Watchlists when nodes die, part and come back: in the end everybody knows who is online."""

import msgspec
import pytest

from relay.client import WatchlistEvent
from relay.facts import UserOffline, UserOnline
from relay.testing.asserting import AssertingClient
from relay.testing.engine import Weather
from relay.testing.kit import DEFAULT_APP
from relay.testing.nodes import Nodes, cluster

pytestmark = pytest.mark.every_loop

THE_APP = msgspec.structs.replace(DEFAULT_APP, watchlists=True, offline_grace=2.0, activity_timeout=3600)
WEATHER = Weather(lease=10.0, beat=3.0)


async def come(nodes: Nodes, number: int, user: str, *watchlist: str) -> tuple[AssertingClient, list[WatchlistEvent]]:
    """A client on that node, signed in, and what its watchlist says."""
    client = await nodes[number].connect()
    heard: list[WatchlistEvent] = []
    for status in ("online", "offline"):
        client.user.watchlist.bind(status, heard.append)
    await client.signin(user, watchlist=watchlist)
    await nodes.settle()
    return client, heard


async def test_users_come_and_go_for_watchers_on_every_node():
    async with cluster(THE_APP, nodes=3, weather=WEATHER) as nodes:
        _, near = await come(nodes, 0, "bob", "ada")
        _, far = await come(nodes, 1, "eve", "ada")
        ada, _ = await come(nodes, 2, "ada")
        await ada.close()
        await nodes.advance(2)
        expected = [WatchlistEvent(name, ("ada",)) for name in ("offline", "online", "offline")]
        assert (near, far, nodes.check()) == (expected, expected, [])


async def test_a_user_who_comes_back_on_another_node_within_the_grace_never_left():
    async with cluster(THE_APP, nodes=3, weather=WEATHER) as nodes:
        _, heard = await come(nodes, 0, "bob", "ada")
        ada, _ = await come(nodes, 1, "ada")
        await ada.close()
        await nodes.advance(1.9)
        await come(nodes, 2, "ada")
        await nodes.advance(10)
        assert [event.name for event in heard] == ["offline", "online"]
        edges = [fact for node in nodes for fact in node.facts if isinstance(fact, UserOnline | UserOffline)]
        assert [type(fact) for fact in edges if fact.user_id == "ada"] == [UserOnline]


async def test_users_of_a_node_that_died_are_offline_when_its_lease_is_over():
    async with cluster(THE_APP, nodes=2, weather=WEATHER) as nodes:
        _, heard = await come(nodes, 0, "bob", "ada")
        await come(nodes, 1, "ada")
        nodes.kill(1)
        await nodes.advance(20)
        assert [event.name for event in heard] == ["offline", "online", "offline"]
        gone = [fact.user_id for fact in nodes[0].facts if isinstance(fact, UserOffline)]
        assert gone == ["ada"]


async def test_terminating_a_user_on_one_node_closes_it_on_all():
    async with cluster(THE_APP, nodes=2, weather=WEATHER) as nodes:
        (near, _), (far, _), (other, _) = [
            await come(nodes, n, user) for n, user in ((0, "ada"), (1, "ada"), (1, "bob"))
        ]
        assert await nodes[0].hub.terminate_user_connections("ada") == 1
        await nodes.settle()
        await near.expect_closed(4009)
        await far.expect_closed(4009)
        assert other.closed is None


async def test_what_a_parted_node_missed_it_asks_for_when_it_is_back():
    async with cluster(THE_APP, nodes=2, weather=WEATHER) as nodes:
        _, heard = await come(nodes, 0, "bob", "ada", "joe")
        ada, _ = await come(nodes, 1, "ada")
        nodes.part(0)
        await ada.close()
        await come(nodes, 1, "joe")
        await nodes.advance(5)
        assert heard[2:] == []
        await nodes.heal(0)
        await nodes.advance(15)
        missed = {(event.name, event.user_ids) for event in heard[2:]}
        assert (missed, len(heard)) == ({("online", ("joe",)), ("offline", ("ada",))}, 4)


async def test_what_a_parted_node_could_not_tell_is_made_up_for_when_it_is_back():
    async with cluster(THE_APP, nodes=2, weather=WEATHER) as nodes:
        _, heard = await come(nodes, 0, "bob", "ada", "joe")
        ada, _ = await come(nodes, 1, "ada")
        nodes.part(1)
        await ada.close()
        await come(nodes, 1, "joe")
        await nodes.advance(20)
        await nodes.heal(1)
        await nodes.advance(30)
        watched = {user: event.name for event in heard for user in event.user_ids}
        assert watched == {"ada": "offline", "joe": "online"}


async def test_a_node_that_closes_sends_its_users_elsewhere_without_noise():
    async with cluster(THE_APP, nodes=2, weather=WEATHER) as nodes:
        _, heard = await come(nodes, 0, "bob", "ada", "joe")
        await come(nodes, 1, "ada")
        await come(nodes, 1, "joe")
        nodes[1].hub.close()
        await nodes.settle()
        await come(nodes, 0, "ada")
        await nodes.advance(1.9)
        assert [event.name for event in heard] == ["offline", "online", "online"]
        await nodes.advance(0.1)
        assert [(event.name, event.user_ids) for event in heard[3:]] == [("offline", ("joe",))]


async def test_what_a_closed_node_said_does_not_concern_one_who_asked_since():
    async with cluster(THE_APP, nodes=2, weather=WEATHER) as nodes:
        bob, _ = await come(nodes, 0, "bob", "ada")
        await come(nodes, 1, "ada")
        nodes[1].hub.close()
        await nodes.settle()
        await bob.close()
        await come(nodes, 0, "ada")
        _, heard = await come(nodes, 0, "eve", "ada")
        await nodes.advance(10)
        assert heard == [WatchlistEvent("online", ("ada",))]
