"""Every frame of every connection, in both directions, with the time on the test's clock."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from relay.client.subscriber import Subscriber
from relay.clock import Clock

_MOST_SHOWN = 200
_LONGEST_SHOWN = 300


class Entry(msgspec.Struct, frozen=True):
    """One frame: ``direction`` is ``"sent"`` by client number ``connection`` or ``"received"`` by it."""

    time: float
    connection: int
    direction: str
    text: bytes


class Transcript:
    """What went over all connections, oldest first. ``str(transcript)`` is for people."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[Entry] = []

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def note(self, connection: int, direction: str, text: bytes) -> None:
        """Add one frame."""
        self._entries.append(Entry(self._clock.now(), connection, direction, text))

    def frames(self, connection: int, direction: str) -> list[bytes]:
        """The frames of one connection in one direction."""
        return [e.text for e in self._entries if e.connection == connection and e.direction == direction]

    def __str__(self) -> str:
        shown = self._entries[-_MOST_SHOWN:]
        left_out = len(self._entries) - len(shown)
        lines = [f"... {left_out} frames before these"] if left_out else []
        lines += [_line(entry) for entry in shown]
        return "\n".join(lines) or "no frames"


def _line(entry: Entry) -> str:
    arrow = "C>" if entry.direction == "sent" else "S>"
    _, event = Subscriber().receive(entry.text)
    where = f"[{event.channel}] " if event.channel else ""
    text = entry.text.decode("utf-8", "replace")
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:_LONGEST_SHOWN]}... ({len(entry.text)} bytes)"
    return f"{entry.time:9.3f}  #{entry.connection} {arrow} {where}{text}"
