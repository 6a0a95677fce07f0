"""Growth: what a trigger costs when there are many other channels. Fan-out shows many subscribers."""

from __future__ import annotations

from benchmarks.harness import load
from benchmarks.harness.bench import MICRO, Bench, World

QUESTION = "Does a trigger get slower when there are 100,000 other channels?"
UNIT = "µs CPU per trigger"
TRIGGERS = 2000


def run(bench: Bench) -> None:
    """One subscriber, beside 1 and beside 100,000 other channels; both at the same time, in turn."""
    others, connections = bench.size(100_000), 1000
    for name in bench.peers("relay_hub"):
        with bench.world(name, 1) as alone, bench.world(name, 1) as crowded:
            visit = load.pusher("other-{c}")
            each = max(1, others // connections)
            with load.sinks(crowded.port, visit, connections, channels=others, each=each):
                for turn in range(bench.rounds + 1):
                    for case, number, world in (("1 channel", 1, alone), ("100,000 channels", 100_000, crowded)):
                        value = cost(world)
                        if turn:
                            bench.record("growth", case, name, UNIT, value, at=number)


def cost(world: World) -> float:
    """Microseconds of CPU for one trigger to one subscriber."""
    ticks = TRIGGERS // 40
    return world.order("ticks", ticks=ticks, events=40)["cpu"] * MICRO / TRIGGERS
