"""One event to many transports: encode once, frame once, write once.

What a channel's subscribers get in one tick is the same for all of them but a few. So they share it: the first event
puts one :class:`Batch` into everybody's outbox, and each further one is added there, whatever the number of
subscribers. At the end of the tick its frames are joined once and every socket writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from relay.transport import Framing, Transport

if TYPE_CHECKING:
    from relay.channels import Channel

C = TypeVar("C")

ROOM: Final = 16 << 10
"""Bytes that a batch may hold; whoever takes part sets so much aside."""
_WORTH_IT: Final = 8
"""Subscribers from which on sharing is cheaper."""


class Batch:
    """Frames that many transports send, one after another as if each had got every one of them.

    Only the last thing in an outbox may grow: whoever puts something behind a batch closes it, and so does who
    joins or leaves the channel. ``alone`` are the channel's subscribers who take no part and are sent each frame.
    """

    __slots__ = ("_framing", "_joined", "alone", "frames", "open", "size")

    def __init__(self, framing: Framing, frame: bytes) -> None:
        self._framing = framing
        self._joined: bytes | None = None
        self.frames = [frame]
        self.size = len(frame)
        self.alone: list[Transport] = []
        self.open = True

    def __len__(self) -> int:
        return self.size

    def add(self, text: bytes) -> bool:
        """Send ``text`` to everybody who takes part or is ``alone``; False when it is too late for that."""
        if not self.open:
            return False
        frame = self._framing.frame(text)
        if self.size + len(frame) > ROOM:
            return False
        self.size += len(frame)
        self.frames.append(frame)
        if self.alone:
            broadcast(self.alone, text)
        return True

    def joined(self) -> bytes:
        """All frames in one piece, the same for everybody; nothing can be added any more."""
        if self._joined is None:
            self.open = False
            self._joined = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        return self._joined


def fan_out(channel: Channel[C], text: bytes, excluded: Transport | None = None) -> None:
    """Queue ``text`` on every transport in ``channel`` but ``excluded``.

    Server WebSocket frames are not masked, so one kind's frame is the same bytes for everyone. Nothing in here may
    wait, log, raise or change who is in the channel: overflow is told later (see Transport.bound).
    """
    transports = channel.transports
    if len(transports) < _WORTH_IT or (excluded is not None and excluded in transports):
        broadcast(transports, text, excluded)
    elif channel.batch is None or not channel.batch.add(text):
        channel.batch = _share(transports, text)


def broadcast(transports: Iterable[Transport], text: bytes, excluded: Transport | None = None) -> None:
    """Queue ``text`` on each of ``transports`` but ``excluded``, framing it once for each kind of transport."""
    framing: Framing | None = None
    frame = b""
    for transport in transports:
        if transport is excluded:
            continue
        if transport.framing is not framing:
            framing = transport.framing
            frame = framing.frame(text)
        transport.send(frame)


def _share(transports: Collection[Transport], text: bytes) -> Batch | None:
    """Queue ``text`` as the first of a batch; None where nothing can be shared."""
    framing = next((one.framing for one in transports if one.framing.shares), None)
    if framing is None or len(frame := framing.frame(text)) > ROOM:
        broadcast(transports, text)
        return None
    batch = Batch(framing, frame)
    alone = batch.alone
    for transport in transports:
        if transport.framing is not framing or not transport.share(batch):
            alone.append(transport)
    if alone:
        broadcast(alone, text)
    return batch
