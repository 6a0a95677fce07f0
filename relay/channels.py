"""Who listens to what on this node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from relay.presence import Told
from relay.protocol.names import Kind, kind_of
from relay.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.fanout import Batch

C = TypeVar("C")
"""A connection; this module only keeps it."""


class Channel(Generic[C]):
    """One occupied channel: its subscribers, and the connections that are just joining.

    ``transports`` is what fan-out walks; ``joining`` keeps what a connection must get right after its
    acknowledgement (design 3.4). ``attached`` tells that the broker delivers this channel to us; ``told``
    who is in a presence channel.
    """

    __slots__ = ("attached", "batch", "joining", "name", "told", "transports")

    def __init__(self, name: str) -> None:
        self.name = name
        self.transports: dict[Transport, C] = {}
        self.joining: dict[Transport, list[bytes]] = {}
        self.attached = False
        self.batch: Batch | None = None
        """What its subscribers share in this tick; ends when one comes or goes."""
        self.told = Told() if kind_of(name) is Kind.PRESENCE else None

    @property
    def idle(self) -> bool:
        """Whether nobody is left."""
        return not self.transports and not self.joining

    def hold(self, transport: Transport) -> None:
        """Mark ``transport`` as joining: from now on its events are held."""
        self.joining[transport] = []

    def admit(self, transport: Transport, connection: C) -> list[bytes]:
        """Turn a joining transport into a subscriber; returns what was held for it."""
        held = self.joining.pop(transport)
        self.transports[transport] = connection
        self._end_batch()
        return held

    def keep(self, text: bytes, excluded: Transport | None) -> None:
        """Hold an event for whoever is joining."""
        for transport, waiting in self.joining.items():
            if transport is not excluded:
                waiting.append(text)

    def remove(self, transport: Transport) -> bool:
        """Take ``transport`` out, joining or subscribed; whether it was in."""
        found = transport in self.transports
        if found:
            del self.transports[transport]
            self._end_batch()
        return self.joining.pop(transport, None) is not None or found

    def _end_batch(self) -> None:
        if self.batch is not None:
            self.batch.open = False
            self.batch = None


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
