"""A client that follows the users on its watchlist (protocol 4.5)."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from relay.client import ServerError, WatchlistEvent
from relay.client.backoff import Backoff
from relay.client.subscriber import Subscriber
from relay.client.user import WatchlistEvents
from relay.testing import Kit
from relay.testing.kit import DEFAULT_APP

pytestmark = pytest.mark.every_loop


@pytest.fixture
def relay() -> Iterator[Kit]:
    kit = Kit(msgspec.structs.replace(DEFAULT_APP, watchlists=True))
    yield kit
    kit.close()


async def test_who_is_online_is_told_after_the_sign_in_and_on_every_change(relay):
    bob, ada = await relay.connect(), await relay.connect()
    await bob.signin("bob", watchlist=["ada", "eve"])
    watchlist = bob.user.watchlist
    assert (bob.user.id, watchlist.online, watchlist.offline) == ("bob", frozenset(), {"ada", "eve"})
    await ada.signin("ada")
    await relay.settle()
    assert (watchlist.online, watchlist.offline) == ({"ada"}, {"eve"})
    await ada.close()
    await relay.clock.advance(2)
    assert (watchlist.online, watchlist.offline) == (frozenset(), {"ada", "eve"})


async def test_callbacks_are_called_until_they_are_taken_back(relay):
    bob, ada = await relay.connect(), await relay.connect()
    heard: list[WatchlistEvent] = []
    unbind = bob.user.watchlist.bind("online", heard.append)
    bob.user.watchlist.bind("offline", heard.append)
    await bob.signin("bob", watchlist=["ada"])
    await ada.signin("ada")
    await relay.settle()
    assert heard == [WatchlistEvent("offline", ("ada",)), WatchlistEvent("online", ("ada",))]
    unbind()
    unbind()
    await ada.close()
    await relay.clock.advance(2)
    await (await relay.connect()).signin("ada")
    await relay.settle()
    assert heard[2:] == [WatchlistEvent("offline", ("ada",))]


async def test_after_a_reconnect_all_of_it_is_told_anew(relay):
    bob = await relay.connect(reconnect=Backoff(first=1, most=1))
    await bob.signin("bob", watchlist=["ada"])
    heard: list[WatchlistEvent] = []
    bob.user.watchlist.bind("online", heard.append)
    relay.lose_node()
    await relay.settle()
    assert (bob.user.id, bob.user.watchlist.offline) == (None, frozenset())
    relay.restore_node()
    await (await relay.connect()).signin("ada")
    await relay.clock.advance(2)
    assert (bob.user.id, bob.user.watchlist.online, heard) == ("bob", {"ada"}, [WatchlistEvent("online", ("ada",))])


async def test_a_watchlist_that_is_too_long_is_an_error_and_no_refusal(relay):
    bob = await relay.connect()
    errors: list[ServerError] = []
    bob.connection.bind("error", errors.append)
    await bob.signin("bob", watchlist=[f"u{number}" for number in range(101)])
    await relay.settle()
    assert [error.code for error in errors] == [4302]
    assert len(bob.user.watchlist.offline) == 100


@pytest.mark.parametrize(
    "data", [None, "x", 7, [], {"events": 1}, {"events": [{"name": "away", "user_ids": []}]}, {"events": [{}]}]
)
async def test_events_of_another_form_say_nothing(data):
    happening, _ = Subscriber().receive(json.dumps({"event": "pusher_internal:watchlist_events", "data": data}))
    assert happening == WatchlistEvents()
