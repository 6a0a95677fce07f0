"""Clients and callers that ask for without end what costs the server something: it stays bounded, and neighbours get
what is theirs.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from relay import App, Hub
from relay.client import ServerError
from relay.cluster.local import LocalDirectory
from relay.protocol.names import ENCRYPTED
from relay.testing import ManualClock
from relay_transports.inprocess import connect
from tests.integration.raw import connect as connect_raw
from tests.integration.serving import Served, serving
from tests.integration.signer import KEY, NOW, SECRET, target
from tests.integration.wire import TEXT, Wire, frame, http, websocket

pytestmark = pytest.mark.usefixtures("nothing_crashes")

URL = f"/app/{KEY}?protocol=7"
EVENTS = "/apps/1001/events"
COUNT = "pusher_internal:subscription_count"
APP = App(
    id="1001",
    key=KEY,
    secret=SECRET,
    encryption_master_key="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    subscription_counts=True,
    max_cached_channels=100,
    max_cached_bytes=10_000,
)


@pytest.fixture
def directory() -> LocalDirectory:
    return LocalDirectory()


@pytest.fixture
async def served(directory: LocalDirectory) -> AsyncIterator[Served]:
    async with serving(Hub(APP, directory=directory, clock=ManualClock(unix=NOW))) as served:
        yield served
        await served.hub.settle()
        assert served.hub.check() == []


def asking(event: str, channel: str) -> bytes:
    return frame(TEXT, json.dumps({"event": event, "data": {"channel": channel}}).encode())


async def post(served: Served, channels: list[str], data: str) -> int:
    body = json.dumps({"name": "paid", "channels": channels, "data": data}).encode()
    return (await http(served.port, "POST", target("POST", EVENTS, body), body)).status


async def events_until_pong(socket: Wire) -> list[str]:
    """The names of everything that comes before the answer to a ping."""
    socket.send('{"event":"pusher:ping"}')
    events: list[str] = []
    while (event := (await socket.event())["event"]) != "pusher:pong":
        events.append(event)
    return events


async def test_caller_who_invents_cache_channels_without_end_keeps_no_more_than_the_app_may(served, directory):
    for number in range(0, 2000, 100):
        names = [f"cache-{number + one}" for one in range(100)]
        assert await post(served, names, "x" * 50) == 200
        kept, size = directory.remembered("1001")
        assert (kept <= 100, size <= 10_000) == (True, True)
    assert directory.remembered("1001")[0] > 50
    assert served.hub.stats().channels == 0


async def test_client_that_enters_cache_channels_without_end_leaves_nothing_behind(served, directory):
    async with websocket(served.port, URL) as socket:
        for number in range(500):
            for event in ("pusher:subscribe", "pusher:unsubscribe"):
                socket.write(asking(event, f"cache-{number}"))
        events = await events_until_pong(socket)
        await served.hub.settle()
        assert events.count("pusher:cache_miss") == 500
        assert (directory.remembered("1001"), served.hub.stats().channels) == ((0, 0), 0)
        assert len(list(served.hub.journal)) <= 1000


async def test_client_that_comes_and_goes_without_end_costs_its_neighbours_next_to_nothing(served):
    async with connect_raw(served.hub, KEY) as neighbour, websocket(served.port, URL) as socket:
        await neighbour.subscribe("orders")
        await served.hub.settle()
        await neighbour.received()
        churn = asking("pusher:subscribe", "orders") + asking("pusher:unsubscribe", "orders")
        socket.write(churn * 1000)
        events = await events_until_pong(socket)
        await served.hub.settle()
        assert events.count("pusher_internal:subscription_succeeded") == 1000
        told = [event.event for event in await neighbour.received()]
        assert set(told) <= {COUNT}
        assert len(told) < 100  # a few turns of the loop, not 2,000 changes


@pytest.mark.parametrize(
    "data", ["no JSON", "{}", '{"nonce":"AAAA","ciphertext":"AAAA"}', '{"nonce":7}', "\u00e9" * 5000]
)
async def test_malformed_ciphertext_is_relayed_as_it_is_reported_by_our_client_and_the_next_is_read(data, served):
    vault = f"{ENCRYPTED}vault"
    errors: list[object] = []
    async with connect(served.hub) as client:
        client.connection.bind("error", errors.append)
        channel = await client.subscribe(vault)
        assert await post(served, [vault], data) == 200
        await served.hub.trigger(vault, "paid", {"id": 7})
        event = await anext(channel)
        assert (event.data, channel.undecrypted) == ({"id": 7}, 1)
        (error,) = errors
        assert isinstance(error, ServerError)
        assert error.message.startswith(f"paid on {vault} could not be decrypted")
