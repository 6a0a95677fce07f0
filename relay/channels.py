"""Who listens to what on this node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from relay.presence import Told
from relay.protocol.names import Kind, is_cached, kind_of
from relay.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.fanout import Batch
    from relay.inflight import InFlight

C = TypeVar("C")
"""A connection; this module only keeps it."""


class Channel(Generic[C]):
    """One occupied channel: its subscribers, and the connections that are just joining.

    ``transports`` is what fan-out walks; ``joining`` keeps what a connection must get right after its
    acknowledgement (design 3.4). ``attached`` tells that the broker delivers this channel to us, ``attaching`` that it
    was asked to; ``told`` who is in a presence channel, ``cached`` that it is a cache channel.

    Its published events have a rising step then. ``replayed`` holds the step of the event that a subscriber was
    given with its acknowledgement; that one, and those before it, may still be on their way from other nodes and
    are not for that subscriber any more. ``floor`` is the highest of these steps.
    """

    __slots__ = (
        "attached",
        "attaching",
        "batch",
        "cached",
        "floor",
        "joining",
        "name",
        "replayed",
        "told",
        "transports",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.transports: dict[Transport, C] = {}
        self.joining: dict[Transport, list[tuple[int, bytes]]] = {}
        self.attached = False
        self.attaching: InFlight | None = None
        self.batch: Batch | None = None
        """What its subscribers share in this tick; ends when one comes or goes."""
        self.cached = is_cached(name)
        self.replayed: dict[Transport, int] = {}
        self.floor = 0
        self.told = Told() if kind_of(name) is Kind.PRESENCE else None

    @property
    def idle(self) -> bool:
        """Whether nobody is left."""
        return not self.transports and not self.joining

    def hold(self, transport: Transport) -> None:
        """Mark ``transport`` as joining: from now on its events are held."""
        self.joining[transport] = []

    def admit(self, transport: Transport, connection: C, *, replayed: int = 0) -> list[bytes]:
        """Turn a joining transport into a subscriber; returns what was held for it.

        It is given the event of step ``replayed`` first, where that is not 0, so it gets nothing that came before.
        """
        held = self.joining.pop(transport)
        self.transports[transport] = connection
        self._end_batch()
        if not replayed:
            return [text for _, text in held]
        self.replayed[transport] = replayed
        self.floor = max(self.floor, replayed)
        return _later(held, replayed)

    def keep(self, text: bytes, excluded: Transport | None, step: int = 0) -> None:
        """Hold an event for whoever is joining."""
        for transport, waiting in self.joining.items():
            if transport is not excluded:
                waiting.append((step, text))

    def awaiting(self, step: int, excluded: Transport | None) -> list[Transport]:
        """The subscribers who were not given the event of ``step``, or a later one, with their acknowledgement."""
        replayed = self.replayed
        return [one for one in self.transports if one is not excluded and replayed.get(one, 0) < step]

    def remove(self, transport: Transport) -> bool:
        """Take ``transport`` out, joining or subscribed; whether it was in."""
        found = transport in self.transports
        if found:
            del self.transports[transport]
            self.replayed.pop(transport, None)
            self._end_batch()
        return self.joining.pop(transport, None) is not None or found

    def _end_batch(self) -> None:
        if self.batch is not None:
            self.batch.open = False
            self.batch = None


def _later(held: list[tuple[int, bytes]], replayed: int) -> list[bytes]:
    """What came after the event of step ``replayed``. Client events have no step; those before it are older too."""
    later: list[tuple[int, bytes]] = []
    for step, text in held:
        if step == replayed:
            later = [one for one in later if one[0]]
        elif not step or step > replayed:
            later.append((step, text))
    return [text for _, text in later]


class Channels(Generic[C]):
    """The occupied channels of one App on this node, by name; empty ones do not exist."""

    __slots__ = ("_channels",)

    def __init__(self) -> None:
        self._channels: dict[str, Channel[C]] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def __iter__(self) -> Iterator[Channel[C]]:
        return iter(self._channels.values())

    def get(self, name: str) -> Channel[C] | None:
        """The channel, if it is occupied."""
        return self._channels.get(name)

    def open(self, name: str) -> Channel[C]:
        """The channel, made if nobody was in it; the caller puts somebody in at once."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name)
        return channel

    def remove(self, name: str, transport: Transport) -> bool:
        """Take ``transport`` out of the channel; whether that left nobody in it on this node."""
        channel = self._channels.get(name)
        if channel is None or not channel.remove(transport) or not channel.idle:
            return False
        del self._channels[name]
        return True
