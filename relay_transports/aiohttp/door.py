"""The socket's own door: after the upgrade, aiohttp's request, parser and handler task can go.

What is left of a connection is one small object. The route answers the upgrade itself, stops aiohttp from reading,
duplicates the socket and gives the duplicate to an asyncio protocol of ours; then it drops aiohttp's transport. All
with public calls. It cannot be done through TLS that ends in this process, where the state of the encryption is
aiohttp's: there :mod:`relay_transports.aiohttp.websocket` keeps aiohttp's response.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from relay_transports import frames, reader
from relay_transports.aiohttp.outbox import Flusher, SocketTransport
from relay_transports.reader import FrameReader

if TYPE_CHECKING:
    from relay.connection import Connection

Admit = Callable[[SocketTransport], Awaitable["Connection | None"]]
"""Lets a client in; None when it was refused, and told so."""

_log = logging.getLogger(__name__)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MOST_WAITING = 64
"""Messages of one client that may wait while one is handled; then its socket is not read."""
_VIOLATION = -1
"""Stands among the messages where the client broke the rules of WebSocket."""


def acceptance(request: web.Request) -> str | None:
    """The ``Sec-WebSocket-Accept`` that answers this upgrade request, or None if it is none."""
    headers = request.headers
    key = headers.get("Sec-WebSocket-Key", "").strip()
    tokens = {token.strip().lower() for token in headers.get("Connection", "").split(",")}
    if headers.get("Upgrade", "").lower() != "websocket" or "upgrade" not in tokens:
        return None
    if headers.get("Sec-WebSocket-Version") != "13" or len(key) != 24:
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class Taken(web.StreamResponse):
    """What a handler returns whose transport is somebody else's now: there is nothing to write, and nowhere."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing to prepare."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing to end."""


class _Tail:
    """Takes what arrived behind the upgrade request: what aiohttp's protocol calls a parser."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Keep it."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing to do: the duplicate sees the end too."""

    def set_exception(self, error: BaseException, cause: BaseException | None = None) -> None:
        """Nothing to do: as above."""


def take_over(
    request: web.Request, accept: str, flusher: Flusher, *, limit: int, admit: Admit, gone: Callable[[], None]
) -> None:
    """Answer the upgrade, and serve the client from a socket of its own from then on; returns at once.

    ``admit`` lets it in; ``gone`` is called when it is gone, whatever happened.
    """
    old, tail = request.transport, _Tail()
    if old is None:
        gone()
        return
    theirs = old.get_extra_info("socket")
    try:
        duplicate = socket.socket(theirs.family, theirs.type, theirs.proto, os.dup(theirs.fileno()))
    except OSError:  # too many open files
        gone()
        raise
    duplicate.setblocking(False)
    old.pause_reading()  # from here until the duplicate reads nothing waits, so no byte is lost
    request.protocol.set_parser(cast("Any", tail))  # annotated for aiohttp's own parser; its two methods are asked for
    old.abort()
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept.encode()
        + b"\r\n\r\n"
    )
    # In a task of its own: an application with handler_cancellation, as aiohttp's TestServer has it, cancels this one
    # now that its transport is gone.
    beginning = asyncio.create_task(_begin(BareSocket(flusher, limit, gone), duplicate, answer, admit, tail))
    _beginnings.add(beginning)
    beginning.add_done_callback(_beginnings.discard)


_beginnings: set[asyncio.Task[None]] = set()
"""A loop keeps no task alive by itself."""


async def _begin(bare: BareSocket, duplicate: socket.socket, answer: bytes, admit: Admit, tail: _Tail) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: bare, duplicate)
    except OSError:
        _log.exception("a client could not be let in")
        duplicate.close()
        bare.connection_lost(None)
    else:
        await bare.begin(answer, admit, tail.data)


class BareSocket(SocketTransport, asyncio.Protocol):
    """One client: reads its frames, writes what it gets. All there is of a connection below the hub."""

    __slots__ = ("_connection", "_gone", "_reader", "_task", "_waiting", "_working")

    def __init__(self, flusher: Flusher, limit: int, gone: Callable[[], None]) -> None:
        super().__init__(cast("asyncio.Transport", None), flusher)
        self._reader = FrameReader(limit)
        self._gone: Callable[[], None] | None = gone
        self._connection: Connection | None = None
        self._waiting: deque[tuple[int, bytes]] | None = None
        self._working = True  # until the client is let in
        self._task: asyncio.Task[None] | None = None

    async def begin(self, answer: bytes, admit: Admit, tail: bytes) -> None:
        """Let the client in: the answer to its upgrade request and the greeting leave in one write.

        Then read, beginning with what came behind the request.
        """
        self._outbox.append(answer)
        try:
            self._connection = await admit(self)
        except Exception:  # noqa: BLE001 - nobody waits for this task
            _log.exception("a client could not be let in")
            self.abort()
            return
        self.flush()
        self._working = False
        if tail:
            self.data_received(tail)
        self._work_on()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The duplicate is ours."""
        self._socket = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client. What they say is handled in order, one after another."""
        for opcode, payload in self._reader.feed(data):
            self._next(opcode, payload)
        violation = self._reader.violation
        if violation is not None and not self._closing:
            self._next(_VIOLATION, violation.code.to_bytes(2, "big") + violation.reason.encode())

    def resume_writing(self) -> None:
        """The socket's buffer is as empty as was asked for."""
        self.catch_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._stop()
        self._behind = None
        self._leave()
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    def _await_reader(self) -> None:
        """Have ``resume_writing`` called when the buffer is empty; nobody who keeps up pays for that."""
        self._socket.set_write_buffer_limits(high=0)

    def _next(self, opcode: int, payload: bytes) -> None:
        """Handle a message now, or after those before it; a task is needed for text alone."""
        if opcode != reader.TEXT and not self._working:
            self._handle(opcode, payload)
            return
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((opcode, payload))
        if len(self._waiting) >= _MOST_WAITING:
            self._socket.pause_reading()
        self._work_on()

    def _work_on(self) -> None:
        if self._waiting and not self._working:
            self._working = True
            self._task = _start(self._work())

    async def _work(self) -> None:
        waiting = self._waiting
        try:
            while waiting:
                opcode, payload = waiting.popleft()
                if opcode != reader.TEXT:
                    self._handle(opcode, payload)
                elif self._connection is not None:
                    await self._connection.receive(payload)
        finally:
            self._working = False
            self._waiting = self._task = None
            if not self._socket.is_closing():
                self._socket.resume_reading()

    def _handle(self, opcode: int, payload: bytes) -> None:
        """Everything but text."""
        if opcode == _VIOLATION:
            self.close(reader.close_code(payload), payload[2:].decode())
            self._finish_sending()
            self._leave()
        elif opcode == reader.CLOSE:
            self.answer_close(reader.close_code(payload) if payload else 0)
            self.end()
            self._leave()
        elif self._connection is None:
            return
        elif opcode == reader.BINARY:
            self._connection.reject("Binary messages are not supported: send text")
        else:
            self._connection.heard()
            if opcode == reader.PING:
                self.send(frames.frame(frames.PONG, payload))

    def _finish_sending(self) -> None:
        """Nothing the client says is understood any more, its answer to our close neither: end our half (RFC 6455,
        7.1.1 and 7.1.7). Its own half is still read, since bytes left unread would reset the socket and cost it ours.
        """
        self.write_all()
        if not self._socket.is_closing():
            with suppress(OSError):  # it was reset, which the loop is about to tell
                self._socket.write_eof()

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnected()


if sys.version_info >= (3, 12):

    def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)
