"""Connecting: the cost of a connection with its handshake and, where there are channels, its subscribe."""

from __future__ import annotations

from benchmarks.harness import load
from benchmarks.harness.bench import MICRO, Bench, World
from benchmarks.scenarios import SERVERS

QUESTION = "What does it cost to let a client in?"
UNIT = "µs CPU per connection"
PEERS = ("aiohttp_exchange", *SERVERS)
CONNECTIONS = 1000


def run(bench: Bench) -> None:
    """1,000 clients come, 32 at a time, and go again."""
    count = bench.size(CONNECTIONS)

    def storm(world: World) -> float:
        before = world.cpu()
        with load.sinks(world.port, world.peer.visit, count):
            return (world.cpu() - before) * MICRO / count

    with bench.worlds(bench.peers(*PEERS), 1) as worlds:
        bench.alternate("connects", f"{CONNECTIONS:,} clients, 32 at a time", UNIT, worlds, storm)
