"""Results made by hand."""

from __future__ import annotations

from benchmarks.harness.results import Machine, Results, Samples

MACHINE = Machine("A processor", 2, 4.0, "Linux 6", "3.12.1")
TITLES = {"relay_hub": "Relay", "floor": "the floor", "other": "another server"}


def samples(scenario: str, case: str, peer: str, *values: float, unit: str = "µs CPU per delivery") -> Samples:
    """One case of one peer."""
    return Samples(scenario, case, peer, unit, values=list(values), sinks_busy=[0.25] * len(values))


def results(*found: Samples, scale: float = 1.0) -> Results:
    """A run that found that."""
    titles = {one.peer: TITLES.get(one.peer, one.peer) for one in found}
    return Results(MACHINE, 1, "C", "uvloop", "2026-01-01", scale, titles=titles, samples=list(found))
