"""The same clients over both transports: what a test of the client runs in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import msgspec
from aiohttp import web

from relay import App, Hub, Member, User
from relay.client import Client, Settings
from relay_transports.aiohttp import connect as connect_socket
from relay_transports.aiohttp import setup
from relay_transports.inprocess import connect as connect_inprocess
from tests.integration.serving import Tls, own_tls

MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
APP = App(id="1001", key="app-key", secret="app-secret", encryption_master_key=MASTER_KEY, client_events=True)


class World:
    """A running hub and a way to make clients of it, closed at the end."""

    def __init__(self, hub: Hub, connect: Callable[[Settings], Any], stack: AsyncExitStack) -> None:
        self.hub = hub
        self._connect = connect
        self._stack = stack
        self.frames: list[list[tuple[str, bytes]]] = []

    async def client(self, settings: Settings | None = None) -> Client:
        """A client authorized by the hub's own secret."""
        frames: list[tuple[str, bytes]] = []
        self.frames.append(frames)
        settings = msgspec.structs.replace(
            settings or Settings(reconnect=None),
            authorize=self._authorize,
            authenticate=self._authenticate,
            tap=lambda direction, text: frames.append((direction, text)),
        )
        client: Client = await self._stack.enter_async_context(self._connect(settings))
        return client

    async def _authorize(self, socket_id: str, channel: str, member: Member | None) -> dict[str, str]:
        return self.hub.authorize_channel(socket_id, channel, member)

    async def _authenticate(self, socket_id: str, user: Member | None) -> dict[str, str]:
        assert user is not None
        watchlist = user.watchlist if isinstance(user, User) else ()
        return self.hub.authenticate_user(socket_id, User(user.id, user.info, watchlist))


@asynccontextmanager
async def inprocess_world(app: App = APP) -> AsyncIterator[World]:
    hub = Hub(app, random=Random(1))
    async with hub, AsyncExitStack() as stack:
        yield World(hub, lambda settings: connect_inprocess(hub, settings=settings), stack)


@asynccontextmanager
async def socket_world(app: App = APP, *, tls: Tls | None = None, **site: Any) -> AsyncIterator[World]:
    hub = Hub(app, random=Random(1))
    application = web.Application()
    setup(application, hub)
    runner = web.AppRunner(application, shutdown_timeout=5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls and tls.server, **site).start()
    trust = True if tls is None else tls.browser
    url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{runner.addresses[0][1]}/app/{app.key}"
    try:
        async with AsyncExitStack() as stack:
            yield World(hub, lambda settings: connect_socket(url, settings=settings, ssl=trust), stack)
    finally:
        await runner.cleanup()


def tls_world(app: App = APP) -> AbstractAsyncContextManager[World]:
    """Sockets whose encryption ends in the server, which serves them another way."""
    return socket_world(app, tls=own_tls())


WORLDS: dict[str, Callable[..., Any]] = {"inprocess": inprocess_world, "socket": socket_world, "tls": tls_world}
Scenario = Callable[[World], Awaitable[None]]
