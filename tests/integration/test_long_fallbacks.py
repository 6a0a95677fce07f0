"""Clients over HTTP for five minutes of the hub's time, through many responses: nothing is lost, doubled or swapped."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from relay import App, Hub
from relay.testing import ManualClock
from relay_transports.aiohttp import setup
from relay_transports.aiohttp.fallbacks import FallbackEndpoint
from relay_transports.aiohttp.peers import Peers
from tests.integration.over_http import Poller, events_of, streaming
from tests.integration.serving import Served, running
from tests.integration.wire import PATIENCE

APP = App(id="1001", key="app-key", secret="app-secret")
SUBSCRIBE = '{"event":"pusher:subscribe","data":{"channel":"orders"}}'
TEXT = "x" * 10_000
MOST_READ = 256 << 10
"""Bytes after which pusher-js gives a stream up and asks again (protocol 9.3)."""
NAME = "123/abcdefgh"

pytestmark = pytest.mark.usefixtures("nothing_crashes")


class World:
    """A served hub whose time the test moves, and which numbers what it publishes."""

    def __init__(self, served: Served, clock: ManualClock, endpoint: FallbackEndpoint) -> None:
        self.hub = served.hub
        self.clock = clock
        self.client = Poller(served, NAME)
        self.published = 0
        self._endpoint = endpoint

    async def publish(self, count: int) -> None:
        for _ in range(count):
            await self.hub.trigger("orders", "paid", {"id": self.published, "text": TEXT})
            self.published += 1

    async def asking(self, *, there: bool) -> None:
        """Return when the hub knows whether there is a receive request of the client."""
        live = self._endpoint.sessions.get(APP.key, NAME)
        assert live is not None
        async with asyncio.timeout(PATIENCE):
            while (live.session.receiver is not None) is not there:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    hub, app = Hub(APP, clock=(clock := ManualClock())), web.Application()
    setup(app, hub, fallbacks=False)
    endpoint = FallbackEndpoint(hub, None, Peers(()), None, most=1)
    endpoint.add_routes(app.router, "")
    app.on_shutdown.append(endpoint.goodbye)
    async with running(app, hub) as served:
        yield World(served, clock, endpoint)


class Reading:
    """Reads streams as pusher-js does: what comes after too many bytes of one is not looked at, but asked for anew."""

    def __init__(self, world: World) -> None:
        self.opened = 0
        self.heard: list[int] = []
        self._world = world
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Ask again; what happens in between must be there too."""
        await self.close()
        if self.opened:
            await self._world.asking(there=False)
            await self._world.publish(1)
        self._stream = await self._stack.enter_async_context(streaming(self._world.client))
        self.opened += 1
        self._read = 2049

    async def line(self) -> str:
        line = await self._stream.line()
        self._read += len(line) + 1
        if self._read > MOST_READ:
            await self.open()
        return line

    async def catch_up(self) -> None:
        """Read until everything that was published is here."""
        while len(self.heard) < self._world.published:
            self.heard += numbers(await self.line())

    async def close(self) -> None:
        await self._stack.aclose()


def numbers(line: str) -> list[int]:
    return [json.loads(event["data"])["id"] for event in events_of([line]) if event["event"] == "paid"]


@asynccontextmanager
async def subscribed(world: World) -> AsyncIterator[Reading]:
    reading = Reading(world)
    await reading.open()
    try:
        assert await reading.line() == "o"
        await reading.line()
        await world.client.send(SUBSCRIBE)
        await reading.line()
        yield reading
    finally:
        await reading.close()


async def test_five_minutes_of_a_stream_lose_nothing_over_twenty_responses(world):
    async with subscribed(world) as reading:
        for second in itertools.chain(range(120), range(180, 300)):
            if second == 180:  # a minute of silence, with a heartbeat every 25 seconds, which pusher-js answers
                for _ in range(2):
                    await world.clock.advance(25)
                    assert await reading.line() == "h"
                    assert (await world.client.post("xhr_send", b"[]")).status == 204
                await world.clock.advance(10)
            await world.publish(3)
            await reading.catch_up()
            await world.clock.advance(1)
    assert world.clock.now() == 300
    assert reading.heard == list(range(world.published))
    assert world.published >= 720
    assert reading.opened > 20
    assert world.hub.stats().connections == 1


async def test_five_minutes_of_polls_lose_nothing(world):
    client, heard = await world.client.open(), []
    await client.send(SUBSCRIBE)
    await client.poll()
    for second in itertools.chain(range(120), range(180, 300)):
        held = await holding(world)
        if second == 180:  # a minute of silence: a poll is held for 25 seconds
            for _ in range(2):
                await world.clock.advance(25)
                assert await held == ["h"]
                held = await holding(world)
            await world.clock.advance(10)
        await world.publish(1)
        heard += [number for line in await held for number in numbers(line)]
        await world.asking(there=False)
        await world.publish(1)  # between two polls
        heard += [number for line in await client.poll() for number in numbers(line)]
        await world.clock.advance(1)
    assert world.clock.now() == 300
    assert heard == list(range(world.published))
    assert world.published == 480
    assert world.hub.stats().connections == 1


async def holding(world: World) -> asyncio.Task[list[str]]:
    """A poll that is with the hub, which has nothing to tell."""
    held = asyncio.create_task(world.client.poll())
    await world.asking(there=True)
    return held
