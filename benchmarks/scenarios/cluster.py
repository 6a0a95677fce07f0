"""Several nodes: two of them with a Redis between, on two cores.

How the cores are shared: the node that is measured has the first core to itself. Everything else, which is Redis, the
sinks and the other node, shares the second. Where two workers fan out, each has a core of its own, but Redis and the
sinks take from the second one too; so their speed is told by the CPU time of the busier of them, which is what would
be the limit if sinks and Redis were on machines of their own, as they are where it matters.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from benchmarks.harness import engine
from benchmarks.harness.bench import MICRO, Bench, World
from benchmarks.harness.engine import Engine
from benchmarks.harness.load import pusher

QUESTION = (
    "What do a second node and a Redis between cost, and what do they bring? The node that is measured has one core to"
    " itself; Redis, the sinks and the other node share the other core. Where two workers fan out each has a core, and"
    " what counts is the CPU time of the busier one, since Redis and the sinks take from the second core too."
)
NAME = "relay_node"
SUBSCRIBERS, RATE, SECONDS, TICKS = 1000, 20, 4.0, 20
PUBLISHES, JOINS, MEMBERS, AT_ONCE = 10_000, 4000, 20, 64
ELSEWHERE = 10_000
"""Channels that a node does not carry."""
AGE, COST = "ms from publish to receive", "µs CPU"


def run(bench: Bench) -> None:
    """Everything there is to know of two nodes."""
    if not engine.installed():
        bench.found.skipped["cluster"] = engine.MISSING
        return
    if not bench.peers(NAME):
        return
    for part in (latency, fan_out, publishing, joining):
        with engine.running() as redis:
            bench.found.versions[NAME] = {**bench.found.versions[NAME], "redis-server": redis.version}
            part(bench, redis)


def node(
    bench: Bench, redis: Engine | None, subscribers: int = 1, *, channel: str = "quiet", core: int = 0
) -> AbstractContextManager[World]:
    """One node with subscribers of one channel; without Redis it is alone."""
    options: dict[str, object] = {"redis": redis.url if redis else ""}
    return bench.world(NAME, subscribers, visit=pusher(channel), options=options, core=core)


def latency(bench: Bench, redis: Engine) -> None:
    """The same subscribers of the same node, published to by that node and by the other one."""
    subscribers, seconds = bench.size(SUBSCRIBERS), max(0.5, SECONDS * bench.scale)
    with node(bench, redis, subscribers, channel="bench") as world, node(bench, redis, core=1) as other:
        step = bench.steps("cluster: latency", 2 * (bench.rounds + 1))
        for turn in range(bench.rounds + 1):
            for where, publisher in (("the same node", world), ("another node", other)):
                publish = partial(publisher.order, "paced", rate=RATE, seconds=seconds)
                for name, age in bench.latency(world, publish).items():
                    if turn:
                        case = f"{RATE * SUBSCRIBERS:,} a second, published on {where}, {name}"
                        bench.record("cluster", case, NAME, AGE, age)
                step()


def fan_out(bench: Bench, redis: Engine) -> None:
    """1,000 subscribers of one worker that is alone, and 500 of each of two; one event a tick."""
    half = bench.size(SUBSCRIBERS) // 2 or 1
    with (
        node(bench, None, 2 * half, channel="bench") as alone,
        node(bench, redis, half, channel="bench") as near,
        node(bench, redis, half, channel="bench", core=1) as far,
    ):
        step = bench.steps("cluster: fan-out", 2 * (bench.rounds + 1))
        for turn in range(bench.rounds + 1):
            for case, workers in (("one worker", [alone]), ("two workers", [near, far])):
                busiest = max(spread(workers))
                if turn:
                    value = busiest * MICRO / (TICKS * 2 * half)
                    bench.record("cluster", f"fan-out, {case}", NAME, f"{COST} per delivery", value)
                step()


def spread(workers: list[World]) -> list[float]:
    """CPU seconds of each of ``workers`` for events that the first one publishes, one a tick.

    What the first one spends on reading orders and on waiting for the sinks is not counted, as in other scenarios.
    """
    first, *others = workers
    used, before = 0.0, [world.cpu() for world in others]
    for _ in range(TICKS):
        expected = [world.sinks.frames + world.subscribers for world in workers]
        used += first.order("ticks", ticks=1, events=1)["cpu"]
        for world, frames in zip(workers, expected, strict=True):
            world.sinks.wait_for(frames)
    return [used, *(world.cpu() - was for world, was in zip(others, before, strict=True))]


def publishing(bench: Bench, redis: Engine) -> None:
    """To a channel that the other node has one subscriber of, and to 10,000 that it has none of."""
    events = bench.size(PUBLISHES)
    with node(bench, redis) as world, node(bench, redis, channel="heard-0", core=1) as other:
        step = bench.steps("cluster: publish", 3 * (bench.rounds + 1))
        for turn in range(bench.rounds + 1):
            record = bench.record if turn else _forget
            publish = partial(world.order, "publishes", events=events, at_once=AT_ONCE)
            heard, ours, theirs, redis_used = _watch(redis, other, partial(publish, channel="heard", channels=1))
            record("cluster", f"publishes, {AT_ONCE} under way", NAME, "publishes a second", events / heard["wall"])
            for what, seconds in (("a node", ours), ("Redis", redis_used)):
                record("cluster", f"a publish: {what}", NAME, COST, seconds * MICRO / events)
            record("cluster", "on another node, of a channel it carries", NAME, COST, theirs * MICRO / events)
            step()
            _, _, theirs, _ = _watch(redis, other, partial(publish, channel="elsewhere", channels=ELSEWHERE))
            case = "on another node, of a channel it does not carry"
            record("cluster", case, NAME, COST, theirs * MICRO / events)
            step()
            single = world.order("publishes", events=events // 4 or 1, at_once=1, channel="heard", channels=1)
            rate = (events // 4 or 1) / single["wall"]
            record("cluster", "publishes, one after the other", NAME, "publishes a second", rate)
            step()


def _watch(
    redis: Engine, other: World, act: Callable[[], dict[str, float]]
) -> tuple[dict[str, float], float, float, float]:
    """What ``act`` answers, and the CPU seconds of who acted, of the other node and of Redis meanwhile."""
    theirs, engine_used = other.cpu(), redis.used().cpu
    answer = act()
    other.order("publishes", events=1, at_once=1, channel="after", channels=1)  # it comes behind what it has to read
    return answer, answer["cpu"], other.cpu() - theirs, redis.used().cpu - engine_used


def joining(bench: Bench, redis: Engine) -> None:
    """Clients without a socket, so that what is measured is the subscribe; then all of them go.

    In their first presence channel their users come online too, in the second one these are online already.
    """
    joins = bench.size(JOINS)
    room = f"presence channels of {MEMBERS} members"
    kinds = (
        ("subscribe", "channels of their own", [("own", 1)]),
        ("presence join", room, [("presence-first", MEMBERS), ("presence-second", MEMBERS)]),
    )
    with node(bench, redis) as world:
        step = bench.steps("cluster: join", len(kinds) * (bench.rounds + 1))
        for turn in range(bench.rounds + 1):
            record = partial(bench.record if turn else _forget, "cluster")
            for one, kind, channels in kinds:
                after = redis.used()
                for again, (channel, members) in enumerate(channels):
                    before, order = redis.used(), {"channel": channel, "members": members, "again": bool(again)}
                    answer, known = (
                        world.order("joins", joins=joins, at_once=AT_ONCE, **order),
                        " of a known user" * again,
                    )
                    after = redis.used()
                    record(f"joins, {kind}{',' * again}{known}", NAME, "joins a second", joins / answer["wall"])
                    record(f"a {one}{known}: a node", NAME, COST, answer["cpu"] * MICRO / joins)
                    record(f"a {one}{known}: Redis", NAME, COST, (after.cpu - before.cpu) * MICRO / joins)
                    record(f"memory, a {one}{known}", NAME, "bytes", (after.memory - before.memory) / joins)
                left, places = world.order("leave"), joins * len(channels)
                gone = redis.used()
                record(f"a leave after a {one}: a node", NAME, COST, left["cpu"] * MICRO / places)
                record(f"a leave after a {one}: Redis", NAME, COST, (gone.cpu - after.cpu) * MICRO / places)
                step()


def _forget(*_: object, **__: object) -> None:
    """The first round only warms up."""
