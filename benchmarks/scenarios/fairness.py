"""Fairness: what a small channel notices while one with 10,000 subscribers beside it runs flat out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from benchmarks.harness import load
from benchmarks.harness.bench import Bench, World
from benchmarks.harness.load import Sinks

QUESTION = "How late is a small channel while a channel with 10,000 subscribers runs flat out?"
UNIT = "ms from publish to receive"


def run(bench: Bench) -> None:
    """50 events a second to 10 subscribers of the small channel."""
    for name in bench.peers("relay_hub"):
        with (
            bench.world(name, bench.size(10_000)) as world,
            load.sinks(world.port, load.pusher("quiet"), 10) as quiet,
        ):
            bench.alternate("fairness", "small channel", UNIT, [world], partial(age, bench, quiet))


def age(bench: Bench, quiet: Sinks, world: World) -> dict[str, float]:
    """Percentiles of the small channel."""
    return bench.latency(
        replace(world, sinks=quiet), lambda: world.order("fair", rate=50, seconds=max(1.0, 4.0 * bench.scale))
    )
