"""Watchlists as an application's client sees them, in the process of the hub and on sockets."""

import anyio
import msgspec
import pytest

from relay.client import WatchlistEvent
from tests.integration.worlds import APP, WORLDS

pytestmark = pytest.mark.anyio

THE_APP = msgspec.structs.replace(APP, watchlists=True, offline_grace=0.0)


@pytest.mark.parametrize("world", WORLDS)
async def test_a_client_is_told_when_those_on_its_watchlist_come_and_go(world):
    async with WORLDS[world](THE_APP) as site:
        bob, ada = await site.client(), await site.client()
        send, heard = anyio.create_memory_object_stream[WatchlistEvent](10)
        with send, heard, anyio.fail_after(10):
            for status in ("online", "offline"):
                bob.user.watchlist.bind(status, send.send_nowait)
            await bob.signin("bob", watchlist=["ada"])
            assert await heard.receive() == WatchlistEvent("offline", ("ada",))
            await ada.signin("ada")
            assert await heard.receive() == WatchlistEvent("online", ("ada",))
            assert await site.hub.terminate_user_connections("ada") == 1
            assert await heard.receive() == WatchlistEvent("offline", ("ada",))
        assert bob.user.watchlist.offline == {"ada"}
