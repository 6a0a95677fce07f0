"""Clients of a hub in the same process. Needs no task of its own: what arrives is taken in when it is asked for,
or by the hub's own task when somebody is bound to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, TypeVar

import msgspec

from relay.client.client import Client
from relay.client.connecting import Connecting
from relay.client.runtime import Closed, Link
from relay.client.settings import Authenticate, Authorize, Settings, settled
from relay.errors import Disconnect, UsageError
from relay.hub import Hub
from relay.protocol.messages import Member, User
from relay_transports.inprocess.raw import fits, only_key
from relay_transports.inprocess.transport import TEXT, InProcessTransport

if TYPE_CHECKING:
    from relay.connection import Connection

C = TypeVar("C", bound=Client)


class InProcessLink:
    """One connection of a client to a hub in the same process. Implements :class:`relay.client.runtime.Link`."""

    def __init__(self, client: Client, hub: Hub, transport: InProcessTransport) -> None:
        self._client = client
        self._hub = hub
        self._transport = transport
        self._connection: Connection | None = None
        self._pump_is_due = False
        self._over = False

    async def open(self, key: str, protocol: str) -> None:
        """Connect; the greeting is the first thing to pump. A refusal is the end of the link, as on a socket."""
        self._transport.arrived = self._arrived
        try:
            self._connection = await self._hub.connect(key, self._transport, protocol=protocol)
        except Disconnect:
            pass  # it is in the transport, behind pusher:error

    async def send(self, text: bytes) -> None:
        """Let the hub handle ``text`` completely; a subscribe that is cancelled in here is undone."""
        if self._transport.closed is not None or self._connection is None:
            raise self._transport.closed or Closed(1006, "never connected")
        if self._transport.tap is not None:
            self._transport.tap("sent", text)
        if fits(self._connection, text):
            await self._connection.receive(text)

    def pump(self) -> None:
        """Give the client what arrived."""
        while (frame := self._transport.take()) is not None:
            self.deliver(frame)
        if self._transport.closed is not None and not self._over:
            self._over = True
            self._client.ended(self._transport.closed)

    def deliver(self, frame: bytes) -> None:
        """One frame reaches the client."""
        if not self._over:
            self._client.feed(frame)

    def close(self) -> None:
        """Go away, as when a browser tab closes."""
        self._over = True
        self._transport.close(1000, "")
        if self._connection is not None:
            self._connection.disconnected()

    def cut(self) -> None:
        """Break, as a network does: what was on its way is lost."""
        self._transport.abort()
        if self._connection is not None:
            self._connection.disconnected()

    def _arrived(self, frame: bytes) -> None:
        """In the middle of fan-out: wake who waits, or have it taken in beside everything else."""
        client = self._client
        woken = client.wake()
        if (client.eager or frame is TEXT.ping or (not frame and not woken)) and not self._pump_is_due:
            self._pump_is_due = True
            self._hub.start_soon(self._pump_beside)

    async def _pump_beside(self) -> None:
        self._pump_is_due = False
        self.pump()


def connect(
    hub: Hub,
    key: str | None = None,
    *,
    settings: Settings | None = None,
    authorize: Authorize | None = None,
    authenticate: Authenticate | None = None,
    protocol: str = "7",
    random: Random | None = None,
) -> Connecting[Client]:
    """Connect to ``hub`` for the App with ``key`` (its only App by default).

    ::

        async with connect(hub) as client:
            orders = await client.subscribe("orders")

    or ``client = await connect(hub)``. Private and presence channels and sign-in are authorized with the hub's own
    secret, unless ``authorize`` and ``authenticate`` (or ``settings``) say how. Raises :class:`relay.client.Closed`
    when the hub does not let it in.
    """
    settings = settled(settings, authorize, authenticate)
    return connecting(Client, hub, key, settings=settings, protocol=protocol, random=random)


def connecting(
    kind: type[C],
    hub: Hub,
    key: str | None,
    *,
    settings: Settings,
    protocol: str = "7",
    random: Random | None = None,
    transport: Callable[[], InProcessTransport] = InProcessTransport,
    link: Callable[[Client, Hub, InProcessTransport], InProcessLink] = InProcessLink,
) -> Connecting[C]:
    """:func:`connect` for a client class, transports and links of one's own."""
    app_key = only_key(hub) if key is None else key
    settings = _with_own_secret(hub, app_key, settings)

    async def connector(client: Client) -> Link:
        new = link(client, hub, transport())
        await new.open(app_key, protocol)
        return new

    async def open_() -> C:
        client = kind(connector, hub, settings, random=random or Random())  # noqa: S311 - jitter, not secrets
        try:
            return await client.open()
        except BaseException:
            client.leave()
            raise

    return Connecting(open_)


def _with_own_secret(hub: Hub, key: str, settings: Settings) -> Settings:
    """``settings`` whose gaps are filled by asking the hub to sign, in place of an auth endpoint."""
    app = hub.app_of(key)
    if app is None:
        return settings

    async def authorize(socket_id: str, channel: str, member: Member | None) -> Mapping[str, str]:
        if channel.startswith("presence-") and member is None:
            raise UsageError(f"{channel} is a presence channel: pass user_id= (and user_info=) to subscribe()")
        return hub.authorize_channel(socket_id, channel, member, app=app)

    async def authenticate(socket_id: str, user: Member | None) -> Mapping[str, str]:
        if user is None:
            raise UsageError("pass user_id= (and user_info=) to signin()")
        watchlist = user.watchlist if isinstance(user, User) else ()
        return hub.authenticate_user(socket_id, User(user.id, user.info, watchlist), app=app)

    return msgspec.structs.replace(
        settings,
        authorize=settings.authorize or authorize,
        authenticate=settings.authenticate or authenticate,
    )
