"""REST: publishing to a whole server over HTTP, one event or ten at a time, to one subscriber or a thousand."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.harness import load, rest
from benchmarks.harness.bench import MICRO, Bench, World
from benchmarks.harness.load import Publisher

QUESTION = "What does publishing through the REST API cost, and how much can a server take?"
WHOLE = ("relay_serve", "soketi")
SUBSCRIBERS = 1000
BATCH = 10


def run(bench: Bench) -> None:
    """Requests as fast as they are answered, over 8 connections."""
    with bench.worlds(bench.peers("bare_rest", "relay_hub", "soketi"), 1) as worlds:
        publish(bench, worlds, "one event to one subscriber", rest.single(), requests=3000, events=1)
    with bench.worlds(bench.peers(*WHOLE), bench.size(SUBSCRIBERS)) as worlds:
        many = f"to {SUBSCRIBERS:,} subscribers"
        publish(bench, worlds, f"one event {many}", rest.single(), requests=100, events=1)
        publish(bench, worlds, f"batches of {BATCH} {many}", rest.batch(BATCH), requests=50, events=BATCH)


def publish(bench: Bench, worlds: list[World], case: str, request: bytes, *, requests: int, events: int) -> None:
    """Both what a request costs the server, and how many deliveries a second it makes."""
    publishers = {
        world.pid: world.stack.enter_context(load.publisher(world.port, request, directory=bench.directory))
        for world in worlds
    }

    def cost(world: World) -> float:
        return one_round(world, publishers[world.pid], requests, events)["cpu"] * MICRO / requests

    def rate(world: World) -> float:
        return requests * events * world.subscribers / one_round(world, publishers[world.pid], requests, events)["wall"]

    bench.alternate("rest", case, "µs CPU per request", worlds, cost)
    bench.alternate("rest", f"{case}, deliveries", "deliveries a second", worlds, partial(rate))


def one_round(world: World, publisher: Publisher, requests: int, events: int) -> dict[str, float]:
    """CPU of the server and time on the wall until everything arrived."""
    expected = world.sinks.frames + requests * events * world.subscribers
    used, begun = world.cpu(), time.monotonic()
    publisher.publish(requests)
    if world.peer.name != "bare_rest":
        world.sinks.wait_for(expected)
    return {"wall": time.monotonic() - begun, "cpu": world.cpu() - used}
