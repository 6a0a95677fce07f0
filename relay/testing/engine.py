"""An engine in memory that links the hubs of one test, as slow, lossy and broken as the test wants it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from itertools import islice
from random import Random
from typing import Final

import msgspec

from relay.cluster.broker import Envelope
from relay.cluster.directory import Abandoned, Beat, Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.cluster.local import LocalDirectory
from relay.deadlines import Deadlines
from relay.errors import BrokerUnavailable, UsageError
from relay.protocol.messages import Identity
from relay.receipts import Remote
from relay.testing.clock import ManualClock

_BURIED_AT_ONCE: Final = 100


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How bad the links are. ``delay`` is a range of seconds by the test's clock; an envelope takes any time within it.

    Envelopes of one node to another keep their order; those of different nodes overtake each other as their delays
    want it. ``loss`` is the probability that one is lost on its way to one node.
    """

    delay: tuple[float, float] = (0.0, 0.0)
    loss: float = 0.0
    lease: float = 10.0
    """Silence after which a node is taken for dead."""
    beat: float = 3.0
    """How often a node shows that it lives."""

    def __post_init__(self) -> None:
        low, high = self.delay
        if not 0 <= low <= high:
            raise UsageError(f"delay is a range of seconds such as (0.0, 0.05), got {self.delay!r}")
        if not 0 <= self.loss <= 1:
            raise UsageError(f"loss is a probability from 0 to 1, got {self.loss!r}")
        if not 0 < self.beat < self.lease:
            raise UsageError(f"beat must be above 0 and under lease, got beat {self.beat!r} and lease {self.lease!r}")


class MemoryEngine:
    """What all nodes share: who is where, and envelopes on their way."""

    def __init__(self, clock: ManualClock, weather: Weather, random: Random) -> None:
        self.clock = clock
        self.weather = weather
        self.directory = LocalDirectory()
        self.ends: list[MemoryCluster] = []
        self.lost = 0
        """Envelopes that did not arrive, by the weather's will."""
        self.owners: dict[tuple[str, str, str], tuple[MemoryCluster, str | None]] = {}
        self._random = random
        self._links: dict[tuple[MemoryCluster, MemoryCluster], float] = {}
        self._due: Deadlines[_OnItsWay] = Deadlines()
        self._detach = clock.attach(self.settle, self._due.next)

    def end(self) -> MemoryCluster:
        """One more node's share."""
        end = MemoryCluster(self)
        self.ends.append(end)
        return end

    def close(self) -> None:
        """Forget the clock."""
        self._detach()

    async def settle(self) -> None:
        """Let arrive what is due."""
        self.deliver()

    def deliver(self) -> bool:
        """Let arrive what is due; whether anything was."""
        due = self._due.pop_due(self.clock.now())
        for one in due:
            one.end.arrive(one.envelope)
        return bool(due)

    def carry(self, sender: MemoryCluster, envelope: Envelope) -> None:
        """Send ``envelope`` to every other node that can be reached."""
        for end in self.ends:
            if end is sender:
                continue
            if not end.reachable or self._random.random() < self.weather.loss:
                self.lost += end.wants(envelope)
                continue
            due = max(self._links.get((sender, end), 0.0), self.clock.now() + self._random.uniform(*self.weather.delay))
            self._links[sender, end] = due
            if due <= self.clock.now():
                end.arrive(envelope)
            else:
                self._due.set(_OnItsWay(end, envelope), due)

    async def bury(self, living: MemoryCluster, apps: Collection[str]) -> tuple[list[Abandoned], bool]:
        """Some of what nodes left behind that were silent for too long, and whether there is more; ``living`` is told
        of it, and nobody else.
        """
        overdue = self.clock.now() - self.weather.lease
        dead = {end for end in self.ends if end is not living and end.heard <= overdue}
        left = ((place, owned) for place, owned in self.owners.items() if owned[0] in dead and place[0] in apps)
        some = list(islice(left, _BURIED_AT_ONCE))
        abandoned = []
        for place, (owner, user_id) in some:
            del self.owners[place]
            owner.lapsed = True
            abandoned.append(Abandoned(*place, user_id, await self.directory.leave(*place)))
        return abandoned, len(some) == _BURIED_AT_ONCE


class _OnItsWay:
    """One envelope to one node."""

    __slots__ = ("end", "envelope")

    def __init__(self, end: MemoryCluster, envelope: Envelope) -> None:
        self.end = end
        self.envelope = envelope


class MemoryCluster:
    """One node's share of the engine: its broker and its directory in one."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine
        self._subscribed: set[tuple[str, str]] = set()
        self._receive: Callable[[Envelope], None] | None = None
        self._lost: Callable[[], None] = lambda: None
        self._restored: Callable[[], Awaitable[None]] | None = None
        self._held: list[Envelope] | None = None
        self.reachable = True
        self.healthy = True
        """Whether what is sent to this node arrives; for :class:`relay.cluster.broker.Proving`."""
        self.heard = engine.clock.now()
        self.lapsed = False
        """Whether this node has to join again, if it lives: it was buried, or a step of its failed."""

    @property
    def broker(self) -> MemoryCluster:
        """See :class:`relay.cluster.cluster.Cluster`."""
        return self

    @property
    def directory(self) -> MemoryCluster:
        """See :class:`relay.cluster.cluster.Cluster`."""
        return self

    # How it is broken

    def part(self) -> None:
        """Reach the engine no more; the node notices."""
        if self.reachable:
            self.reachable = self.healthy = False
            self._lost()

    async def heal(self) -> None:
        """Reach the engine again; the node puts right what may be wrong, and is healthy then."""
        if not self.reachable:
            self.reachable = True
            if self._restored is not None:
                await self._restored()
            self.healthy = True

    def hold(self) -> None:
        """Keep what arrives from the node, as when its process is stopped."""
        self._held = []

    def release(self) -> None:
        """Hand over what was kept."""
        held, self._held = self._held, None
        for envelope in held or ():
            self.arrive(envelope)

    # Broker

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        """See :class:`relay.cluster.broker.Broker`."""
        self._receive = receive
        self.heard = self._engine.clock.now()

    async def subscribe(self, app: str, channel: str) -> None:
        """See :class:`relay.cluster.broker.Broker`."""
        self._subscribed.add((app, channel))
        self._reach()

    async def unsubscribe(self, app: str, channel: str) -> None:
        """See :class:`relay.cluster.broker.Broker`."""
        self._subscribed.discard((app, channel))
        self._reach()

    async def publish(self, envelope: Envelope) -> Remote:
        """See :class:`relay.cluster.broker.Broker`."""
        self._reach()
        self._engine.carry(self, envelope)
        return "sent"

    async def close(self) -> None:
        """See :class:`relay.cluster.broker.Broker`."""
        self._receive = None

    def watch(self, lost: Callable[[], None], restored: Callable[[], Awaitable[None]]) -> None:
        """See :class:`relay.cluster.broker.Proving`."""
        self._lost, self._restored = lost, restored

    def wants(self, envelope: Envelope) -> bool:
        """Whether this node listens for it."""
        return envelope.kind == "terminate" or (envelope.app, envelope.channel) in self._subscribed

    def arrive(self, envelope: Envelope) -> None:
        """Take an envelope of another node."""
        if not self.reachable or self._receive is None:
            self._engine.lost += self.wants(envelope)
        elif self._held is not None:
            self._held.append(envelope)
        elif self.wants(envelope):
            self._receive(envelope)

    # Directory

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        """See :class:`relay.cluster.directory.Directory`."""
        self.lapsed |= not self.reachable
        self._reach()
        joined = await self._engine.directory.join(app, channel, socket_id, member, max_members=max_members)
        if isinstance(joined, Joined):
            self._engine.owners[app, channel, socket_id] = (self, member.user_id if member else None)
        return joined

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        """See :class:`relay.cluster.directory.Directory`."""
        self.lapsed |= not self.reachable
        self._reach()
        left = await self._engine.directory.leave(app, channel, socket_id)
        self._engine.owners.pop((app, channel, socket_id), None)
        return left

    async def occupied(self, app: str, prefix: str) -> Mapping[str, Occupancy]:
        """See :class:`relay.cluster.directory.Directory`."""
        self._reach()
        return await self._engine.directory.occupied(app, prefix)

    async def occupancy(self, app: str, channel: str) -> Occupancy:
        """See :class:`relay.cluster.directory.Directory`."""
        self._reach()
        return await self._engine.directory.occupancy(app, channel)

    async def roster(self, app: str, channel: str) -> Roster:
        """See :class:`relay.cluster.directory.Directory`."""
        self._reach()
        return await self._engine.directory.roster(app, channel)

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        """See :class:`relay.cluster.directory.Directory`."""
        self._reach()
        return await self._engine.directory.remember(app, channel, text, now=now, retention=retention)

    async def recall(self, app: str, channel: str, *, now: float) -> Remembered | None:
        """See :class:`relay.cluster.directory.Directory`."""
        self._reach()
        return await self._engine.directory.recall(app, channel, now=now)

    async def beat(self, apps: Collection[str]) -> Beat:
        """See :class:`relay.cluster.directory.Directory`."""
        self._reach()
        engine = self._engine
        lapsed, self.lapsed = self.lapsed, False
        self.heard = engine.clock.now()
        abandoned, more = await engine.bury(self, apps)
        return Beat(abandoned, lapsed, engine.weather.beat, more)

    def _reach(self) -> None:
        if not self.reachable:
            why = "this node cannot reach the engine: the test parted it, or killed it"
            raise BrokerUnavailable(why, maybe_done=False)
