"""Presence: joining and leaving a channel that has 10 or 100 members."""

from __future__ import annotations

from benchmarks.harness import load
from benchmarks.harness.bench import MICRO, Bench

QUESTION = "What does a join and a leave cost in a presence channel with members?"
UNIT = "µs CPU per join and leave"
CHANNEL = "presence-room"
STORM = 200


def run(bench: Bench) -> None:
    """200 users come, one after another, and go again; each coming and going is told to all members."""
    staying, coming = load.pusher(CHANNEL, "&user=m{i}"), load.pusher(CHANNEL, "&user=c{i}")
    count = bench.size(STORM)
    for members in (10, 100):
        for name in bench.peers("relay_hub"):
            with bench.world(name, members, visit=staying, options={"authorizer": True}) as world:
                for turn in range(bench.rounds + 1):
                    before, frames = world.cpu(), world.sinks.frames
                    with load.sinks(world.port, coming, count, window=1):
                        world.sinks.wait_for(frames + count * members)
                    world.sinks.wait_for(frames + 2 * count * members)
                    if turn:
                        value = (world.cpu() - before) * MICRO / count
                        bench.record("presence", f"{members} members", name, UNIT, value, at=members)
