"""Fan-out: what one delivery costs when events come one, four, sixteen or forty at a time."""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import MICRO, Bench, World

QUESTION = "What does one delivery cost?"
UNIT = "µs CPU per delivery"
EVENTS = (1, 4, 16, 40)
ALL = (
    "floor_c",
    "floor",
    "relay_hub",
    "socketify_publish",
    "picows_send",
    "websockets_broadcast",
    "aiohttp_send_str",
    "aiohttp_send_json",
    "starlette_uvicorn",
    "python_socketio",
)
MANY = ("floor", "relay_hub", "socketify_publish", "picows_send", "websockets_broadcast")
"""Who is measured with 10,000 subscribers; the C program takes in fewer."""


def run(bench: Bench) -> None:
    """100, 1,000 and 10,000 subscribers of one channel."""
    for subscribers, names in ((100, ALL), (1000, ALL), (10_000, MANY)):
        count = bench.size(subscribers)
        with bench.worlds(bench.peers(*names), count) as worlds:
            for events in EVENTS:
                case = f"{subscribers:,} subscribers, {events} a tick"
                bench.alternate("fanout", case, UNIT, worlds, partial(cost, events=events), at=events)


def cost(world: World, events: int) -> float:
    """Microseconds of CPU for one delivery; enough ticks that the clock can tell."""
    ticks = min(20, max(2, 20_000 // (events * world.subscribers)))
    used = world.order("ticks", ticks=ticks, events=events)["cpu"]
    return used * MICRO / (ticks * events * world.subscribers)
