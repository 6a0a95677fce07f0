"""Paced latency: how long an event takes to arrive while 20,000 or 50,000 deliveries are made every second."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.harness import rest
from benchmarks.harness.bench import Bench, World

QUESTION = "How long does an event take when the server has to keep up a pace?"
UNIT = "ms from publish to receive"
SUBSCRIBERS = 1000
INSIDE = ("floor", "relay_hub", "socketify_publish", "picows_send", "websockets_broadcast", "aiohttp_send_str")
WHOLE = ("relay_serve", "soketi")
SECONDS = 4.0


def run(bench: Bench) -> None:
    """1,000 subscribers; the age of an event is counted from when it was due."""
    subscribers, seconds = bench.size(SUBSCRIBERS), max(0.5, SECONDS * bench.scale)
    for names, act, rates in ((INSIDE, inside, (50,)), (WHOLE, through_rest, (20, 50))):
        with bench.worlds(bench.peers(*names), subscribers) as worlds:
            for rate in rates:
                case = f"{rate * SUBSCRIBERS:,} a second{', through REST' if names is WHOLE else ''}"
                measure = partial(age, bench, partial(act, rate, seconds))
                bench.alternate("paced", case, UNIT, worlds, measure, at=rate * SUBSCRIBERS)


def age(bench: Bench, act: partial[None], world: World) -> dict[str, float]:
    """Percentiles of one run."""
    return bench.latency(world, partial(act, world))


def inside(rate: int, seconds: float, world: World) -> None:
    """The server publishes itself."""
    world.order("paced", rate=rate, seconds=seconds)


def through_rest(rate: int, seconds: float, world: World) -> None:
    """We publish over one connection, a new signature for each."""
    expected = world.sinks.frames
    with rest.Caller(world.port) as caller:
        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            caller.call(rest.single(stamp=int(due * 1e9)))
            expected += world.subscribers
    world.sinks.wait_for(expected)
