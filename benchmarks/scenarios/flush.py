"""Flush interval: what waiting 5 ms before writing buys in CPU and costs in latency."""

from __future__ import annotations

from benchmarks.harness.bench import MICRO, Bench, World
from benchmarks.harness.load import pusher

QUESTION = "What does a flush interval buy when each of 50 channels gets 20 events a second?"
CHANNELS, CONNECTIONS, RATE = 50, 50, 20
VISIT = pusher("bench-{c}")


def run(bench: Bench) -> None:
    """50 connections in the same 50 channels; 1,000 events a second in all."""
    for name in bench.peers("relay_hub"):
        for milliseconds in (0, 1, 5, 20):
            options: dict[str, object] = {"flush_interval": milliseconds / 1000}
            with bench.world(
                name, CONNECTIONS, visit=VISIT, channels=CHANNELS, each=CHANNELS, options=options
            ) as world:
                step = bench.steps(f"flush: {milliseconds} ms", bench.rounds)
                for _ in range(bench.rounds):
                    measure(bench, world, milliseconds)
                    step()


def measure(bench: Bench, world: World, milliseconds: int) -> None:
    """CPU of a delivery, and how long it takes."""
    seconds = max(0.5, 2.0 * bench.scale)
    answer: dict[str, float] = {}
    order = {"rate": RATE * CHANNELS, "seconds": seconds, "channels": CHANNELS}
    ages = bench.latency(world, lambda: answer.update(world.order("paced", **order)))
    cpu = answer["cpu"] * MICRO / (RATE * CHANNELS * seconds * CONNECTIONS)
    for what, unit, value in (
        ("CPU", "µs CPU per delivery", cpu),
        ("p50", "ms from publish to receive", ages["p50"]),
        ("p99", "ms from publish to receive", ages["p99"]),
    ):
        bench.record("flush", f"{milliseconds} ms, {what}", world.peer.name, unit, value, at=milliseconds)
