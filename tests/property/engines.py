"""A Broker and a Directory whose every step takes as long as hypothesis says.

They keep what the interfaces promise and no more: a step takes effect `before` checkpoints after it was asked for,
steps about one thing in the order they were asked for; the answer is `after` checkpoints on its way.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

import anyio
import anyio.lowlevel

from relay.cluster.broker import Envelope
from relay.cluster.directory import Beat, Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.cluster.local import LocalDirectory
from relay.protocol.messages import Identity
from relay.receipts import Remote


async def checkpoints(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


class Pace:
    """How many checkpoints the steps of an engine take, one number after the other, over and over."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        self._before, self._after = itertools.cycle(before), itertools.cycle(after)

    async def before(self) -> None:
        await checkpoints(next(self._before))

    async def after(self) -> None:
        await checkpoints(next(self._after))


class Turns(defaultdict[Hashable, anyio.Lock]):
    """Who is whose turn, thing by thing: first come, first served."""

    def __init__(self) -> None:
        super().__init__(anyio.Lock)


class SlowDirectory:
    """A LocalDirectory, several checkpoints away."""

    def __init__(self, pace: Pace) -> None:
        self.inner = LocalDirectory()
        self.remembered: list[bytes] = []
        """Every event of a cache channel, in the order they were remembered."""
        self._pace, self._turns = pace, Turns()

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        async with self._turns[app, channel, socket_id]:
            await self._pace.before()
            joined = await self.inner.join(app, channel, socket_id, member, max_members=max_members)
        await self._pace.after()
        return joined

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        async with self._turns[app, channel, socket_id]:
            await self._pace.before()
            left = await self.inner.leave(app, channel, socket_id)
        await self._pace.after()
        return left

    async def occupied(self, app: str, prefix: str) -> Mapping[str, Occupancy]:
        await self._pace.before()
        return await self.inner.occupied(app, prefix)

    async def occupancy(self, app: str, channel: str) -> Occupancy:
        await self._pace.before()
        return await self.inner.occupancy(app, channel)

    async def roster(self, app: str, channel: str) -> Roster:
        await self._pace.before()
        return await self.inner.roster(app, channel)

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        async with self._turns[app, channel]:
            await self._pace.before()
            step = await self.inner.remember(app, channel, text, now=now, retention=retention)
            self.remembered.append(text)
        await self._pace.after()
        return step

    async def recall(self, app: str, channel: str, *, now: float) -> Remembered | None:
        await self._pace.before()
        remembered = await self.inner.recall(app, channel, now=now)
        await self._pace.after()
        return remembered

    async def beat(self, apps: Collection[str]) -> Beat:
        await self._pace.before()
        return await self.inner.beat(apps)


class Wire:
    """What carries envelopes between the nodes of one test, in order for each channel."""

    def __init__(self, pace: Pace) -> None:
        self.pace, self.turns = pace, Turns()
        self.ends: list[SlowBroker] = []

    def end(self) -> "SlowBroker":
        self.ends.append(SlowBroker(self))
        return self.ends[-1]


class SlowBroker:
    """One node's end of a wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._subscribed: set[tuple[str, str]] = set()
        self._receive: Callable[[Envelope], None] | None = None

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        self._receive = receive

    async def subscribe(self, app: str, channel: str) -> None:
        async with self._wire.turns[self, app, channel]:
            await self._wire.pace.before()
            self._subscribed.add((app, channel))
        await self._wire.pace.after()

    async def unsubscribe(self, app: str, channel: str) -> None:
        async with self._wire.turns[self, app, channel]:
            await self._wire.pace.before()
            self._subscribed.discard((app, channel))
        await self._wire.pace.after()

    async def publish(self, envelope: Envelope) -> Remote:
        async with self._wire.turns[envelope.app, envelope.channel]:
            await self._wire.pace.before()
            for other in self._wire.ends:
                if other is not self:
                    other.take(envelope)
        await self._wire.pace.after()
        return "sent"

    async def close(self) -> None:
        self._receive = None

    def take(self, envelope: Envelope) -> None:
        wanted = envelope.kind == "terminate" or (envelope.app, envelope.channel) in self._subscribed
        if self._receive is not None and wanted:
            self._receive(envelope)

    @property
    def subscribed(self) -> set[str]:
        """The channels this node asked for."""
        return {channel for _, channel in self._subscribed}
