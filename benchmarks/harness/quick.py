"""The small set that ``make bench-quick`` measures for the budgets: in under two minutes, Relay and its yardsticks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from benchmarks.harness import rest, telling
from benchmarks.harness.bench import MICRO, Bench
from benchmarks.peers.serving import payload
from benchmarks.scenarios import fanout as fanout_scenario
from benchmarks.scenarios import inprocess as inprocess_scenario
from benchmarks.scenarios import rest as rest_scenario

SUBSCRIBERS: Final = 1000
EVENTS: Final = (1, 16, 40)
_IN_PROCESS_EVENTS: Final = 50


def fanout(bench: Bench) -> None:
    """Relay and a bare ``transport.write`` loop at 1, 16 and 40 events a tick."""
    with bench.worlds(bench.peers("floor", "relay_hub"), bench.size(SUBSCRIBERS)) as worlds:
        for events in EVENTS:
            case = f"{SUBSCRIBERS:,} subscribers, {events} a tick"
            measure = partial(fanout_scenario.cost, events=events)
            bench.alternate("fanout", case, fanout_scenario.UNIT, worlds, measure, at=events)


def requests(bench: Bench) -> None:
    """One event through REST, and a bare handler that checks the same signature."""
    with bench.worlds(bench.peers("bare_rest", "relay_hub"), 1) as worlds:
        case, number = "one event to one subscriber", bench.size(1500)
        rest_scenario.publish(bench, worlds, case, rest.single(), requests=number, events=1)


def inprocess(bench: Bench) -> None:
    """Deliveries to clients in the same process, and an append to as many deques."""
    subscribers = bench.size(SUBSCRIBERS)
    case, unit = f"{SUBSCRIBERS:,} subscribers in-process", "µs CPU per delivery"
    for turn in range(bench.rounds + 1):
        spent = {"deque": _appends(subscribers)}
        asyncio.run(inprocess_scenario.fan_out(subscribers, _IN_PROCESS_EVENTS, spent))
        for peer, name in (("deque", "deque"), ("relay_hub", "a delivery, queued")):
            if turn:
                bench.record("inprocess", case, peer, unit, spent[name] * MICRO)


def facts(bench: Bench) -> None:
    """A fact that nobody listens to, and a trigger to subscribers whose transports do nothing."""
    subscribers = bench.size(SUBSCRIBERS)
    for turn in range(bench.rounds + 1):
        spent = asyncio.run(telling.measure(subscribers))
        for peer, seconds in spent.items():
            if turn:
                bench.record("facts", f"{subscribers:,} subscribers", peer, "µs CPU per publish", seconds * MICRO)


def _appends(subscribers: int) -> float:
    """CPU seconds of what a delivery cannot do without: a place in the reader's queue."""
    queues: list[deque[str]] = [deque() for _ in range(subscribers)]
    begun = time.process_time()
    for _ in range(_IN_PROCESS_EVENTS):
        text = payload()
        for queue in queues:
            queue.append(text)
    return (time.process_time() - begun) / (subscribers * _IN_PROCESS_EVENTS)


MEASURES: Final[Mapping[str, Callable[[Bench], None]]] = {
    "fanout": fanout,
    "rest": requests,
    "inprocess": inprocess,
    "facts": facts,
}
