"""Idle connections: memory of each, and the cost of keeping them alive."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.harness import load
from benchmarks.harness.bench import MICRO, Bench
from benchmarks.harness.processes import memory

QUESTION = "What does a connection cost that does nothing?"
CONNECTIONS = 5000
PEERS = (
    "relay_hub",
    "aiohttp_send_str",
    "soketi",
    "socketify_publish",
    "picows_send",
    "websockets_broadcast",
    "starlette_uvicorn",
    "python_socketio",
)
_BEATS = 2


def run(bench: Bench) -> None:
    """5,000 subscribed connections; the server's resident memory before and after, and the kernel's beside it."""
    for name in bench.peers(*PEERS):
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
        before, kernel = memory(world.pid), kernel_pages()
        with load.sinks(world.port, world.peer.visit, count):
            bench.record("idle", case, name, "KiB RSS", (memory(world.pid) - before) / count / 1024)
            bench.record(
                "idle", f"{case}, kernel", name, "KiB of socket buffers", (kernel_pages() - kernel) * 4 / count
            )


def heartbeat(bench: Bench, name: str) -> float:
    """CPU of one ping and its answer."""
    count, timeout = bench.size(1000), 1
    with bench.world(name, count, options={"activity_timeout": timeout}) as world:
        before, frames = world.cpu(), world.sinks.frames
        time.sleep(timeout * _BEATS + 0.5)
        world.sinks.wait_for(frames + count)
        return (world.cpu() - before) * MICRO / (world.sinks.frames - frames)


def kernel_pages() -> int:
    """Pages of memory in all TCP sockets of this machine."""
    lines = Path("/proc/net/sockstat").read_text().splitlines()
    tcp = next(line.split() for line in lines if line.startswith("TCP:"))
    return int(tcp[tcp.index("mem") + 1])
