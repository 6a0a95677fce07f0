"""What a scenario works with: peers with subscribers, alternating rounds, and a place for what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import environment, load, results
from benchmarks.harness.environment import Peer
from benchmarks.harness.load import Sinks, Visit
from benchmarks.harness.processes import Process, cores, running
from benchmarks.harness.shared import percentiles

if TYPE_CHECKING:
    from rich.progress import Progress

MICRO = 1e6
Measure = Callable[["World"], "float | dict[str, float]"]


@dataclass
class World:
    """One peer's server and its subscribers."""

    peer: Peer
    server: Process
    port: int
    pid: int
    sinks: Sinks
    subscribers: int
    stack: ExitStack = field(default_factory=ExitStack)

    def order(self, do: str, **what: object) -> dict[str, float]:
        """Have the server do something (see peers/serving.py)."""
        counters = self.sinks.counters.path
        answer: dict[str, float] = self.server.ask(do=do, subscribers=self.subscribers, counters=counters, **what)
        return answer

    def cpu(self) -> float:
        """CPU seconds the server has used."""
        return float(self.server.ask(do="cpu")["cpu"])


@dataclass
class Bench:
    """One run of the harness."""

    found: results.Results
    rounds: int = 5
    scale: float = 1.0
    """1 for the whole thing; smaller for a look at it."""
    only: Sequence[str] = ()
    """The peers to measure, all of them if empty."""
    progress: Progress | None = None
    directory: Path = Path()
    """For files of the time of the run."""

    def peers(self, *names: str) -> list[str]:
        """Those of ``names`` that are wanted and can be measured here; why not is noted."""
        able = []
        for name in names:
            if self.only and name not in self.only:
                continue
            peer = _find(name)
            if isinstance(peer, str):
                self.found.skipped[name] = peer
                continue
            self.found.versions[name] = peer.versions
            self.found.titles[name] = peer.title
            able.append(name)
        return able

    def size(self, number: int) -> int:
        """``number``, scaled."""
        return max(1, round(number * self.scale))

    @contextmanager
    def world(
        self,
        name: str,
        subscribers: int,
        *,
        visit: Visit | None = None,
        channels: int = 1,
        each: int = 1,
        stalled: int = 0,
        options: dict[str, object] | None = None,
        core: int = 0,
    ) -> Iterator[World]:
        """A server with its subscribers (see harness/load.py), for the time of the block.

        ``core`` 1 puts the server on the core of everything else, where another one has the first.
        """
        peer = _find(name)
        assert isinstance(peer, Peer)
        with ExitStack() as stack:
            server = stack.enter_context(running(peer.command(cores()[core], self.found.loop, options or {})))
            where = json.loads(server.line())
            audience = stack.enter_context(
                load.sinks(
                    where["port"], visit or peer.visit, subscribers, channels=channels, each=each, stalled=stalled
                )
            )
            yield World(peer, server, where["port"], where["pid"], audience, subscribers, stack)

    def latency(self, world: World, act: Callable[[], object]) -> dict[str, float]:
        """Milliseconds from publish to receive while ``act`` publishes with stamps."""
        before = world.sinks.counters.histogram()
        act()
        after = world.sinks.counters.histogram()
        wanted = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
        found = percentiles(before, after, list(wanted.values()))
        return {name: value / 1e6 for name, value in zip(wanted, found, strict=True)}

    @contextmanager
    def worlds(self, names: Sequence[str], subscribers: int) -> Iterator[list[World]]:
        """Several at the same time, to be measured in turn."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.world(name, subscribers)) for name in names]

    def alternate(
        self, scenario: str, case: str, unit: str, subjects: Sequence[World], measure: Measure, *, at: float = 0.0
    ) -> None:
        """Measure each of ``subjects`` once to warm up, then in turn, round by round.

        What gives several values at once names them, and the names become part of the case.
        """
        step = self.steps(f"{scenario}: {case}", (self.rounds + 1) * len(subjects))
        for turn in range(self.rounds + 1):
            ahead = turn % len(subjects)
            for world in (*subjects[ahead:], *subjects[:ahead]):
                begun, busy = time.monotonic(), world.sinks.cpu
                value = measure(world)
                used = (world.sinks.cpu - busy) / (time.monotonic() - begun)
                values = value if isinstance(value, dict) else {"": value}
                for name, one in values.items() if turn else ():
                    what = f"{case}, {name}" if name else case
                    self.record(scenario, what, world.peer.name, unit, one, at=at, busy=used)
                step()

    def steps(self, what: str, number: int) -> Callable[[], None]:
        """Show a bar of ``number`` steps; what to call after each."""
        if self.progress is None:
            return lambda: None
        return partial(self.progress.advance, self.progress.add_task(what, total=number))

    def record(
        self,
        scenario: str,
        case: str,
        peer: str,
        unit: str,
        value: float,
        *,
        at: float = 0.0,
        busy: float | None = None,
    ) -> None:
        """Note one value. ``busy`` is the share of the time that the sinks' core worked."""
        known = self.found.of(scenario, case, peer)
        if not known:
            known = [results.Samples(scenario, case, peer, unit, at)]
            self.found.samples.extend(known)
        known[0].values.append(value)
        if busy is not None:
            known[0].sinks_busy.append(round(busy, 3))


@cache
def _find(name: str) -> Peer | str:
    return environment.find(name)
