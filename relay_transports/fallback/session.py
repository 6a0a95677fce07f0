"""One client that is served over HTTP: what it is yet to hear, and which of its requests hears it (protocol 9).

The session is the Transport that the hub writes to. Whoever has the client's receive requests tells of them, and
writes what there is to write::

    receiver = session.attach(STREAM, wake, now)      a receive request came; the turn of an earlier one is over
    data = session.take(receiver, now)                write this to its response, if it is anything
    session.confirm(receiver)                         the kernel took all of it
    session.detach(receiver, now)                     the request is over, whoever ended it

``wake`` is called in the middle of the hub's fan-out, and must do no more than wake somebody, who then takes. What
comes before that leaves in one line, so all events of one turn of the loop are one write. A receiver that is ``over``
gets nothing more: its response ends.

The client's end of a stream aborts and asks again when it has read more than 256 KiB, and what is on its way then is
lost to it. So a stream that carried as much is ``spent`` and rests until the client comes again, or, in case it is one
that does not, until the next heartbeat is due. Nothing is lost on the way from one response to the next.

A session looks at no clock: ``due`` tells when ``expire`` wants to be called.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from relay.backlog import Backlog, Bounds
from relay.fanout import Batch
from relay_transports.fallback import frames
from relay_transports.fallback.frames import FALLBACK

HEARTBEAT_SECONDS: Final = 25.0
"""The longest silence on a stream, and the longest time that a poll is held."""
AWAY_SECONDS: Final = 10.0
"""How long a client may be without a receive request."""

_QUIET_SECONDS: Final = 10.0
"""Silence after which a client's own heartbeat is answered; sooner, the two would keep each other busy."""
_LINE_BYTES: Final = 64 << 10
"""Bytes of events in one line, unless a single one is larger."""
_UNBOUND: Final = Bounds()


class Manner(msgspec.Struct, frozen=True):
    """How one kind of receive request is answered."""

    prelude: bytes = b""
    """What its response begins with."""
    once: bool = False
    """Whether it ends when it said something."""
    limit: float = math.inf
    """Bytes after which it rests, for its client asks again by itself."""
    ends: bool = False
    """Whether it ends at the limit instead, so that its client asks again."""
    one_line: bool = False
    """Whether it takes no more than a line at a time."""


STREAM: Final = Manner(prelude=frames.PRELUDE, limit=256 << 10)
"""``xhr_streaming`` of pusher-js, which asks again when it has read more than that (protocol 9.3)."""
POLL: Final = Manner(once=True)
"""``xhr`` (protocol 9.4)."""
ENDING: Final = Manner(limit=128 << 10, ends=True)
"""``eventsource`` and ``htmlfile`` of SockJS, whose clients ask again when a stream ends."""
SCRIPT: Final = Manner(once=True, one_line=True)
"""``jsonp`` of SockJS."""


class Receiver:
    """One receive request of a client; ``over`` when its response is to end after what was taken for it."""

    __slots__ = ("begun", "manner", "over", "room", "wake")

    def __init__(self, manner: Manner, wake: Callable[[], None]) -> None:
        self.manner = manner
        self.wake = wake
        self.over = False
        self.begun = False
        self.room = manner.limit

    @property
    def spent(self) -> bool:
        """Whether the client is about to ask again, so that what is written here might not reach it."""
        return self.room < 0


class FallbackSession:
    """Implements :class:`relay.transport.Transport`; the reading half is in the module's text.

    ``ended`` is called once, when the hub closed or aborted it: no more events will come. ``heartbeat`` is the longest
    silence in seconds, which should be well below the App's ``activity_timeout``.
    """

    __slots__ = (
        "_away_since",
        "_beat",
        "_bounds",
        "_ended",
        "_flying",
        "_heartbeat",
        "_lost",
        "_most",
        "_open",
        "_overflow",
        "_places",
        "_ready",
        "_ready_bytes",
        "_receiver",
        "_said",
        "_silent_since",
        "_waiting",
        "aborted",
        "closed",
        "framing",
    )

    def __init__(self, ended: Callable[[], None], now: float, *, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self.framing = FALLBACK
        self.closed: tuple[int, str] | None = None
        self.aborted = False
        self._ended = ended
        self._heartbeat = heartbeat
        self._ready: deque[bytes] = deque()
        """Events for the next lines."""
        self._ready_bytes = 0
        self._flying = (0, 0)
        """Bytes and number of the events that were taken, and are not with the kernel yet."""
        self._waiting: Backlog | None = None
        """Events behind those, which the App's policy may drop."""
        self._bounds = _UNBOUND
        self._most, self._places = _UNBOUND.at_once
        self._overflow: Callable[[], None] | None = None
        self._lost: Callable[[int], None] | None = None
        self._open = True
        self._said = False
        """Whether the client was told that the session is open, which it must be once."""
        self._beat = False
        self._receiver: Receiver | None = None
        self._away_since = self._silent_since = now

    # The hub's half

    @property
    def backlog(self) -> int:
        """Bytes accepted and not yet given to the kernel."""
        return self._ready_bytes + self._flying[0] + (0 if self._waiting is None else self._waiting.bytes)

    def bound(self, bounds: Bounds, overflow: Callable[[], None], lost: Callable[[int], None]) -> None:
        """See :meth:`relay.transport.Transport.bound`."""
        self._bounds = bounds
        self._overflow = overflow
        self._lost = lost
        self._most, self._places = bounds.at_once

    def send(self, frame: bytes) -> None:
        """Queue ``frame``, and wake the client's request for it."""
        if not self._open:
            return
        size, count = self._flying
        size += self._ready_bytes + len(frame)
        if self._waiting is not None or size > self._most or len(self._ready) + count >= self._places:
            self._keep(frame)
        else:
            self._ready.append(frame)
            self._ready_bytes += len(frame)
        if self._receiver is not None:
            self._receiver.wake()

    def share(self, batch: Batch) -> bool:
        """Never: what a client gets waits for a request of its own."""
        return False

    def close(self, code: int, reason: str = "") -> None:
        """Tell the client after what is queued; whoever asks later is told again."""
        if self.closed is None:
            self._end(code, reason)

    def abort(self) -> None:
        """End the client's request now, dropping what is queued."""
        self._ready.clear()
        self._ready_bytes, self._flying, self._waiting = 0, (0, 0), None
        self.aborted = True
        if self.closed is None:
            self._end(1006, "")
        elif self._receiver is not None:
            self._receiver.wake()

    # The client's half

    @property
    def receiver(self) -> Receiver | None:
        """The client's receive request, if one is there."""
        return self._receiver

    @property
    def due(self) -> float:
        """When ``expire`` wants to be called."""
        if self.closed is not None:
            return math.inf
        return self._away_since + AWAY_SECONDS if self._receiver is None else self._silent_since + self._heartbeat

    def expire(self, now: float) -> bool:
        """It is ``due``: a heartbeat is to be written, or the client was away for too long, which gives True."""
        if self.due > now:
            return False
        if self._receiver is None:
            return True
        if self._receiver.spent:
            self._receiver.room = self._receiver.manner.limit
        self._silent_since = now
        self._beat = True
        self._receiver.wake()
        return False

    def heard(self, now: float) -> None:
        """The client sent its own heartbeat, and wants to see anything at all within 30 seconds (protocol 9.3)."""
        receiver = self._receiver
        if receiver is None or receiver.spent or now - self._silent_since < _QUIET_SECONDS:
            return
        self._beat = True
        receiver.wake()

    def attach(self, manner: Manner, wake: Callable[[], None], now: float) -> Receiver:
        """A receive request came. One that is still there is over: its client has given it up (protocol 9.3)."""
        former, self._receiver = self._receiver, Receiver(manner, wake)
        self._silent_since = now
        self._beat = False
        if former is not None:
            former.over = True
            former.wake()
            self._land()
        return self._receiver

    def detach(self, receiver: Receiver, now: float) -> None:
        """The request is over. What was not taken for it waits for the next one."""
        receiver.over = True
        if receiver is self._receiver:
            self._receiver = None
            self._away_since = now
            self._land()

    def take(self, receiver: Receiver, now: float) -> bytes:
        """What to write to this response now: whole lines, or nothing. A ``confirm`` must come before the next."""
        if self.aborted:
            receiver.over = True
        if receiver.over or self._flying[1]:
            return b""
        data = b"" if receiver.begun else receiver.manner.prelude
        more = not receiver.spent or self.closed is not None
        if not self._said:
            data += frames.OPEN
            self._said = True
            more = more and not receiver.manner.one_line
        if more:
            line = self._line()
            data += line
            more = not line or not receiver.manner.one_line
            if more and self.closed is not None and not self._ready and not self._waiting:
                data += frames.close(*self.closed)
                receiver.over = True
        if self._beat and not data:
            data = frames.HEARTBEAT
        if data:
            receiver.begun = True
            receiver.room -= len(data)
            receiver.over |= receiver.manner.once or (receiver.spent and receiver.manner.ends)
            self._silent_since = now
            self._beat = False
        return data

    def confirm(self, receiver: Receiver) -> None:
        """What was taken is with the kernel: more may be taken."""
        if receiver is self._receiver:
            self._land()

    def _line(self) -> bytes:
        """One line of the oldest events, nothing where there are none."""
        ready, size = self._ready, 0
        taken: list[bytes] = []
        while ready and (not taken or size + len(ready[0]) <= _LINE_BYTES):
            size += len(ready[0])
            taken.append(ready.popleft())
        self._ready_bytes -= size
        self._flying = size, len(taken)
        return frames.array(taken) if taken else b""

    def _land(self) -> None:
        self._flying = (0, 0)
        self._hand_on()

    def _keep(self, frame: bytes) -> None:
        """Let ``frame`` wait until the client has got what is before it, or give the client up."""
        if not self._bounds.drops:
            self._give_up()
            return
        if self._waiting is None:
            self._waiting = Backlog(self._bounds, self.framing)
        size, count = self._flying
        lost = self._waiting.push(frame, held_bytes=self._ready_bytes + size, held_frames=len(self._ready) + count)
        if lost and self._lost is not None:
            self._lost(lost)
        if self._waiting.full:
            self._give_up()
        self._hand_on()

    def _hand_on(self) -> None:
        """Make some of what waits ready for a client that has got all that was."""
        if self._waiting is None or self._ready or self._flying[1]:
            return
        for frame in self._waiting.take(*self._bounds.portion):
            self._ready.append(frame)
            self._ready_bytes += len(frame)
        if not self._waiting:
            self._waiting = None

    def _give_up(self) -> None:
        self._open = False
        overflow, self._overflow = self._overflow, None
        if overflow is not None:
            overflow()

    def _end(self, code: int, reason: str) -> None:
        self._open = False
        self.closed = code, reason
        self._ended()
        if self._receiver is not None:
            self._receiver.wake()
