"""A client that shows every frame as it came, in order: for looking at the protocol itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from relay.client.runtime import Closed
from relay.client.subscriber import Subscriber
from relay.errors import UsageError
from relay.hub import Hub
from relay.protocol import messages, names
from relay.protocol.messages import Member
from relay.protocol.names import Kind
from relay.protocol.received import ReceivedEvent
from relay_transports.inprocess.transport import InProcessTransport, Tap

if TYPE_CHECKING:
    from relay.connection import Connection


_TOO_BIG = 1009
"""RFC 6455's code for it, as a socket's reader uses it."""


class RawClient:
    """Sends frames and reads frames, nothing more; made by :func:`connect_raw`."""

    def __init__(self, hub: Hub, connection: Connection, transport: InProcessTransport) -> None:
        self._hub = hub
        self._connection = connection
        self._transport = transport
        self._reader = Subscriber()
        self._ready: anyio.Event | None = None
        transport.arrived = self._arrived

    @property
    def socket_id(self) -> str:
        """What to pass as ``socket_id`` to ``trigger`` to leave this client out."""
        return self._connection.socket_id

    @property
    def closed(self) -> Closed | None:
        """How the hub closed this client, None while it is open."""
        return self._transport.closed

    async def send(self, text: str | bytes) -> None:
        """Send one frame and let the hub handle it completely. Raises :class:`Closed`."""
        if self._transport.closed is not None:
            raise self._transport.closed
        if self._transport.tap is not None:
            self._transport.tap("sent", text.encode() if isinstance(text, str) else text)
        if fits(self._connection, text):
            await self._connection.receive(text)

    async def subscribe(self, channel: str, member: Member | None = None) -> None:
        """Subscribe and wait until the hub has handled it.

        Private and presence channels are authorized with the hub's own secret; presence channels need
        ``member``. The acknowledgement or the error is the next thing to ``receive``.
        """
        data: dict[str, str] = {"channel": channel}
        if names.is_channel(channel) and names.kind_of(channel) in (Kind.PRIVATE, Kind.PRESENCE):
            data |= self._hub.authorize_channel(self.socket_id, channel, member, app=self._connection.tenant.app)
            data.pop("shared_secret", None)  # for who decrypts; this client shows what came
        elif member is not None:
            raise UsageError(f"member= is for presence channels, {channel!r} is none")
        await self.send(messages.json_bytes({"event": "pusher:subscribe", "data": data}))

    async def unsubscribe(self, channel: str) -> None:
        """Leave ``channel``; there is no acknowledgement."""
        await self.send(messages.json_bytes({"event": "pusher:unsubscribe", "data": {"channel": channel}}))

    async def trigger(self, channel: str, event: str, data: object) -> None:
        """Send a client event; its name begins with ``client-`` and the App must allow it."""
        await self.send(messages.json_bytes({"event": event, "channel": channel, "data": data}))

    async def receive(self) -> ReceivedEvent:
        """The next event; waits for it. Raises :class:`Closed` when none can come any more."""
        while True:
            while (event := await self._take()) is None:
                if self._transport.closed is not None:
                    raise self._transport.closed
                self._ready = anyio.Event()
                await self._ready.wait()
            await anyio.lowlevel.checkpoint()
            if event.event != "pusher:ping":
                return event

    async def received(self) -> list[ReceivedEvent]:
        """Everything that is there, without waiting for more (``await hub.settle()`` first)."""
        events = []
        while (event := await self._take()) is not None:
            if event.event != "pusher:ping":
                events.append(event)
        return events

    def disconnect(self) -> None:
        """Go away, as when a browser tab closes."""
        self._transport.close(1000, "")
        self._connection.disconnected()

    async def _take(self) -> ReceivedEvent | None:
        """The next event; a ping is answered on the way."""
        frame = self._transport.take()
        if frame is None:
            return None
        _, event = self._reader.receive(frame)
        if event.event == "pusher:ping" and self._transport.closed is None:
            await self._connection.receive(messages.PONG)
        return event

    def _arrived(self, frame: bytes) -> None:
        if self._ready is not None:
            self._ready.set()


@asynccontextmanager
async def connect_raw(
    hub: Hub, key: str | None = None, *, protocol: str = "7", tap: Tap | None = None
) -> AsyncIterator[RawClient]:
    """A raw client of ``hub`` for the App with ``key`` (its only App by default).

    Raises :class:`relay.Disconnect` where a socket would be closed at once.
    """
    key = only_key(hub) if key is None else key
    transport = InProcessTransport(tap)
    connection = await hub.connect(key, transport, protocol=protocol)
    client = RawClient(hub, connection, transport)
    await client.receive()  # the greeting
    try:
        yield client
    finally:
        client.disconnect()


def fits(connection: Connection, text: str | bytes) -> bool:
    """Whether a client's frame is within its App's ``max_message_bytes``; a larger one ends the connection."""
    most = connection.tenant.app.max_message_bytes
    small = len(text.encode() if isinstance(text, str) else text) <= most
    if not small:
        connection.close(_TOO_BIG, f"message too big: the limit is {most} bytes")
    return small


def only_key(hub: Hub) -> str:
    """The key of the hub's only App."""
    if len(hub.apps) > 1:
        raise UsageError("this hub has several Apps: say which with key=")
    return hub.apps[0].key
