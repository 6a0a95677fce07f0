"""What waits for one client that reads more slowly than it is written to: bounded, by a policy that has a name.

Both transports keep their slow clients' frames in a :class:`Backlog`. What a frame says is read from its bytes, and
only here: a client that keeps up costs nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from relay.transport import Framing

Policy = Literal["disconnect", "drop_oldest", "latest_only"]
"""What becomes of a client that does not keep up.

- ``disconnect``: it is closed with 4100 when more than the bounds would wait for it.
- ``drop_oldest``: the oldest waiting events make room for new ones.
- ``latest_only``: as long as it is behind, an event takes the place of a waiting one with the same channel and name;
  beyond the bounds the oldest make room.
"""

POLICIES: tuple[Policy, ...] = ("disconnect", "drop_oldest", "latest_only")

_MOST_HANDED_ON = 64 << 10


class Bounds(msgspec.Struct, frozen=True):
    """What may wait for one client, and what happens beyond that."""

    max_bytes: int = 1 << 20
    max_frames: int = 10_000
    policy: Policy = "disconnect"

    @property
    def drops(self) -> bool:
        """Whether events are dropped rather than clients."""
        return self.policy != "disconnect"

    @property
    def at_once(self) -> tuple[int, int]:
        """Bytes and frames that a transport hands on before it looks again: all that may wait, or a ``portion``."""
        return self.portion if self.drops else (self.max_bytes, self.max_frames)

    @property
    def portion(self) -> tuple[int, int]:
        """Bytes and frames that a dropping transport hands on at once: what is handed on cannot be dropped any more,
        and must leave room for what is newer. One frame may be larger.
        """
        return min(_MOST_HANDED_ON, self.max_bytes // 2), max(1, self.max_frames // 2)


class Backlog:
    """The frames that wait for one client, oldest first, within ``bounds``.

    Only events of the application are ever lost: acknowledgements, news about members, errors, pings and pongs are
    not. Once those alone exceed the bounds it is ``full`` for good, and the client has to be disconnected.
    """

    __slots__ = ("_bounds", "_events", "_frames", "_framing", "_latest", "_number", "bytes", "full")

    def __init__(self, bounds: Bounds, framing: Framing) -> None:
        self.bytes = 0
        self.full = False
        self._bounds = bounds
        self._framing = framing
        self._number = 0
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._events: OrderedDict[int, _Event] = OrderedDict()
        """Those of the frames that may be lost."""
        self._latest: dict[_Event, int] | None = {} if bounds.policy == "latest_only" else None

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, frame: bytes, *, held_bytes: int = 0, held_frames: int = 0) -> int:
        """Let ``frame`` wait as the last; returns how many events were lost for that, ``frame`` itself perhaps.

        ``held_bytes`` and ``held_frames`` are elsewhere and count towards the bounds too.
        """
        event = _event_of(self._framing.text, frame)
        room = self._bounds.max_bytes - held_bytes - len(frame)
        places = self._bounds.max_frames - held_frames - 1
        lost = 0
        if min(room, places) >= 0:  # else no loss of others would help
            if event is not None and self._latest is not None and event in self._latest:
                self._remove(self._latest[event])
                lost += 1
            while self._events and (self.bytes > room or len(self._frames) > places):
                self._remove(next(iter(self._events)))
                lost += 1
        if self.bytes > room or len(self._frames) > places:
            if event is not None:
                return lost + 1
            self.full = True
            return lost
        number = self.append(frame)
        if event is not None:
            self._events[number] = event
            if self._latest is not None:
                self._latest[event] = number
        return lost

    def append(self, frame: bytes) -> int:
        """Let ``frame`` wait as the last whatever the bounds say, and never lose it; returns its number."""
        self._number += 1
        self._frames[self._number] = frame
        self.bytes += len(frame)
        return self._number

    def take(self, most_bytes: int, most_frames: int) -> list[bytes]:
        """Remove and return the oldest frames that are within these limits together, but at least one if there is."""
        taken: list[bytes] = []
        room = most_bytes
        while self._frames and len(taken) < most_frames:
            number, frame = next(iter(self._frames.items()))
            room -= len(frame)
            if taken and room < 0:
                break
            self._remove(number)
            taken.append(frame)
        return taken

    def take_all(self) -> bytes:
        """Remove everything and return it in one piece."""
        return b"".join(self.take(self.bytes, len(self._frames)))

    def _remove(self, number: int) -> None:
        self.bytes -= len(self._frames.pop(number))
        event = self._events.pop(number, None)
        if event is not None and self._latest is not None:
            del self._latest[event]


class _Event(msgspec.Struct, frozen=True):
    """All that a policy asks of an event."""

    event: str
    channel: str = ""


_decode = msgspec.json.Decoder(_Event).decode


@lru_cache(maxsize=1)  # an event is the same bytes for everybody, so it is read once for all who are slow
def _event_of(text_of: Callable[[bytes], bytes | None], frame: bytes) -> _Event | None:
    """The event in ``frame`` if it is the application's own; None for what may not be lost."""
    text = text_of(frame)
    if text is None:
        return None
    try:
        event = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return None if event.event.startswith("pusher") else event  # a namespace no publisher may use
