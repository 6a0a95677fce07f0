"""What a client needs of its surroundings: time, and somebody to run its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from relay.clock import Clock
from relay.errors import RelayError


class Closed(RelayError):
    """A connection is over: ``code`` and ``reason`` of its close frame, 1006 where there was none."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the connection is closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason

    def __repr__(self) -> str:
        return f"Closed({self.code}, {self.reason!r})"


class Link(Protocol):
    """One connection of a client, whatever carries it.

    What arrives is given to ``client.feed``; the end, once, to ``client.ended``.
    """

    async def send(self, text: bytes) -> None:
        """Send one frame. Raises :class:`Closed` when there is nobody to send to."""

    def pump(self) -> None:
        """Give the client what arrived already, where nobody else does."""

    def close(self) -> None:
        """Go away; ``client.ended`` is not called any more."""


class Runtime(Protocol):
    """Time, and work beside the caller's. A Hub is one for the clients in its process."""

    @property
    def clock(self) -> Clock:
        """Where all of the client's time comes from."""

    def start_soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` beside everything else."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when the clock reaches ``when``; returns what takes that back."""
