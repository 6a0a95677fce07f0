"""A hub behind a real aiohttp server, for as long as a test needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from relay import Hub
from relay.facts import Fact
from relay_transports.aiohttp import Authorizer, setup
from tests.integration.wire import PATIENCE


class Served(NamedTuple):
    """A running server: its hub, its port, and aiohttp's runner."""

    hub: Hub
    port: int
    runner: web.AppRunner

    @property
    def sockets(self) -> int:
        """How many TCP connections the server holds."""
        assert self.runner.server is not None
        return len(self.runner.server.connections)


@asynccontextmanager
async def serving(
    hub: Hub, *, prefix: str = "", authorize: Authorizer | None = None, patience: float = 1.0
) -> AsyncIterator[Served]:
    """``hub`` set up in an application of its own, on a free port."""
    app = web.Application()
    setup(app, hub, prefix=prefix, authorize=authorize)
    async with running(app, hub, patience=patience) as served:
        yield served


@asynccontextmanager
async def running(app: web.Application, hub: Hub, *, patience: float = 1.0) -> AsyncIterator[Served]:
    """``app`` on a free port; ``patience`` is how many seconds aiohttp waits for its handlers in the end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=patience)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Served(hub, runner.addresses[0][1], runner)
    finally:
        await runner.cleanup()


async def until(hub: Hub, true: Callable[[], bool]) -> None:
    """Return as soon as ``true()``; asked again after each fact of ``hub``."""
    happened = asyncio.Event()
    forget = hub.on(Fact, lambda _: happened.set())
    try:
        async with asyncio.timeout(PATIENCE):
            while not true():
                happened.clear()
                await happened.wait()
    finally:
        forget()
