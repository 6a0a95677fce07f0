"""Whoever comes and goes, and whenever: subscribers are told the truth, not too often, and the last of it in time."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay import Hub
from relay.facts import CountChanged
from relay.testing import ManualClock
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.property.story import delays
from tests.unit.client import APP, Socket, arrive

pytestmark = pytest.mark.every_loop
few = settings(max_examples=40)

THE_APP = msgspec.structs.replace(APP, subscription_counts=True)
COUNT = "pusher_internal:subscription_count"
LARGE, PAUSE = 100, 5

Turn = tuple[int, float]
"""How many come, or go where it is below 0, all in one turn; and how many seconds pass then."""
turns = st.lists(
    st.tuples(st.integers(-80, 80) | st.sampled_from([-1, 1, 100]), st.sampled_from([0, 0, 0.5, 1, 4.5, 5, 20])),
    max_size=12,
)


def told(socket: Socket) -> list[int]:
    """The counts a client was told since the last look."""
    return [frame.data["subscription_count"] for frame in socket.frames() if frame.event == COUNT]


class Channel:
    """One channel of one hub with somebody in it who stays, and when that one was told what."""

    def __init__(self, hub: Hub, clock: ManualClock) -> None:
        self.hub, self.clock = hub, clock
        self.others: list[Socket] = []
        self.told: list[tuple[float, int]] = []
        self.facts: list[tuple[float, int]] = []
        hub.on(CountChanged, lambda fact: self.facts.append((clock.now(), fact.subscription_count)))

    @property
    def truth(self) -> int:
        return 1 + len(self.others)

    async def open(self) -> None:
        self.first = await arrive(self.hub)
        await self.first.subscribe("orders")
        await self.look()

    async def play(self, change: int, seconds: float) -> None:
        for socket in self.others[:-change] if change < 0 else []:
            socket.disconnect()
        self.others = self.others[-change:] if change < 0 else self.others
        new = [await arrive(self.hub) for _ in range(change)]
        self.others += new
        for socket in new:
            await socket.subscribe("orders")
        await self.look()
        for socket in new:
            assert told(socket) == [self.truth]
        for _ in range(int(seconds * 2)):
            await self.clock.advance(0.5)
            await self.look()

    async def look(self) -> None:
        """Everything of this moment is done: whatever was told is the truth."""
        await self.hub.settle()
        new = told(self.first)
        assert new in ([], [self.truth])
        self.told += [(self.clock.now(), count) for count in new]
        at, last = self.told[-1]
        if max(last, self.truth) <= LARGE or self.clock.now() >= at + PAUSE:
            assert last == self.truth


@few
@given(turns)
@example([(99, 0), (1, 0), (-1, 0), (1, 5)])
@example([(150, 1), (-150, 20)])
async def test_one_who_stays_is_told_the_truth_in_time_and_no_more_often_than_allowed(turns):
    clock = ManualClock()
    async with Hub(THE_APP, clock=clock) as hub:
        channel = Channel(hub, clock)
        await channel.open()
        for change, seconds in turns:
            if -change < channel.truth:
                await channel.play(change, seconds)
        for (before, count), (after, following) in zip(channel.told, channel.told[1:], strict=False):
            assert count != following
            assert max(count, following) <= LARGE or after - before >= PAUSE
        assert channel.facts == channel.told
        assert hub.check() == []


@dataclass(frozen=True)
class Step:
    """What one client does next, after `wait` checkpoints."""

    wait: int
    verb: str


@dataclass(frozen=True)
class Script:
    """Client number i is on node i % 2. Everything happens at the same time."""

    clients: Sequence[Sequence[Step]]
    before: Sequence[int] = (0,)
    after: Sequence[int] = (0,)


steps = st.builds(Step, wait=st.integers(0, 8), verb=st.sampled_from(["subscribe", "subscribe", "unsubscribe", "drop"]))
scripts = st.builds(
    Script,
    clients=st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=6),
    before=delays,
    after=delays,
)


async def follow(socket: Socket, steps: Sequence[Step]) -> None:
    for step in steps:
        await checkpoints(step.wait)
        if not socket.open:
            return
        match step.verb:
            case "subscribe":
                await socket.subscribe("orders")
            case "unsubscribe":
                await socket.unsubscribe("orders")
            case _:
                socket.disconnect()


def keep_in(heard: list[int]) -> Callable[[CountChanged], None]:
    return lambda fact: heard.append(fact.subscription_count)


@few
@given(scripts)
@example(Script([[Step(0, "subscribe")], [Step(3, "subscribe"), Step(0, "drop")]], before=(2, 0), after=(5, 0)))
async def test_over_two_nodes_whose_answers_overtake_each_other_all_know_the_truth_in_the_end(script):
    pace = Pace(script.before, script.after)
    directory, wire = SlowDirectory(pace), Wire(pace)
    hubs = [Hub(THE_APP, broker=wire.end(), directory=directory, clock=ManualClock()) for _ in range(2)]
    facts: list[list[int]] = [[], []]
    for hub, heard in zip(hubs, facts, strict=True):
        hub.on(CountChanged, keep_in(heard))
    async with AsyncExitStack() as stack:
        for hub in hubs:
            await stack.enter_async_context(hub)
        sockets = [await arrive(hubs[number % 2]) for number in range(len(script.clients))]
        async with anyio.create_task_group() as tasks:
            for socket, steps in zip(sockets, script.clients, strict=True):
                tasks.start_soon(follow, socket, steps)
        for _ in range(2):  # what one node finds last of all is news to the other
            for hub in hubs:
                await hub.settle()
        inside = [socket for socket in sockets if socket.open and "orders" in socket.connection.session.subscriptions]
        for socket in inside:
            assert told(socket)[-1] == len(inside)
        if any(facts):
            assert len(inside) in [heard[-1] for heard in facts if heard]
        assert [problem for hub in hubs for problem in hub.check()] == []
