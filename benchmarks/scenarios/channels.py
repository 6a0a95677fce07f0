"""Many small channels: 10,000 of them with 10 subscribers each, one event to each."""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import MICRO, Bench, World
from benchmarks.harness.load import pusher

QUESTION = "What does a delivery cost when there are 10,000 channels with 10 subscribers each?"
UNIT = "µs CPU per delivery"
CHANNELS, EACH = 10_000, 10


def run(bench: Bench) -> None:
    """1,000 connections, each in 100 channels; and the same number of deliveries in one channel, to compare with."""
    channels = bench.size(CHANNELS)
    connections = max(EACH, channels * EACH // 100)
    visit = pusher("bench-{c}")
    case = f"{CHANNELS:,} channels of {EACH}"
    for name in bench.peers("relay_hub"):
        with bench.world(name, connections, visit=visit, channels=channels, each=100) as world:
            world.subscribers = connections * 100
            measure = partial(cost, channels=channels)
            bench.alternate("channels", case, UNIT, [world], measure, at=CHANNELS)
    with bench.worlds(bench.peers("relay_hub", "floor"), connections) as worlds:
        bench.alternate("channels", f"one channel of {connections:,}", UNIT, worlds, in_one, at=1)


def cost(world: World, channels: int) -> float:
    """Microseconds of CPU for one delivery."""
    return world.order("spread", channels=channels, rounds=1)["cpu"] * MICRO / world.subscribers


def in_one(world: World) -> float:
    """The same in one channel, one event a tick."""
    return world.order("ticks", ticks=20, events=1)["cpu"] * MICRO / (20 * world.subscribers)
