"""Idle connections: memory of each, and the cost of keeping them alive."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.harness import load
from benchmarks.harness.bench import MICRO, Bench
from benchmarks.harness.processes import memory
from benchmarks.scenarios import SERVERS

QUESTION = "What does a connection cost that does nothing?"
CONNECTIONS = 5000
_BEATS = 2


def run(bench: Bench) -> None:
    """5,000 subscribed connections; the server's resident memory before and after, and the kernel's beside it."""
    for name in bench.peers(*SERVERS):
        for _ in range(min(3, bench.rounds)):
            weigh(bench, name, f"{CONNECTIONS:,} connections")
    for name in bench.peers("relay_hub"):
        for _ in range(min(3, bench.rounds)):
            weigh(bench, name, f"{CONNECTIONS:,} connections that may ask an authorizer", {"authorizer": True})
            bench.record("idle", "keeping alive", name, "µs CPU per ping and pong", heartbeat(bench, name))


def weigh(bench: Bench, name: str, case: str, options: dict[str, object] | None = None) -> None:
    """KiB of memory for each connection."""
    count = bench.size(CONNECTIONS)
    with bench.world(name, 100, options=options) as world:
        before, objects = memory(world.pid), kernel()
        with load.sinks(world.port, world.peer.visit, count):
            bench.record("idle", case, name, "KiB RSS", (memory(world.pid) - before) / count / 1024)
            held = (kernel() - objects) / count / 1024
            bench.record("idle", f"{case}, kernel", name, "KiB of kernel objects, both ends", held)


def heartbeat(bench: Bench, name: str) -> float:
    """CPU of one ping and its answer."""
    count, timeout = bench.size(1000), 1
    with bench.world(name, count, options={"activity_timeout": timeout}) as world:
        before, frames = world.cpu(), world.sinks.frames
        time.sleep(timeout * _BEATS + 0.5)
        world.sinks.wait_for(frames + count)
        return (world.cpu() - before) * MICRO / (world.sinks.frames - frames)


def kernel() -> int:
    """Bytes of the kernel's objects, both ends of each connection among them."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["Slab"].split()[0]) * 1024
