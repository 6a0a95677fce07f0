"""Slow readers: a tenth of the subscribers stops reading. Nobody else may notice."""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, World
from benchmarks.harness.processes import memory

QUESTION = "What do the others notice when a tenth of the subscribers stops reading?"
SUBSCRIBERS = 1000
SECONDS = 4.0
POLICIES = ("disconnect", "drop_oldest", "latest_only")


def run(bench: Bench) -> None:
    """50 events a second with nobody stalled, then with 100 of 1,000 that never read again, for each policy."""
    subscribers = bench.size(SUBSCRIBERS)
    for name in bench.peers("relay_hub"):
        for policy in POLICIES:
            for stalled in (0, subscribers // 10):
                options: dict[str, object] = {"slow_consumers": policy, "max_backlog": 65536}
                with bench.world(name, subscribers, stalled=stalled, options=options) as world:
                    case = f"{policy}, {'a tenth stalled' if stalled else 'nobody stalled'}"
                    before = memory(world.pid)
                    bench.alternate("slow", case, "ms from publish to receive", [world], partial(age, bench))
                    grown = (memory(world.pid) - before) / 2**20
                    bench.record("slow", f"{case}, memory grown", name, "MiB", grown)


def age(bench: Bench, world: World) -> dict[str, float]:
    """Percentiles of those who read."""
    return bench.latency(world, lambda: world.order("paced", rate=50, seconds=max(0.5, SECONDS * bench.scale)))
