"""Writing to sockets: everything a connection gets during one loop tick leaves in one write.

The system call is what fan-out costs, so fewer of them is the only way to be faster than it (design 3.2).
The busier the loop, the more frames share a write; nothing waits for a timer, unless the App asks for one.

What a client does not read in time stays in asyncio's buffer, where nothing can be dropped any more. Under a policy
that drops events, little is handed to asyncio at once, and while it has not written that, frames wait in a
:class:`relay.backlog.Backlog`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from relay.backlog import Backlog, Bounds
from relay.fanout import ROOM, Batch
from relay_transports import frames
from relay_transports.frames import WEBSOCKET

_BUDGET = 128
"""Sockets written before the loop may do something else, so that one huge channel cannot hold it: so many of those
that got something just now, and as many of those that are left from before, so that neither waits for the other."""

_CLOSE_SECONDS = 5.0
"""How long a client may take to read what is left and answer our close frame."""

_LOOK_AGAIN_SECONDS = 0.02
"""How often a socket is looked at that cannot tell when its buffer is empty."""

_SMALLEST = 2
"""Bytes of the smallest frame there is: room in bytes also says for how many frames there is surely room."""

_UNBOUND = Bounds()


class Flusher:
    """The sockets of one loop that have something to write.

    Each is written at the end of the tick, or ``interval`` seconds after the first got something. Those that got the
    same thing are a group, and small groups come first: a channel with a few subscribers does not wait for one with
    thousands. What is more than the budget is written in the next turns of the loop, beside what those turns bring.
    """

    __slots__ = ("_group", "_groups", "_interval", "_left", "_loop", "_thing")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float = 0.0) -> None:
        self._loop = loop
        self._interval = interval
        self._thing: object = None
        self._group: list[SocketTransport] = []
        self._groups: list[list[SocketTransport]] = []
        self._left: deque[SocketTransport] = deque()

    def add(self, transport: SocketTransport, thing: object) -> None:
        """Write ``transport``, which got ``thing``, when it is time."""
        if thing is not self._thing:
            if not self._groups:
                if self._interval:
                    self._loop.call_later(self._interval, self._flush)
                else:
                    self._loop.call_soon(self._flush)
            self._thing = thing
            self._group = []
            self._groups.append(self._group)
        self._group.append(transport)

    def add_last(self, transport: SocketTransport) -> None:
        """Write ``transport`` at the end of this tick: nothing comes after this, so nothing is worth waiting for."""
        self._loop.call_soon(transport.flush)

    def _flush(self) -> None:
        groups, self._groups, self._thing = self._groups, [], None
        room = _BUDGET
        if len(groups) > 1 and sum(map(len, groups)) > room:
            groups.sort(key=len)
        for group in groups:
            if len(group) > room:
                self._leave(group[room:])
                del group[room:]
            room -= len(group)
            for transport in group:
                transport.flush()

    def _leave(self, group: list[SocketTransport]) -> None:
        if not self._left:
            self._loop.call_soon(self._go_on)
        self._left.extend(group)

    def _go_on(self) -> None:
        left = self._left
        for _ in range(min(_BUDGET, len(left))):
            left.popleft().flush()
        if left:
            self._loop.call_soon(self._go_on)


class Unwritten:
    """How many frames are in a socket's buffer, which knows only of bytes."""

    __slots__ = ("_bytes", "_frames", "_writes")

    def __init__(self) -> None:
        self._writes: deque[tuple[int, int]] = deque()
        self._bytes = self._frames = 0

    def wrote(self, size: int, count: int, left: int) -> None:
        """``count`` frames of ``size`` bytes were written; the buffer holds ``left`` bytes now."""
        self._writes.append((size, count))
        self._bytes += size
        self._frames += count
        self.frames(left)

    def frames(self, left: int) -> int:
        """The most frames that may be in the buffer when it holds ``left`` bytes."""
        while self._writes and self._bytes - self._writes[0][0] >= left:
            size, count = self._writes.popleft()
            self._bytes -= size
            self._frames -= count
        return self._frames


class SocketTransport:
    """WebSocket frames to one socket. Implements :class:`relay.transport.Transport`.

    ``socket`` is the asyncio transport below aiohttp's response; it is written to directly, with frames
    that every subscriber shares.
    """

    # _room: bytes that surely fit; below 0 where frames take another way: nothing more is taken (_over), or the
    # client is behind (_behind holds what comes, while the socket's buffer is not empty).
    __slots__ = (
        "_behind",
        "_bounds",
        "_closing",
        "_flusher",
        "_lost",
        "_most",
        "_outbox",
        "_over",
        "_overflow",
        "_room",
        "_socket",
        "_unwritten",
        "framing",
    )

    def __init__(self, socket: asyncio.Transport, flusher: Flusher) -> None:
        self.framing = WEBSOCKET
        self._socket = socket
        self._flusher = flusher
        self._outbox: list[bytes | Batch] = []
        self._behind: Backlog | None = None
        self._unwritten: Unwritten | None = None
        self._bounds = _UNBOUND
        self._most = self._room = _UNBOUND.max_bytes
        self._overflow: Callable[[], None] | None = None
        self._lost: Callable[[int], None] | None = None
        self._over = False
        self._closing = False

    @property
    def backlog(self) -> int:
        """Bytes in the outbox, behind it and in the socket's own buffer."""
        waiting = self._behind.bytes if self._behind is not None else 0
        return sum(map(len, self._outbox)) + waiting + self._left()

    def bound(self, bounds: Bounds, overflow: Callable[[], None], lost: Callable[[int], None]) -> None:
        """See :meth:`relay.transport.Transport.bound`."""
        self._bounds = bounds
        self._overflow = overflow
        self._lost = lost
        size, count = bounds.at_once
        self._most = self._room = min(size, count * _SMALLEST)

    def send(self, frame: bytes) -> None:
        """Queue one finished frame for this tick's write."""
        room = self._room - len(frame)
        if room < 0 and (room := self._look_again(frame)) < 0:
            return  # it waits elsewhere, or is not taken: one comparison for all on the hot path
        self._room = room
        outbox = self._outbox
        if not outbox:
            self._flusher.add(self, frame)
        elif isinstance(last := outbox[-1], Batch):
            last.open = False
        outbox.append(frame)

    def share(self, batch: Batch) -> bool:
        """See :meth:`relay.transport.Transport.share`."""
        room = self._room - ROOM
        if room < 0:
            return False
        self._room = room
        outbox = self._outbox
        if not outbox:
            self._flusher.add(self, batch)
        elif isinstance(last := outbox[-1], Batch):
            last.open = False
        outbox.append(batch)
        return True

    def flush(self) -> None:
        """Write what is queued, in one go."""
        outbox = self._outbox
        if not outbox:
            return
        self._outbox = []
        socket = self._socket
        if socket.is_closing():  # nothing waits any more, and asyncio's TLS transport cannot be asked then
            if self._room >= 0:
                self._room = self._most
            return
        if len(outbox) == 1:
            only = outbox[0]
            data = only.joined() if isinstance(only, Batch) else only
        else:
            data = b"".join([each.joined() if isinstance(each, Batch) else each for each in outbox])
        socket.write(data)
        if self._room >= 0:
            left = socket.get_write_buffer_size()
            if left:
                self._left_over(len(data), _count(outbox), left)
            else:
                self._room = self._most

    def catch_up(self) -> None:
        """Write what waits, as much as the socket takes; when that was all, the client is not behind any more."""
        waiting, socket = self._behind, self._socket
        if waiting is None:
            return
        while waiting and not self._left() and not socket.is_closing():
            portion = waiting.take(*self._bounds.portion)
            data = b"".join(portion)
            socket.write(data)
            self._note(len(data), len(portion), self._left())
        if (waiting or self._left()) and not socket.is_closing():
            self._await_reader()
            return
        self._behind = None
        self._room = -1 if self._over else self._most

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
        self._behind = None
        self._socket.abort()

    def end(self) -> None:
        """Nobody reads this socket any more: write what is left and close it."""
        self._stop()
        self.write_all()
        self._socket.close()
        if self._left():  # whoever does not read must not keep the socket for ever
            asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._cut)

    def write_all(self) -> None:
        """Hand on all there is to write, however long the socket will take for it."""
        self.flush()
        waiting, self._behind = self._behind, None
        if waiting and not self._socket.is_closing():
            self._socket.write(waiting.take_all())

    def _finish_with(self, frame: bytes) -> None:
        if self._closing:
            return
        self._stop()
        if self._behind is not None:
            self._behind.append(frame)
        else:
            self._close_batches()
            self._outbox.append(frame)
            self._flusher.add_last(self)
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._cut)

    def _cut(self) -> None:
        if not self._socket.is_closing() or self._left():
            self._socket.abort()

    def _left(self) -> int:
        """Bytes in the socket's own buffer."""
        try:
            return self._socket.get_write_buffer_size()
        except AttributeError:  # what asyncio's TLS transport says when it is closed
            return 0

    def _stop(self) -> None:
        self._closing = self._over = True
        self._room = -1
        self._overflow = self._lost = None

    def _look_again(self, frame: bytes) -> int:
        """The room that is left after ``frame``, which did not surely fit; below 0 when it is not for the outbox."""
        if self._over:
            return -1
        if self._behind is None:
            room = self._room_after(frame)
            if room >= 0:
                return room
            if not self._bounds.drops:
                self._give_up()
                return -1
            self.flush()  # the socket knows best whether this client is behind
            if self._behind is None:
                return self._alone(frame)
        self._keep(frame)
        return -1

    def _alone(self, frame: bytes) -> int:
        """The room that is left after a large ``frame`` when nothing else waits; below 0 when it can never fit."""
        if len(frame) <= self._bounds.max_bytes:
            return max(0, self._most - len(frame))
        self._behind = Backlog(self._bounds, self.framing)
        self._keep(frame)
        self.catch_up()
        return -1

    def _room_after(self, frame: bytes) -> int:
        bounds, left, count = self._bounds, self._left(), _count(self._outbox) + 1
        size = sum(map(len, self._outbox)) + len(frame) + left
        if left and self._unwritten is not None:
            count += self._unwritten.frames(left)
        most_bytes, most_count = bounds.at_once
        return min(most_bytes - size, (most_count - count) * _SMALLEST)

    def _left_over(self, size: int, count: int, left: int) -> None:
        """The socket did not take all of a write."""
        self._note(size, count, left)
        if self._bounds.drops:
            self._fall_behind()
        else:
            assert self._unwritten is not None
            places = self._bounds.max_frames - self._unwritten.frames(left)
            self._room = max(0, min(self._bounds.max_bytes - left, places * _SMALLEST))

    def _note(self, size: int, count: int, left: int) -> None:
        if left:
            if self._unwritten is None:
                self._unwritten = Unwritten()
            self._unwritten.wrote(size, count, left)

    def _fall_behind(self) -> None:
        self._behind = Backlog(self._bounds, self.framing)
        self._room = -1
        self._await_reader()

    def _await_reader(self) -> None:
        """See to it that ``catch_up`` is called when the socket's buffer is empty; soon after will do."""
        asyncio.get_running_loop().call_later(_LOOK_AGAIN_SECONDS, self.catch_up)

    def _keep(self, frame: bytes) -> None:
        """Let ``frame`` wait until the client has read what is before it."""
        waiting, left = self._behind, self._left()
        assert waiting is not None
        held = self._unwritten.frames(left) if self._unwritten is not None else 0
        lost = waiting.push(frame, held_bytes=left, held_frames=held)
        if lost and self._lost is not None:
            self._lost(lost)
        if waiting.full:
            self._give_up()

    def _close_batches(self) -> None:
        for each in self._outbox:
            if isinstance(each, Batch):
                each.open = False

    def _give_up(self) -> None:
        """Take no more: the client is too slow."""
        self._close_batches()
        self._over = True
        self._room = -1
        overflow, self._overflow = self._overflow, None
        if overflow is not None:
            overflow()


def _count(outbox: list[bytes | Batch]) -> int:
    """How many frames these are."""
    return sum(len(each.frames) if isinstance(each, Batch) else 1 for each in outbox)
