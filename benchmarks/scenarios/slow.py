"""Slow readers: a tenth of the subscribers stops reading, and nobody else may notice."""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, World
from benchmarks.harness.processes import memory

QUESTION = "What do the others notice when a tenth of the subscribers stops reading?"
SUBSCRIBERS = 1000
SECONDS = 3.0
RATE, SIZE, BOUND = 25, 8000, 65_536
POLICIES = ("disconnect", "drop_oldest", "latest_only")


def run(bench: Bench) -> None:
    """25 events of 8 KB a second with nobody stalled, then with 100 of 1,000 that never read again, for each policy."""
    subscribers = bench.size(SUBSCRIBERS)
    for name in bench.peers("relay_hub"):
        for policy in POLICIES:
            for stalled in (0, max(1, subscribers // 10)):
                measure(bench, name, policy, subscribers, stalled)


def measure(bench: Bench, name: str, policy: str, subscribers: int, stalled: int) -> None:
    """Ages of those who read; memory that the server took for those who do not, what they lost, and who was closed."""
    options: dict[str, object] = {"slow_consumers": policy, "max_backlog": BOUND}
    with bench.world(name, subscribers, stalled=stalled, options=options) as world:
        case = f"{policy}, {'a tenth stalled' if stalled else 'nobody stalled'}"
        age(bench, world)  # what is set aside once, and the buffers of the kernel
        before = memory(world.pid)
        bench.alternate("slow", case, "ms from publish to receive", [world], partial(age, bench))
        grown = (memory(world.pid) - before) / 2**20
        bench.record("slow", f"{case}, memory grown", name, "MiB", grown)
        lost = float(world.server.ask(do="cpu")["lost"])
        bench.record("slow", f"{case}, events lost", name, "events for each who is stalled", lost / max(1, stalled))


def age(bench: Bench, world: World) -> dict[str, float]:
    """Percentiles of those who read."""
    seconds = max(0.5, SECONDS * bench.scale)
    return bench.latency(world, lambda: world.order("paced", rate=RATE, seconds=seconds, size=SIZE))
