"""What the hub writes to: one Transport a client, one Framing a kind of transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from relay.backlog import Bounds
    from relay.fanout import Batch


class Framing(Protocol):
    """How one kind of transport writes an event. Stateless; one instance a kind, compared by identity."""

    @property
    def ping(self) -> bytes | None:
        """The frame that makes a living client answer, or None where there is no such thing (protocol 1.6)."""

    @property
    def shares(self) -> bool:
        """Whether transports of this kind take part in a :class:`relay.fanout.Batch`."""

    def frame(self, text: bytes) -> bytes:
        """The finished event ``text`` as bytes that every transport of this kind can send."""

    def text(self, frame: bytes) -> bytes | None:
        """The event in ``frame``, the other way round; None for a frame that holds none, such as a ping."""


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

    def bound(self, bounds: Bounds, overflow: Callable[[], None], lost: Callable[[int], None]) -> None:
        """Called once, by the hub, before the first ``send``.

        A ``send`` that would leave more waiting than ``bounds`` allow must, as their policy says, either drop that
        frame and whatever comes after it and call ``overflow`` once; or lose events of the application, oldest
        first, call ``lost`` with how many, and ``overflow`` only if what may not be lost does not fit
        (:class:`relay.backlog.Backlog` does that). Both return at once and do not call back.
        """

    def send(self, frame: bytes) -> None:
        """Queue ``frame``: never waits, never raises, keeps order. Does nothing after close or abort."""

    def share(self, batch: Batch) -> bool:
        """Queue ``batch``: what is in it and whatever is added until it is closed, as if each were sent; False where
        that cannot be, and each frame has to be sent. Whatever is queued behind it closes it.
        """

    def close(self, code: int, reason: str = "") -> None:
        """End the connection after what is queued; idempotent."""

    def abort(self) -> None:
        """End it now, dropping what is queued."""
