"""Clients in the hub's own process: the same session code and the same bytes as a socket, minus the socket.

Runs on asyncio and trio.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import msgspec

from relay.errors import Refused, RelayError, UsageError
from relay.hub import Hub
from relay.protocol import messages, names
from relay.protocol.messages import Member
from relay.protocol.names import Kind

if TYPE_CHECKING:
    from relay.connection import Connection


class TextFraming:
    """Events as they are."""

    ping = messages.PING

    def frame(self, text: bytes) -> bytes:
        """The text itself."""
        return text


TEXT = TextFraming()


class Closed(msgspec.Struct, frozen=True):
    """How a connection ended."""

    code: int
    reason: str


class ClientClosed(RelayError):
    """The hub closed this client; ``closed`` says how."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(f"the connection is closed with {closed.code} {closed.reason}".rstrip())
        self.closed = closed


class ReceivedEvent(msgspec.Struct, frozen=True):
    """One event as the client saw it. ``data`` is decoded where it was JSON in a string."""

    event: str
    channel: str | None
    data: object
    user_id: str | None
    text: bytes


class InProcessTransport:
    """Frames for a reader in this process. Implements :class:`relay.transport.Transport`."""

    __slots__ = ("_backlog", "_bound", "_frames", "_overflow", "_ready", "closed", "framing")

    def __init__(self) -> None:
        self.framing = TEXT
        self.closed: Closed | None = None
        self._frames: deque[bytes] = deque()
        self._backlog = 0
        self._bound: int | None = None
        self._overflow: Callable[[], None] | None = None
        self._ready: anyio.Event | None = None

    @property
    def backlog(self) -> int:
        """Bytes that were not read yet."""
        return self._backlog

    def bound(self, backlog: int, overflow: Callable[[], None]) -> None:
        """See :meth:`relay.transport.Transport.bound`."""
        self._bound = backlog
        self._overflow = overflow

    def send(self, frame: bytes) -> None:
        """Queue ``frame`` for the reader."""
        if self.closed is not None or (self._bound is not None and self._overflow is None):
            return
        if self._bound is not None and self._backlog + len(frame) > self._bound:
            overflow, self._overflow = self._overflow, None
            if overflow is not None:
                overflow()
            return
        self._backlog += len(frame)
        self._frames.append(frame)
        if self._ready is not None:
            self._ready.set()

    def close(self, code: int, reason: str = "") -> None:
        """End after what is queued."""
        if self.closed is None:
            self.closed = Closed(code, reason)
            if self._ready is not None:
                self._ready.set()

    def abort(self) -> None:
        """End now."""
        self._frames.clear()
        self._backlog = 0
        self.close(1006, "")

    def take(self) -> bytes | None:
        """The next frame, if one is there."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._backlog -= len(frame)
        return frame

    async def next(self) -> bytes:
        """The next frame; waits for it. Raises :class:`ClientClosed` after the last one."""
        while (frame := self.take()) is None:
            if self.closed is not None:
                raise ClientClosed(self.closed)
            self._ready = anyio.Event()
            await self._ready.wait()
            self._ready = None
        await anyio.lowlevel.checkpoint()
        return frame


class Client:
    """A basic client of a hub in the same process; made by :func:`connect`."""

    def __init__(self, hub: Hub, app_id: str, connection: Connection, transport: InProcessTransport) -> None:
        self._hub = hub
        self._app_id = app_id
        self._connection = connection
        self._transport = transport

    @property
    def socket_id(self) -> str:
        """What to pass as ``socket_id`` to ``trigger`` to leave this client out."""
        return self._connection.socket_id

    @property
    def closed(self) -> Closed | None:
        """How the hub closed this client, None while it is open."""
        return self._transport.closed

    async def send(self, text: str | bytes) -> None:
        """Send one raw frame and let the hub handle it completely."""
        if self._transport.closed is not None:
            raise ClientClosed(self._transport.closed)
        await self._connection.receive(text)

    async def subscribe(self, channel: str, member: Member | None = None) -> None:
        """Subscribe and wait until the hub has handled it.

        Private and presence channels are authorized with the hub's own secret; presence channels need
        ``member``. The acknowledgement or the error is the next thing to ``receive``.
        """
        data: dict[str, str] = {"channel": channel}
        if names.is_channel(channel) and names.kind_of(channel) in (Kind.PRIVATE, Kind.PRESENCE):
            data |= self._hub.authorize_channel(self.socket_id, channel, member, app=self._app_id)
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
        """The next event; waits for it. Raises :class:`ClientClosed` when none can come any more."""
        while True:
            event = _read(await self._transport.next())
            if event.event != "pusher:ping":
                return event
            await self._connection.receive(messages.PONG)

    async def received(self) -> list[ReceivedEvent]:
        """Everything that is there, without waiting for more (``await hub.settle()`` first)."""
        events = []
        while (frame := self._transport.take()) is not None:
            event = _read(frame)
            if event.event == "pusher:ping":
                await self._connection.receive(messages.PONG)
            else:
                events.append(event)
        return events

    def disconnect(self) -> None:
        """Go away, as when a browser tab closes."""
        self._transport.close(1000, "")
        self._connection.disconnected()


@asynccontextmanager
async def connect(hub: Hub, key: str | None = None, *, protocol: str = "7") -> AsyncIterator[Client]:
    """A client of ``hub`` for the App with ``key`` (its only App by default).

    Raises :class:`relay.Disconnect` where a socket would be closed at once.
    """
    if key is None:
        if len(hub.apps) > 1:
            raise UsageError("this hub has several Apps: say which with key=")
        key = hub.apps[0].key
    app_id = next((app.id for app in hub.apps if app.key == key), "")
    transport = InProcessTransport()
    connection = await hub.connect(key, transport, protocol=protocol)
    client = Client(hub, app_id, connection, transport)
    greeting = await client.receive()
    if greeting.event != "pusher:connection_established":
        raise Refused(f"expected the hub's greeting, got {greeting.event}")
    try:
        yield client
    finally:
        client.disconnect()


class _Frame(msgspec.Struct):
    event: str
    channel: str | None = None
    data: object = None
    user_id: str | None = None


_decode = msgspec.json.Decoder(_Frame).decode


def _read(text: bytes) -> ReceivedEvent:
    frame = _decode(text)
    data = frame.data
    if isinstance(data, str):
        try:
            data = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass  # a plain string is legal data
    return ReceivedEvent(frame.event, frame.channel, data, frame.user_id, text)
