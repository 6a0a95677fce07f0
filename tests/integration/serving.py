"""A hub behind a real aiohttp server, for as long as a test needs it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import NamedTuple

import trustme
from aiohttp import web

from relay import Hub
from relay.facts import Fact
from relay_transports.aiohttp import Authorizer, setup
from tests.integration import wire
from tests.integration.wire import PATIENCE, Answer, Wire


class Tls(NamedTuple):
    """A certificate for this machine, and those who trust it."""

    server: ssl.SSLContext
    browser: ssl.SSLContext


@cache
def own_tls() -> Tls:
    """One certificate for all tests."""
    authority = trustme.CA()
    tls = Tls(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context())
    authority.issue_cert("127.0.0.1").configure_cert(tls.server)
    authority.configure_trust(tls.browser)
    return tls


class Served(NamedTuple):
    """A running server: its hub, its port, aiohttp's runner, and what clients need when it is behind TLS."""

    hub: Hub
    port: int
    runner: web.AppRunner
    browser: ssl.SSLContext | None = None

    @property
    def sockets(self) -> int:
        """How many TCP connections the server holds."""
        assert self.runner.server is not None
        return len(self.runner.server.connections)

    def dial(self) -> AbstractAsyncContextManager[Wire]:
        """A connection that says nothing yet."""
        return wire.dial(self.port, tls=self.browser)

    def websocket(self, target: str, headers: str = "") -> AbstractAsyncContextManager[Wire]:
        """A WebSocket; the server must let it in."""
        return wire.websocket(self.port, target, headers=headers, tls=self.browser)

    def http(self, method: str, target: str, headers: str = "", body: bytes = b"") -> Awaitable[Answer]:
        """One request."""
        return wire.http(self.port, method, target, body, headers, tls=self.browser)


@asynccontextmanager
async def serving(
    hub: Hub,
    *,
    prefix: str = "",
    authorize: Authorizer | None = None,
    patience: float = 1.0,
    tls: Tls | None = None,
    forwarded_from: Sequence[str] = (),
    max_connections_per_address: int | None = None,
    max_fallback_sessions: int = 10_000,
) -> AsyncIterator[Served]:
    """``hub`` set up in an application of its own, on a free port; with ``tls`` the encryption ends in it."""
    app = web.Application()
    setup(
        app,
        hub,
        prefix=prefix,
        authorize=authorize,
        forwarded_from=forwarded_from,
        max_connections_per_address=max_connections_per_address,
        max_fallback_sessions=max_fallback_sessions,
    )
    async with running(app, hub, patience=patience, tls=tls) as served:
        yield served


@asynccontextmanager
async def running(
    app: web.Application, hub: Hub, *, patience: float = 1.0, tls: Tls | None = None
) -> AsyncIterator[Served]:
    """``app`` on a free port; ``patience`` is how many seconds aiohttp waits for its handlers in the end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=patience)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls and tls.server).start()
        yield Served(hub, runner.addresses[0][1], runner, tls and tls.browser)
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
