"""Writing to sockets: everything a connection gets during one loop tick leaves in one write.

The system call is what fan-out costs, so fewer of them is the only way to be faster than it (design 3.2).
The busier the loop, the more frames share a write; nothing waits for a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay_transports import frames
from relay_transports.frames import WEBSOCKET

_BUDGET = 512
"""Sockets written before the loop may do something else, so that one huge channel cannot hold it."""

_CLOSE_SECONDS = 5.0
"""How long a client may take to read what is left and answer our close frame."""

_UNBOUND = 1 << 20


class Flusher:
    """The sockets of one loop that have something to write, in the order they got it."""

    __slots__ = ("_dirty", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: list[SocketTransport] = []

    def add(self, transport: SocketTransport) -> None:
        """Write ``transport`` at the end of this tick."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(transport)

    def _flush(self) -> None:
        dirty = self._dirty
        if len(dirty) > _BUDGET:
            self._dirty = dirty[_BUDGET:]
            del dirty[_BUDGET:]
            self._loop.call_soon(self._flush)
        else:
            self._dirty = []
        for transport in dirty:
            transport.flush()


class SocketTransport:
    """WebSocket frames to one socket. Implements :class:`relay.transport.Transport`.

    ``socket`` is the asyncio transport below aiohttp's response; it is written to directly, with frames
    that every subscriber shares.
    """

    __slots__ = ("_bound", "_closing", "_flusher", "_outbox", "_overflow", "_room", "_socket", "framing")

    def __init__(self, socket: asyncio.Transport, flusher: Flusher) -> None:
        self.framing = WEBSOCKET
        self._socket = socket
        self._flusher = flusher
        self._outbox: list[bytes] = []
        self._bound = self._room = _UNBOUND
        self._overflow: Callable[[], None] | None = None
        self._closing = False

    @property
    def backlog(self) -> int:
        """Bytes in the outbox and in the socket's own buffer."""
        return sum(map(len, self._outbox)) + self._unwritten()

    def bound(self, backlog: int, overflow: Callable[[], None]) -> None:
        """See :meth:`relay.transport.Transport.bound`."""
        self._bound = self._room = backlog
        self._overflow = overflow

    def send(self, frame: bytes) -> None:
        """Queue one finished frame for this tick's write."""
        room = self._room - len(frame)
        if room < 0 and (room := self._look_again(len(frame))) < 0:
            return  # too much is waiting, or this is closed: one comparison for both on the hot path
        self._room = room
        outbox = self._outbox
        if not outbox:
            self._flusher.add(self)
        outbox.append(frame)

    def flush(self) -> None:
        """Write what is queued, in one go."""
        outbox = self._outbox
        if not outbox:
            return
        self._outbox = []
        socket = self._socket
        if socket.is_closing():  # nothing waits any more, and asyncio's TLS transport cannot be asked then
            if self._room >= 0:
                self._room = self._bound
            return
        socket.write(outbox[0] if len(outbox) == 1 else b"".join(outbox))
        if self._room >= 0:
            self._room = self._bound - socket.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame after what is queued; the socket is cut if no answer comes."""
        self._finish_with(frames.close(code, reason))

    def answer_close(self, code: int) -> None:
        """Answer the client's own close frame; nothing more is sent."""
        self._finish_with(frames.frame(frames.CLOSE, code.to_bytes(2, "big") if code else b""))

    def abort(self) -> None:
        """Cut the socket now."""
        self._stop()
        self._outbox = []
        self._socket.abort()

    def end(self) -> None:
        """Nobody reads this socket any more: write what is left and close it."""
        self._stop()
        self.flush()
        self._socket.close()
        if self._unwritten():  # whoever does not read must not keep the socket for ever
            asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._cut)

    def _finish_with(self, frame: bytes) -> None:
        if self._closing:
            return
        self._stop()
        if not self._outbox:
            self._flusher.add(self)
        self._outbox.append(frame)
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._cut)

    def _cut(self) -> None:
        if not self._socket.is_closing() or self._unwritten():
            self._socket.abort()

    def _unwritten(self) -> int:
        try:
            return self._socket.get_write_buffer_size()
        except AttributeError:  # what asyncio's TLS transport says when it is closed
            return 0

    def _stop(self) -> None:
        self._closing = True
        self._room = -1
        self._overflow = None

    def _look_again(self, size: int) -> int:
        """The room that is left after ``size`` more bytes, now that some may have been read; if there is none, this
        client is too slow.
        """
        if self._room >= 0:
            room = self._bound - self.backlog - size
            if room >= 0:
                return room
            self._room = -1
            overflow, self._overflow = self._overflow, None
            if overflow is not None:
                overflow()
        return -1
