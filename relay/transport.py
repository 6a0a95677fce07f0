"""What the hub writes to: one Transport a client, one Framing a kind of transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Framing(Protocol):
    """How one kind of transport writes an event. Stateless; one instance a kind, compared by identity."""

    @property
    def ping(self) -> bytes | None:
        """The frame that makes a living client answer, or None where there is no such thing (protocol 1.6)."""

    def frame(self, text: bytes) -> bytes:
        """The finished event ``text`` as bytes that every transport of this kind can send."""


class Transport(Protocol):
    """The writing half of one client connection.

    It has no receive: whoever owns the socket reads, and calls ``await connection.receive(text)`` one
    message at a time, then ``connection.disconnected()`` once, whatever ended it. Compared and hashed by
    identity.
    """

    @property
    def framing(self) -> Framing:
        """The same object for every transport of one kind."""

    @property
    def backlog(self) -> int:
        """Bytes accepted and not yet given to the kernel (or the reader)."""

    def bound(self, backlog: int, overflow: Callable[[], None]) -> None:
        """Called once, by the hub, before the first ``send``.

        A ``send`` that would leave more than ``backlog`` bytes waiting must drop that frame and whatever
        comes after it, and call ``overflow`` once. ``overflow`` returns at once and does not call back.
        """

    def send(self, frame: bytes) -> None:
        """Queue ``frame``: never waits, never raises, keeps order. Does nothing after close or abort."""

    def close(self, code: int, reason: str = "") -> None:
        """End the connection after what is queued; idempotent."""

    def abort(self) -> None:
        """End it now, dropping what is queued."""
