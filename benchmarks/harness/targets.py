"""The targets of the benchmark: what is wanted, how it is computed, and whether it holds. Ratios wherever possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from benchmarks.harness.results import Results

Seen = Callable[[Results], float | None]
OURS: Final = "relay_hub"
MEASURED_NOT: Final = "not measured"
_SLOW_MIB: Final = 8.0
"""100 stalled readers may hold 64 KiB each, which is 6.25 MiB; the rest is noise."""


class Target(NamedTuple):
    """One line of the table. ``seen`` computes the figure, which is to be ``at_most`` or at least ``limit``."""

    what: str
    wanted: str
    seen: Seen
    limit: float
    at_most: bool
    shown: str = "{:.2f} times"

    def judge(self, results: Results) -> Verdict:
        """The figure of these results, and whether it is good enough."""
        value = self.seen(results)
        if value is None:
            return Verdict(self, MEASURED_NOT, None)
        holds = value <= self.limit if self.at_most else value >= self.limit
        return Verdict(self, self.shown.format(value), holds)


class Verdict(NamedTuple):
    """What was seen for a target; ``holds`` is None where it was not measured."""

    target: Target
    seen: str
    holds: bool | None

    @property
    def word(self) -> str:
        """For a table."""
        return {True: "holds", False: "does not hold", None: MEASURED_NOT}[self.holds]


def ratio(scenario: str, case: str, peer: str, other: str, other_case: str | None = None) -> Seen:
    """How many times ``other``: the median of the ratios round by round."""
    return lambda results: results.ratio(scenario, case, peer, other, other_case)


def value(scenario: str, case: str, peer: str = OURS) -> Seen:
    """The median of a case."""
    return lambda results: results.median(scenario, case, peer)


def per_second(scenario: str, case: str, peer: str = OURS) -> Seen:
    """How many in a second of CPU, where the case has microseconds for each."""

    def seen(results: Results) -> float | None:
        micros = results.median(scenario, case, peer)
        return 1e6 / micros if micros else None

    return seen


def more(scenario: str, case: str, other_case: str, peer: str = OURS) -> Seen:
    """How much more one case has than the other."""

    def seen(results: Results) -> float | None:
        one, two = results.median(scenario, case, peer), results.median(scenario, other_case, peer)
        return None if one is None or two is None else one - two

    return seen


def at_most(what: str, limit: float, against: str, seen: Seen) -> Target:
    """A ratio that should be small."""
    return Target(what, f"at most {limit:g} times {against}", seen, limit, at_most=True)


def at_least(what: str, limit: float, against: str, seen: Seen) -> Target:
    """A ratio that should be large."""
    return Target(what, f"at least {limit:g} times {against}", seen, limit, at_most=False)


def _fanout() -> Sequence[Target]:
    one, forty = "1,000 subscribers, 1 a tick", "1,000 subscribers, 40 a tick"
    return (
        at_most(
            "one event a tick, 1,000 subscribers: CPU of a delivery",
            1.15,
            "a bare `transport.write` loop",
            ratio("fanout", one, OURS, "floor"),
        ),
        at_least(
            "forty events a tick: how many times less CPU than one a tick",
            15,
            "less",
            ratio("fanout", one, OURS, OURS, forty),
        ),
        Target(
            "forty events a tick: deliveries in a second of CPU",
            "at least 3.5 million",
            per_second("fanout", forty),
            3.5e6,
            at_most=False,
            shown="{:,.0f}",
        ),
        at_most(
            "forty events a tick: CPU of a delivery", 1, "socketify", ratio("fanout", forty, OURS, "socketify_publish")
        ),
    )


def _paced() -> Sequence[Target]:
    inside = "50,000 a second, p99"
    whole = [f"{rate} a second, through REST, p99" for rate in ("20,000", "50,000")]
    return (
        at_most("50,000 deliveries a second: p99", 1, "socketify", ratio("paced", inside, OURS, "socketify_publish")),
        *(
            at_most(
                f"{case.split(' a ')[0]} deliveries a second through REST: p99",
                0.5,
                "soketi",
                ratio("paced", case, "relay_serve", "soketi"),
            )
            for case in whole
        ),
    )


def _rest() -> Sequence[Target]:
    one, ten = "one event to 1,000 subscribers, deliveries", "batches of 10 to 1,000 subscribers, deliveries"
    single = "one event to one subscriber"
    return (
        at_least(
            "whole server through REST, 1,000 subscribers: deliveries a second",
            1.8,
            "soketi",
            ratio("rest", one, "relay_serve", "soketi"),
        ),
        at_least(
            "the same in batches of 10: deliveries a second", 10, "soketi", ratio("rest", ten, "relay_serve", "soketi")
        ),
        at_least(
            "REST publish to one subscriber, signature checked: requests for the same CPU",
            0.8,
            "a bare aiohttp handler",
            ratio("rest", single, "bare_rest", OURS),
        ),
    )


def _connections() -> Sequence[Target]:
    return (
        at_least(
            "connect, handshake and subscribe: connections for the same CPU",
            1.0,
            "bare aiohttp with the same exchange",
            ratio("connects", "1,000 clients, 32 at a time", "aiohttp_exchange", OURS),
        ),
        Target(
            "memory of an idle subscribed connection, hub state included",
            "at most 4 KiB resident",
            value("idle", "5,000 connections"),
            4.0,
            at_most=True,
            shown="{:.1f} KiB",
        ),
    )


def _growth() -> Sequence[Target]:
    return (
        at_most(
            "CPU of a delivery with 10,000 subscribers, one event a tick",
            1.25,
            "with 100",
            ratio("fanout", "10,000 subscribers, 1 a tick", OURS, OURS, "100 subscribers, 1 a tick"),
        ),
        at_most(
            "cost of a trigger beside 100,000 other channels",
            1.1,
            "beside one",
            ratio("growth", "100,000 channels", OURS, OURS, "1 channel"),
        ),
        Target(
            "p99 of a small channel while one with 10,000 subscribers runs flat out",
            "at most 25 ms",
            value("fairness", "small channel, p99"),
            25.0,
            at_most=True,
            shown="{:.1f} ms",
        ),
    )


def _cluster() -> Sequence[Target]:
    paced, node = "20,000 a second, published on {}, p99", "relay_node"
    carried, foreign = "on another node, of a channel it carries", "on another node, of a channel it does not carry"
    return (
        Target(
            "20,000 deliveries a second published on another node: p99",
            "at most 5 ms more than on the same node",
            more("cluster", paced.format("another node"), paced.format("the same node"), node),
            5.0,
            at_most=True,
            shown="{:z.1f} ms",
        ),
        at_least(
            "two workers' fan-out, by the CPU of the busier one",
            1.7,
            "one worker's",
            ratio("cluster", "fan-out, one worker", node, node, "fan-out, two workers"),
        ),
        Target(
            "one node publishes through Redis, 64 under way",
            "at least 10,000 a second",
            value("cluster", "publishes, 64 under way", node),
            1e4,
            at_most=False,
            shown="{:,.0f}",
        ),
        Target(
            "one node's joins of presence channels with 20 members, 64 under way",
            "at least 3,000 a second",
            value("cluster", "joins, presence channels of 20 members", node),
            3e3,
            at_most=False,
            shown="{:,.0f}",
        ),
        at_most(
            "an event of a channel that a node does not carry: its CPU",
            0.1,
            "one that it carries",
            ratio("cluster", foreign, node, node, carried),
        ),
    )


def _slow() -> Sequence[Target]:
    targets = []
    for policy in ("disconnect", "drop_oldest", "latest_only"):
        stalled, nobody = f"{policy}, a tenth stalled", f"{policy}, nobody stalled"
        others = ratio("slow", f"{stalled}, p99", OURS, OURS, f"{nobody}, p99")
        grown = more("slow", f"{stalled}, memory grown", f"{nobody}, memory grown")
        what = f"a tenth of the readers stalled, `{policy}`"
        targets.append(at_most(f"{what}: p99 of the others", 1.3, "with nobody stalled", others))
        targets.append(
            Target(
                f"{what}: resident memory",
                f"at most {_SLOW_MIB:g} MiB more",
                grown,
                _SLOW_MIB,
                at_most=True,
                shown="{:z.1f} MiB",
            )
        )
    return targets


def _inprocess() -> Sequence[Target]:
    return (
        Target(
            "in-process: deliveries in a second of CPU",
            "at least 1 million",
            per_second("inprocess", "a delivery, queued"),
            1e6,
            at_most=False,
            shown="{:,.0f}",
        ),
        Target(
            "in-process: from trigger to receive",
            "at most 10 µs",
            value("inprocess", "trigger to receive"),
            10.0,
            at_most=True,
            shown="{:.1f} µs",
        ),
        Target(
            "in-process: connect, subscribe, trigger and expect",
            "at most 300 µs",
            value("inprocess", "connect + subscribe + trigger + expect"),
            300.0,
            at_most=True,
            shown="{:.0f} µs",
        ),
        Target(
            "1,000 tests under pytest, just edited",
            "at most 5 s",
            value("inprocess", "1,000 tests under pytest, just edited"),
            5.0,
            at_most=True,
            shown="{:.2f} s",
        ),
    )


TARGETS: Final[Sequence[Target]] = (
    *_fanout(),
    *_paced(),
    *_rest(),
    *_connections(),
    *_growth(),
    *_cluster(),
    *_slow(),
    *_inprocess(),
)


def judge(results: Results) -> list[Verdict]:
    """Every target, judged by these results."""
    return [target.judge(results) for target in TARGETS]
