"""A cluster under arbitrary comings, goings, deaths and partitions: one truth, and each edge of it told once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.client import ReceivedEvent
from relay.facts import MemberAdded, MemberRemoved
from relay.testing import AssertingChannel, Nodes, Weather, cluster

NODES = 3
ROOM = "presence-room"
USERS = st.sampled_from(["ada", "bob", "eve"])
NODE = st.integers(0, NODES - 1)
COME = st.tuples(st.just("come"), NODE, USERS)
GO = st.tuples(st.just("go"), NODE, USERS)
PASS = st.tuples(st.just("pass"), st.sampled_from([0.5, 2, 7]), st.none())
KILL = st.tuples(st.just("kill"), NODE, st.none())
PART = st.tuples(st.just("part"), NODE, st.none())
HEAL = st.tuples(st.just("heal"), NODE, st.none())
Step = tuple[str, Any, Any]
LONG = 40.0
"""Seconds after which every lease is over that can be, and every doubt settled."""


def keep(seen: list[Any], event: ReceivedEvent) -> None:
    seen.append(event.data)


class Tab(NamedTuple):
    node: int
    user: str
    room: AssertingChannel


class Story:
    """What happens to a cluster, and what should be true of it."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.tabs: list[Tab] = []
        self.dead: set[int] = set()
        self.parted: set[int] = set()
        self.over = False
        self.edges: dict[str, list[str]] = defaultdict(list)
        """What living nodes said of each user, in order."""
        for number, kit in enumerate(nodes):
            kit.hub.on(MemberAdded, partial(self._edge, number))
            kit.hub.on(MemberRemoved, partial(self._edge, number))

    def _edge(self, number: int, fact: MemberAdded | MemberRemoved) -> None:
        if number not in self.dead and not self.over:
            self.edges[fact.user_id].append("added" if isinstance(fact, MemberAdded) else "removed")

    @property
    def present(self) -> set[str]:
        return {tab.user for tab in self.tabs}

    async def run(self, steps: Sequence[Step]) -> None:
        for what, number, user in steps:
            if what == "pass":
                await self.nodes.advance(number)
            elif number not in self.dead:
                await getattr(self, what)(number, user)

    async def come(self, number: int, user: str) -> None:
        client = await self.nodes[number].connect()
        self.tabs.append(Tab(number, user, await client.subscribe(ROOM, user_id=user)))
        await self.nodes.settle()

    async def go(self, number: int, user: str) -> None:
        tab = next((tab for tab in self.tabs if (tab.node, tab.user) == (number, user)), None)
        if tab is not None:
            self.tabs.remove(tab)
            await tab.room.unsubscribe()
            await self.nodes.settle()

    async def kill(self, number: int, _: None) -> None:
        if len(self.dead) < NODES - 1:
            self.dead.add(number)
            self.tabs = [tab for tab in self.tabs if tab.node != number]
            self.nodes.kill(number)
            await self.nodes.settle()

    async def part(self, number: int, _: None) -> None:
        self.parted.add(number)
        self.nodes.part(number)

    async def heal(self, number: int, _: None) -> None:
        self.parted.discard(number)
        await self.nodes.heal(number)

    async def end(self) -> None:
        """All that can be reached is, and time enough has passed."""
        for number in self.parted - self.dead:
            await self.nodes.heal(number)
        await self.nodes.advance(LONG)
        self.over = True

    def told(self) -> list[set[str]]:
        """Who is in the room, as each client there was told."""
        return [{member.id for member in tab.room.members} for tab in self.tabs]


def play(steps: Sequence[Step], weather: Weather | None = None, seed: int = 0) -> Story:
    """The story that these steps make, at its end."""

    async def main() -> Story:
        async with cluster(nodes=NODES, seed=seed, weather=weather) as nodes:
            story = Story(nodes)
            await story.run(steps)
            await story.end()
            assert story.told() == [story.present] * len(story.tabs)
            assert nodes.check() == []
            return story

    return anyio.run(main)


@given(st.lists(st.one_of(COME, COME, GO, PASS, KILL), max_size=25))
@settings(max_examples=60)
def test_each_edge_of_a_user_is_told_once_in_the_cluster_whoever_dies(steps):
    story = play(steps)
    for user, edges in story.edges.items():
        assert edges == ["added", "removed"] * (len(edges) // 2) + ["added"] * (len(edges) % 2), user
    assert {user for user, edges in story.edges.items() if len(edges) % 2} == story.present


@given(st.lists(st.one_of(COME, COME, GO, PASS, KILL, PART, HEAL), max_size=25))
@settings(max_examples=60)
def test_all_know_the_same_when_all_can_be_reached_again(steps):
    play(steps)


@given(
    st.lists(st.one_of(COME, COME, GO, PASS, KILL), max_size=20),
    st.integers(0, 1000),
    st.sampled_from([Weather(delay=(0, 0.4)), Weather(delay=(0.1, 3))]),
)
@settings(max_examples=60)
def test_late_envelopes_change_nothing_in_the_end(steps, seed, weather):
    play(steps, weather, seed)


@given(st.lists(st.tuples(NODE, st.integers(0, 3)), max_size=40), st.integers(0, 1000))
@settings(max_examples=60)
def test_every_subscriber_gets_each_event_once_and_those_of_one_publisher_in_order(events, seed):
    """`events` are publishers, each with the number of tenths of a second that pass after it."""

    async def main() -> None:
        async with cluster(nodes=NODES, seed=seed, weather=Weather(delay=(0, 0.3))) as nodes:
            seen: list[list[Any]] = [[] for _ in nodes]
            for kit, events_seen in zip(nodes, seen, strict=True):
                channel = await (await kit.connect()).subscribe("orders")
                channel.bind("paid", partial(keep, events_seen))
            sent = []
            for number, (publisher, tenths) in enumerate(events):
                sent.append([publisher, number])
                await nodes[publisher].hub.trigger("orders", "paid", sent[-1])
                await nodes.advance(tenths / 10)
            await nodes.advance(1)
            for got in seen:
                assert sorted(got) == sorted(sent)
                for publisher in range(NODES):
                    mine = [number for who, number in got if who == publisher]
                    assert mine == sorted(mine)

    anyio.run(main)
