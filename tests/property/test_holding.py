"""Events that wait for the other nodes: never twice, in order, and none forgotten, whatever the engine does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import App, BrokerError, BrokerUnavailable, Hub
from relay.client import ReceivedEvent
from relay.cluster.broker import Envelope
from relay.cluster.local import LocalBroker
from relay.holding import LONGEST
from relay.protocol.messages import data_of
from relay.receipts import Remote
from relay.testing import ManualClock, Weather, cluster

CHANNELS = ("orders", "news")
Step = tuple[str, Any]
PUBLISH = st.tuples(st.just("publish"), st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=5))
FATES = st.tuples(st.just("fates"), st.lists(st.sampled_from(["take", "no", "lost", "kept", "refuse"]), max_size=8))
DOWN, UP = st.tuples(st.just("down"), st.none()), st.tuples(st.just("up"), st.none())
PASS = st.tuples(st.just("pass"), st.sampled_from([0.5, 2.5, 20.0]))


class Fickle(LocalBroker):
    """A broker that keeps the word of its interface and no more: it is down, or does next what ``fates`` say."""

    def __init__(self) -> None:
        self.down = False
        self.fates: list[str] = []
        self.taken: dict[str, list[int]] = {name: [] for name in CHANNELS}

    async def publish(self, envelope: Envelope) -> Remote:
        if self.down:
            await anyio.lowlevel.checkpoint()
            raise BrokerUnavailable("down", maybe_done=False)
        fate = self.fates.pop(0) if self.fates else "take"
        if fate == "no":
            raise BrokerUnavailable("busy", maybe_done=False)
        if fate in ("take", "kept"):
            self.taken[envelope.channel].append(int(data_of(envelope.text)))
        await anyio.lowlevel.checkpoint()
        if fate in ("lost", "kept"):
            raise BrokerUnavailable("no answer")
        if fate == "refuse":
            raise BrokerError("no such event")
        return "sent"


class Publishing:
    """What one hub publishes over such a broker, some of it at once, and what its receipts say."""

    def __init__(self, hold: int) -> None:
        self.broker, self.clock = Fickle(), ManualClock()
        self.hub = Hub(App(id="1", key="k", secret="s"), broker=self.broker, clock=self.clock, hold=hold)
        self.told: dict[int, Remote] = {}
        self.most = 0

    async def run(self, steps: Sequence[Step]) -> None:
        for what, given_to in steps:
            await getattr(self, what)(given_to)
            self.most = max(self.most, self.hub.events_held())

    async def publish(self, channels: Sequence[str]) -> None:
        async with anyio.create_task_group() as tasks:
            for channel in channels:
                number = len(self.told)
                self.told[number] = "none"
                tasks.start_soon(self._trigger, channel, number)

    async def _trigger(self, channel: str, number: int) -> None:
        self.told[number] = (await self.hub.trigger(channel, "paid", str(number))).remote

    async def fates(self, fates: Sequence[str]) -> None:
        self.broker.fates += fates

    async def down(self, _: None) -> None:
        self.broker.down = True

    async def up(self, _: None) -> None:
        self.broker.down = False

    async def pass_(self, seconds: float) -> None:
        await self.clock.advance(seconds)


setattr(Publishing, "pass", Publishing.pass_)


@given(st.lists(st.one_of(PUBLISH, PUBLISH, FATES, DOWN, UP, PASS), max_size=30), st.sampled_from([1, 4, 1000]))
@settings(max_examples=200)
def test_an_engine_gets_each_event_once_and_those_of_a_channel_in_order_or_it_is_counted(steps, hold):
    async def main() -> None:
        story = Publishing(hold)
        async with story.hub as hub:
            await story.run(steps)
            story.broker.down, story.broker.fates = False, []
            await story.clock.advance(LONGEST)
            assert (await hub.trigger(CHANNELS, "paid", str(len(story.told)))).remote == "sent"
            assert hub.events_held() == 0
        taken = [number for numbers in story.broker.taken.values() for number in numbers[:-1]]
        for numbers in story.broker.taken.values():
            assert numbers == sorted(set(numbers))
        assert {number for number, remote in story.told.items() if remote == "sent"} <= set(taken)
        held = {number for number, remote in story.told.items() if remote == "held"}
        assert len(held - set(taken)) <= story.hub.totals().events_given_up <= len(held)
        assert story.most <= hold

    anyio.run(main)


NODES = 3
NODE = st.integers(0, NODES - 1)
EVENT = st.tuples(st.just("publish"), NODE)
MOVES = st.one_of(
    EVENT,
    EVENT,
    st.tuples(st.just("part"), NODE),
    st.tuples(st.just("heal"), NODE),
    st.tuples(st.just("pass"), st.integers(1, 25)),
)


def keep(seen: list[Any], event: ReceivedEvent) -> None:
    seen.append(tuple(event.data))


async def play(steps: Sequence[tuple[str, int]], seed: int, hold: int) -> tuple[list[list[Any]], dict[Any, Remote]]:
    """What a client of each node got, and what each event's receipt said; ``pass`` is in tenths of a second."""
    async with cluster(nodes=NODES, seed=seed, weather=Weather(delay=(0, 0.3)), hold=hold) as nodes:
        seen: list[list[Any]] = [[] for _ in nodes]
        told: dict[Any, Remote] = {}
        for kit, got in zip(nodes, seen, strict=True):
            channel = await (await kit.connect()).subscribe("orders")
            channel.bind("paid", partial(keep, got))
        for what, number in steps:
            match what:
                case "publish":
                    event = (number, len(told))
                    told[event] = (await nodes[number].hub.trigger("orders", "paid", event)).remote
                case "part":
                    nodes.part(number)
                case "heal":
                    await nodes.heal(number)
                case _:
                    await nodes.advance(number / 10)
        await nodes.heal(*range(NODES))
        await nodes.advance(LONGEST)
        assert sum(kit.hub.events_held() for kit in nodes) == 0
        return seen, told


@given(st.lists(MOVES, max_size=40), st.integers(0, 1000), st.sampled_from([0, 2, 1000]))
@settings(max_examples=80)
def test_every_subscriber_gets_each_event_at_most_once_and_those_of_a_publisher_in_order(steps, seed, hold):
    seen, told = anyio.run(play, steps, seed, hold)
    for number, got in enumerate(seen):
        assert max(Counter(got).values(), default=1) == 1
        assert {event for event in told if event[0] == number} <= set(got)
        for publisher in range(NODES):
            assert [event for event in got if event[0] == publisher] == sorted(e for e in got if e[0] == publisher)
        assert not {event for event in got if told[event] == "unavailable" and event[0] != number}


@given(st.lists(MOVES, max_size=40).map(lambda steps: [s for s in steps if s[0] not in ("part", "heal") or s[1] == 0]))
@settings(max_examples=80)
def test_nothing_of_a_node_that_is_parted_for_less_than_a_minute_and_has_room_is_lost_to_the_others(steps):
    away = [(what, min(number, 10) if what == "pass" else number) for what, number in steps]
    seen, told = anyio.run(play, away, 0, 1000)
    assert set(told.values()) <= {"sent", "held"}
    for got in seen[1:]:
        assert sorted(event for event in got if event[0] == 0) == sorted(event for event in told if event[0] == 0)
