"""One node alone: a Broker with nobody to talk to and a Directory in memory. Neither ever suspends."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping

from relay.cluster.broker import Envelope
from relay.cluster.directory import Beat, Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.presence import Roster as Members
from relay.protocol.messages import Identity
from relay.receipts import Remote


class LocalBroker:
    """There are no other nodes."""

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        """Nothing will be received."""

    async def subscribe(self, app: str, channel: str) -> None:
        """Nothing to do."""

    async def unsubscribe(self, app: str, channel: str) -> None:
        """Nothing to do."""

    async def publish(self, envelope: Envelope) -> Remote:
        """Nobody else to tell."""
        return "none"

    async def close(self) -> None:
        """Nothing to do."""


class _Place:
    __slots__ = ("members", "sockets")

    def __init__(self) -> None:
        self.sockets: dict[str, str | None] = {}
        self.members: Members | None = None


class _Memory:
    """The last events of one App's cache channels, those that were remembered longest ago first."""

    __slots__ = ("_bytes", "_entries")

    def __init__(self) -> None:
        self._entries: dict[str, Remembered] = {}
        self._bytes = 0

    def keep(self, channel: str, entry: Remembered, now: float, retention: Retention) -> None:
        """Remember ``entry`` and forget what is over, or in excess."""
        self._forget(channel)
        size = _size(channel, entry)
        if size > retention.max_bytes:
            return
        self._entries[channel] = entry
        self._bytes += size
        while self._entries:
            oldest = next(iter(self._entries))
            excess = len(self._entries) > retention.max_channels or self._bytes > retention.max_bytes
            if not excess and self._entries[oldest].until > now:
                break
            self._forget(oldest)

    def get(self, channel: str, now: float) -> Remembered | None:
        """What is remembered and not over."""
        entry = self._entries.get(channel)
        if entry is not None and entry.until <= now:
            self._forget(channel)
            return None
        return entry

    def held(self) -> tuple[int, int]:
        """How many entries there are, and their bytes."""
        return len(self._entries), self._bytes

    def _forget(self, channel: str) -> None:
        entry = self._entries.pop(channel, None)
        if entry is not None:
            self._bytes -= _size(channel, entry)


class LocalDirectory:
    """Keeps who is where in dictionaries; empty channels are not kept."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, _Place]] = {}
        self._memories: dict[str, _Memory] = {}
        self._steps = itertools.count(1)

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        """Put a connection into a channel; doing it twice changes nothing."""
        places = self._places.setdefault(app, {})
        place = places.get(channel)
        members = place.members if place else None
        if member is not None and members is not None and member.user_id not in members and len(members) >= max_members:
            return Full(len(members))
        if place is None:
            place = places[channel] = _Place()
        first_for_user = False
        if member is not None:
            if place.members is None:
                place.members = Members()
            first_for_user = place.members.add(member, socket_id)
        first_in_channel = not place.sockets
        place.sockets[socket_id] = member.user_id if member else None
        count = len(place.sockets)
        roster = place.members.snapshot() if place.members else {}
        return Joined(first_in_channel, first_for_user, count, roster, next(self._steps))

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        """Take a connection out; unknown is a no-op."""
        places = self._places.get(app, {})
        place = places.get(channel)
        if place is None or socket_id not in place.sockets:
            return Left()
        user_id = place.sockets.pop(socket_id)
        last_for_user = bool(place.members and user_id is not None and place.members.remove(user_id, socket_id))
        if not place.sockets:
            del places[channel]
        return Left(not place.sockets, last_for_user, next(self._steps), len(place.sockets))

    async def occupied(self, app: str, prefix: str) -> Mapping[str, Occupancy]:
        """The occupied channels whose names begin with ``prefix``."""
        places = self._places.get(app, {})
        return {name: _occupancy(place) for name, place in places.items() if name.startswith(prefix)}

    async def occupancy(self, app: str, channel: str) -> Occupancy:
        """One channel's counts."""
        place = self._places.get(app, {}).get(channel)
        return _occupancy(place) if place else Occupancy()

    async def roster(self, app: str, channel: str) -> Roster:
        """The users of a presence channel."""
        place = self._places.get(app, {}).get(channel)
        return place.members.snapshot() if place and place.members else {}

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        """Keep the last event of a cache channel."""
        memory = self._memories.setdefault(app, _Memory())
        step = next(self._steps)
        memory.keep(channel, Remembered(text, step, now + retention.ttl), now, retention)
        return step

    async def recall(self, app: str, channel: str, *, now: float) -> Remembered | None:
        """The last event of a cache channel."""
        memory = self._memories.get(app)
        return memory.get(channel, now) if memory else None

    async def beat(self, apps: Collection[str]) -> Beat:
        """There is no other node that could die."""
        return Beat()

    def remembered(self, app: str) -> tuple[int, int]:
        """How many events are kept for an App's cache channels, and their bytes."""
        memory = self._memories.get(app)
        return memory.held() if memory else (0, 0)

    def sockets(self, app: str) -> dict[str, frozenset[str]]:
        """Which sockets are in which channel, to compare with what the hub believes."""
        return {name: frozenset(place.sockets) for name, place in self._places.get(app, {}).items()}


def _size(channel: str, entry: Remembered) -> int:
    return len(channel) + len(entry.text)


def _occupancy(place: _Place) -> Occupancy:
    return Occupancy(len(place.sockets), len(place.members) if place.members else 0)
