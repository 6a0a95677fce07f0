"""Frames for a reader in this process: the bytes a socket would get, minus the socket."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from relay.backlog import Backlog, Bounds
from relay.client.runtime import Closed
from relay.fanout import Batch
from relay.protocol import messages

Tap = Callable[[str, bytes], None]
"""Shown every frame: ``tap("sent", text)`` for the client's, ``tap("received", text)`` for the hub's."""


class TextFraming:
    """Events as they are."""

    ping = messages.PING
    shares = False

    def frame(self, text: bytes) -> bytes:
        """The text itself."""
        return text

    def text(self, frame: bytes) -> bytes | None:
        """The frame itself: there is nothing but events."""
        return frame


TEXT = TextFraming()


class InProcessTransport:
    """Implements :class:`relay.transport.Transport`.

    ``arrived`` is called for every frame and for the end, in the middle of the hub's fan-out: it must do no more
    than wake somebody. ``take`` is how the reader gets its frames. As with a socket, what the policy of the hub's App
    may drop is what comes when half of the bounds is waiting already; ``arrived`` hears of it if it is not dropped.
    """

    __slots__ = (
        "_backlog",
        "_bounds",
        "_frames",
        "_lost",
        "_most",
        "_open",
        "_overflow",
        "_places",
        "_room",
        "_waiting",
        "arrived",
        "closed",
        "framing",
        "tap",
    )

    def __init__(self, tap: Tap | None = None) -> None:
        self.framing = TEXT
        self.closed: Closed | None = None
        self.arrived: Callable[[bytes], None] | None = None
        self.tap = tap
        self._frames: deque[bytes] = deque()
        self._backlog = 0
        self._most: float = math.inf
        self._places: float = math.inf
        self._room: float = math.inf
        """Bytes that may be handed on; below 0 where frames take another way."""
        self._waiting: Backlog | None = None
        self._bounds: Bounds | None = None
        self._overflow: Callable[[], None] | None = None
        self._lost: Callable[[int], None] | None = None
        self._open = True

    @property
    def backlog(self) -> int:
        """Bytes that were not read yet."""
        return self._backlog + (0 if self._waiting is None else self._waiting.bytes)

    def bound(self, bounds: Bounds, overflow: Callable[[], None], lost: Callable[[int], None]) -> None:
        """See :meth:`relay.transport.Transport.bound`."""
        self._bounds = bounds
        self._overflow = overflow
        self._lost = lost
        self._most, self._places = bounds.at_once
        self._room = self._most

    def send(self, frame: bytes) -> None:
        """Queue ``frame`` for the reader."""
        backlog = self._backlog + len(frame)
        if backlog > self._room or len(self._frames) >= self._places:
            self._look_again(frame)
            return
        self._backlog = backlog
        self._frames.append(frame)
        if self.tap is not None:
            self.tap("received", frame)
        if self.arrived is not None:
            self.arrived(frame)

    def _look_again(self, frame: bytes) -> None:
        """``frame`` cannot be handed on now: the reader is behind, or this is closed."""
        if not self._open or self._bounds is None:
            return
        if self._waiting is None:
            if not self._bounds.drops:
                self._give_up()
                return
            self._waiting = Backlog(self._bounds, self.framing)
            self._room = -1
        self._keep(frame, self._waiting)

    def _keep(self, frame: bytes, waiting: Backlog) -> None:
        """Let ``frame`` wait until the reader has taken what is before it."""
        lost = waiting.push(frame, held_bytes=self._backlog, held_frames=len(self._frames))
        if lost and self._lost is not None:
            self._lost(lost)
        if waiting.full:
            self._give_up()
        self._hand_on()

    def _hand_on(self) -> None:
        """Give a reader who has taken everything some of what waits."""
        if self._waiting is None or self._bounds is None or self._frames:
            return
        for frame in self._waiting.take(*self._bounds.portion):
            self._arrive(frame)
        if not self._waiting:
            self._waiting = None
            self._room = self._most if self._open else -1

    def _arrive(self, frame: bytes) -> None:
        self._backlog += len(frame)
        self._frames.append(frame)
        if self.tap is not None:
            self.tap("received", frame)
        if self.arrived is not None:
            self.arrived(frame)

    def _give_up(self) -> None:
        self._shut()
        if self._overflow is not None:
            self._overflow()

    def _shut(self) -> None:
        self._open = False
        self._room = -1

    def share(self, batch: Batch) -> bool:
        """Never: a reader in this process takes frame by frame."""
        return False

    def close(self, code: int, reason: str = "") -> None:
        """End after what is queued."""
        if self.closed is None:
            self._shut()
            self.closed = Closed(code, reason)
            if self.arrived is not None:
                self.arrived(b"")

    def abort(self) -> None:
        """End now."""
        self._frames.clear()
        self._backlog = 0
        self._waiting = None
        self.close(1006, "")

    def take(self) -> bytes | None:
        """The next frame, if one is there."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._backlog -= len(frame)
        self._hand_on()
        return frame
