"""Frames for a reader in this process: the bytes a socket would get, minus the socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from relay.client.runtime import Closed
from relay.protocol import messages

Tap = Callable[[str, bytes], None]
"""Shown every frame: ``tap("sent", text)`` for the client's, ``tap("received", text)`` for the hub's."""


class TextFraming:
    """Events as they are."""

    ping = messages.PING

    def frame(self, text: bytes) -> bytes:
        """The text itself."""
        return text


TEXT = TextFraming()


class InProcessTransport:
    """Implements :class:`relay.transport.Transport`.

    ``arrived`` is called for every frame and for the end, in the middle of the hub's fan-out: it must do no more
    than wake somebody. ``take`` is how the reader gets its frames.
    """

    __slots__ = ("_backlog", "_bound", "_frames", "_open", "_overflow", "arrived", "closed", "framing", "tap")

    def __init__(self, tap: Tap | None = None) -> None:
        self.framing = TEXT
        self.closed: Closed | None = None
        self.arrived: Callable[[bytes], None] | None = None
        self.tap = tap
        self._frames: deque[bytes] = deque()
        self._backlog = 0
        self._bound: float = float("inf")
        self._overflow: Callable[[], None] | None = None
        self._open = True

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
        if not self._open:
            return
        backlog = self._backlog + len(frame)
        if backlog > self._bound:
            self._open = False
            if self._overflow is not None:
                self._overflow()
            return
        self._backlog = backlog
        self._frames.append(frame)
        if self.tap is not None:
            self.tap("received", frame)
        if self.arrived is not None:
            self.arrived(frame)

    def close(self, code: int, reason: str = "") -> None:
        """End after what is queued."""
        if self.closed is None:
            self._open = False
            self.closed = Closed(code, reason)
            if self.arrived is not None:
                self.arrived(b"")

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
