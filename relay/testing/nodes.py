"""Several hubs that are one cluster, in one test: with delay, loss, partitions and the death of nodes, on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random

import anyio
import anyio.abc
import anyio.lowlevel

from relay.app import App
from relay.errors import UsageError
from relay.testing.clock import ManualClock
from relay.testing.engine import MemoryCluster, MemoryEngine, Weather
from relay.testing.kit import Kit

_TURNS = 3


@asynccontextmanager
async def cluster(
    *apps: App, nodes: int = 2, seed: int = 0, weather: Weather | None = None, hold: int = 0
) -> AsyncIterator[Nodes]:
    """A cluster of ``nodes`` hubs, each with a :class:`Kit` of its own, on one clock.

    Anyio's tasks run in it, so it has to end in the task that began it::

        async with cluster(nodes=3) as nodes:
            ada = await nodes[0].connect()
            await ada.subscribe("orders")
            await nodes[2].hub.trigger("orders", "paid", {"id": 7})
            await ada["orders"].expect("paid", {"id": 7})

    Each hub serves ``apps``. With ``weather`` the links are slow and lossy; ``seed`` decides what it brings, the same
    every time. By default nothing is lost and nothing takes time. ``hold`` is that of the hubs:
    what waits is sent two seconds after its node is healed, by the clock.
    """
    if nodes < 1:
        raise UsageError(f"a cluster has at least one node, got nodes={nodes!r}")
    tasks = anyio.create_task_group()
    await tasks.__aenter__()
    made = Nodes(apps, seed, weather or Weather(), tasks, hold)
    try:
        for _ in range(nodes):
            await made.add()
        yield made
    finally:
        made.close()
        await tasks.__aexit__(None, None, None)  # an error of the block comes out as it is


class Nodes:
    """The nodes of one test, by number; ``nodes[0]`` is the :class:`Kit` of the first."""

    def __init__(
        self, apps: tuple[App, ...], seed: int, weather: Weather, tasks: anyio.abc.TaskGroup, hold: int
    ) -> None:
        self.clock = ManualClock()
        self._apps, self._seed, self._tasks, self._hold = apps, seed, tasks, hold
        self._engine = MemoryEngine(self.clock, weather, Random(seed))  # noqa: S311 - the same every time
        self._kits: list[Kit] = []
        self._ends: list[MemoryCluster] = []
        self._dead: set[int] = set()

    def __len__(self) -> int:
        return len(self._kits)

    def __getitem__(self, number: int) -> Kit:
        return self._kits[number]

    def __iter__(self) -> Iterator[Kit]:
        return iter(self._kits)

    @property
    def lost(self) -> int:
        """Envelopes that somebody listened for and that did not arrive: by loss, partition or death."""
        return self._engine.lost

    async def add(self) -> Kit:
        """One more node that joins the cluster."""
        end = self._engine.end()
        seed = self._seed * 1000 + len(self._kits)
        kit = Kit(*self._apps, seed=seed, clock=self.clock, cluster=end, hold=self._hold)
        self._ends.append(end)
        self._kits.append(kit)
        await self._tasks.start(kit.hub.run)
        return kit

    def part(self, *numbers: int) -> None:
        """Let these nodes not reach the engine, and so nobody; they serve their own clients meanwhile."""
        for number in numbers:
            self._ends[number].part()

    async def heal(self, *numbers: int) -> None:
        """Let them reach it again; returns when they have put right what may have been wrong."""
        for number in numbers:
            if number in self._dead:
                raise UsageError(f"node {number} is dead, and does not come back: add() makes a new one")
            await self._ends[number].heal()
        await self.settle()

    def kill(self, number: int) -> None:
        """Let a node die as by SIGKILL: its clients lose their connection, and nobody is told. The others find out
        when its lease is over.
        """
        self._dead.add(number)
        self._ends[number].part()
        self._kits[number].lose_node()
        self._kits[number].hub.close()

    def hold(self, number: int) -> None:
        """Let nothing of other nodes reach this one until ``release``, as when it is too busy to read."""
        self._ends[number].hold()

    async def release(self, number: int) -> None:
        """Let it have what it did not read."""
        self._ends[number].release()
        await self.settle()

    async def settle(self) -> None:
        """Return when nothing is under way on any node, and nothing between them is due."""
        while True:
            for number, kit in enumerate(self._kits):
                if number not in self._dead:
                    await kit.settle()
            for _ in range(_TURNS):
                await anyio.lowlevel.checkpoint()
            if not self._engine.deliver():
                return

    async def advance(self, seconds: float) -> None:
        """Let time pass on all nodes, then settle."""
        await self.clock.advance(seconds)
        await self.settle()

    def check(self) -> list[str]:
        """What is inconsistent in any node, in words; and between the nodes and the directory, where all reach it."""
        living = [(number, kit) for number, kit in enumerate(self._kits) if number not in self._dead]
        problems = [f"node {number}: {problem}" for number, kit in living for problem in kit.hub.check()]
        if not all(self._ends[number].reachable for number, _ in living):
            return problems
        apps = {app.id for kit in self._kits for app in kit.hub.apps}
        alive = {self._ends[number] for number, _ in living}
        known = {place for place, (end, _) in self._engine.owners.items() if end in alive and place[0] in apps}
        here = {place for _, kit in living for place in kit.hub.places()}
        problems += [f"the directory lacks {place}" for place in sorted(here - known)]
        problems += [f"the directory has {place}, which is nowhere" for place in sorted(known - here)]
        return problems

    def close(self) -> None:
        """End all hubs."""
        for kit in self._kits:
            kit.hub.close()
        self._engine.close()
