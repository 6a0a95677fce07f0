"""Whatever clients do, and however slowly callbacks and readers go about it: each hears one story, in order."""

from __future__ import annotations

from collections import defaultdict

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import EventStream, FactStream, Hub
from relay.facts import ChannelOccupied, ChannelStatus, Fact, MemberAdded, MemberStatus, Missed
from relay.testing import ManualClock
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.unit.client import APP, Socket, arrive

pytestmark = pytest.mark.every_loop

USERS = ["ada", "bob"]
ROOMS = ["presence-a", "presence-b"]
steps = st.lists(st.tuples(st.sampled_from(range(3)), st.sampled_from(ROOMS)), min_size=1, max_size=25)
paces = st.lists(st.integers(0, 3), min_size=1, max_size=5)


class Heard:
    """A callback that takes as long as it is told to."""

    def __init__(self, pace: list[int]) -> None:
        self.facts: list[Fact] = []
        self._pace = pace

    async def __call__(self, fact: Fact) -> None:
        await checkpoints(self._pace[len(self.facts) % len(self._pace)])
        self.facts.append(fact)


async def come_and_go(socket: Socket, user: str, story: list[tuple[int, str]], me: int) -> None:
    inside: set[str] = set()
    for who, room in story:
        if who == me and room not in inside:
            inside.add(room)
            await socket.subscribe(room, user)
        elif who == me:
            inside.discard(room)
            await socket.unsubscribe(room)
        await anyio.lowlevel.checkpoint()


async def tell(hub: Hub, story: list[tuple[int, str]]) -> None:
    sockets = [await arrive(hub) for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for me, socket in enumerate(sockets):
            tasks.start_soon(come_and_go, socket, USERS[me % 2], story, me)
    await hub.settle()
    assert hub.check() == []


@settings(max_examples=40)
@given(story=steps, pace=paces)
async def test_users_and_channels_come_and_go_in_turn(story, pace):
    hub, members, channels = Hub(APP, clock=ManualClock()), Heard(pace), Heard(pace[::-1])
    hub.on(MemberStatus, members)
    hub.on(ChannelStatus, channels)
    async with hub:
        await tell(hub, story)
        turns: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for fact in members.facts:
            assert isinstance(fact, MemberStatus)
            turns[fact.channel, fact.user_id].append(isinstance(fact, MemberAdded))
        for fact in channels.facts:
            assert isinstance(fact, ChannelStatus)
            turns[fact.channel, ""].append(isinstance(fact, ChannelOccupied))
        assert all(came == [at % 2 == 0 for at in range(len(came))] for came in turns.values())


@settings(max_examples=40)
@given(story=steps, pace=paces, before=paces, after=paces)
async def test_every_callback_hears_the_facts_in_the_order_they_happened(story, pace, before, after):
    engines = Pace(before, after)
    hub = Hub(APP, broker=Wire(engines).end(), directory=SlowDirectory(engines), clock=ManualClock())
    everything, some = Heard(pace), Heard(pace[::-1])
    hub.on(Fact, everything)
    hub.on(MemberStatus, some, channel=ROOMS[0])
    async with hub:
        await tell(hub, story)
        assert everything.facts == list(hub.journal)
        members = [fact for fact in hub.journal if isinstance(fact, MemberStatus)]
        assert some.facts == [fact for fact in members if fact.channel == ROOMS[0]]


async def read(stream: FactStream[Missed], pace: list[int], seen: list[Missed]) -> None:
    async for fact in stream:
        seen.append(fact)
        await checkpoints(pace[len(seen) % len(pace)])


@settings(max_examples=40)
@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=8), limit=st.integers(1, 4), pace=paces)
async def test_a_stream_tells_every_fact_or_that_it_is_missing_in_its_place(counts, limit, pace):
    hub = Hub(APP, clock=ManualClock())
    seen: list[Missed] = []
    number = 0
    async with anyio.create_task_group() as tasks, hub, hub.facts(Missed, limit=limit) as stream:
        tasks.start_soon(read, stream, pace, seen)
        for count in counts:
            for _ in range(count):
                number += 1
                hub.journal.record(Missed(app="1", time=float(number), listener="", count=0))
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
    at = 0.0
    for fact in seen:
        at = at + fact.count if fact.app == "" else at + 1
        assert fact.app == "" or fact.time == at
    assert (at, stream.missed) == (number, sum(fact.count for fact in seen))


async def collect(events: EventStream, pace: list[int], seen: list[object]) -> None:
    async for event in events:
        seen.append((event.channel, event.data))
        await checkpoints(pace[len(seen) % len(pace)])


@settings(max_examples=40)
@given(
    published=st.lists(st.sampled_from(["a", "ab", "b", "abc"]), max_size=20),
    patterns=st.lists(st.sampled_from(["a", "a*", "*b", "b", "??", "abc"]), min_size=1, max_size=4),
    pace=paces,
    before=paces,
    after=paces,
)
async def test_application_code_sees_each_event_of_its_channels_once_and_in_order(
    published, patterns, pace, before, after
):
    engines = Pace(before, after)
    wire = Wire(engines)
    here, there = (Hub(APP, broker=wire.end(), directory=SlowDirectory(engines)) for _ in range(2))
    meant = {"a": {"a"}, "a*": {"a", "ab", "abc"}, "*b": {"ab", "b"}, "b": {"b"}, "??": {"ab"}, "abc": {"abc"}}
    wanted = set[str]().union(*(meant[pattern] for pattern in patterns))
    seen: list[object] = []
    async with anyio.create_task_group() as tasks, here, there, here.subscribe(*patterns) as events:
        tasks.start_soon(collect, events, pace, seen)
        for number, channel in enumerate(published):
            far = number % 2 and channel in patterns
            await (there if far else here).trigger(channel, "paid", number)
        await anyio.wait_all_tasks_blocked()
    assert seen == [(channel, number) for number, channel in enumerate(published) if channel in wanted]
