"""Budgets: ratios that must not get worse, from ``benchmarks/budgets.toml``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.harness.results import Results

FILE: Final = Path(__file__).parents[1] / "budgets.toml"

Measure = Callable[[Iterable[str]], Results]
"""Measures what is named, anew."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line: how many times the other side ``peer`` may take."""

    what: str
    measure: str
    case: str
    peer: str
    against: str
    at_most: float
    other_case: str | None = None

    def seen(self, results: Results) -> float | None:
        """The median of the ratios round by round, None where it was not measured."""
        return results.ratio(self.measure, self.case, self.peer, self.against, self.other_case)

    def holds(self, results: Results) -> bool:
        """Whether it is kept; what was not measured is not."""
        seen = self.seen(results)
        return seen is not None and seen <= self.at_most

    def line(self, results: Results) -> str:
        """What is allowed and what was seen, in one line."""
        seen = self.seen(results)
        allowed = f"{self.what}: allowed {self.at_most:g}"
        if seen is not None:
            return f"{allowed}, seen {seen:.3g}"
        reasons = [results.skipped[name] for name in (self.peer, self.against) if name in results.skipped]
        return f"{allowed}, not measured" + (f": {reasons[0]}" if reasons else "")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    budget: list[Budget]


def load(path: Path = FILE) -> list[Budget]:
    """The budgets of a file. Raises ``msgspec.ValidationError`` for one that is wrong."""
    return msgspec.toml.decode(path.read_bytes(), type=_File).budget


def check(budgets: Sequence[Budget], measure: Measure, say: Callable[[str], object]) -> bool:
    """Measure everything, and once more what is broken; says one line for each budget. Whether all are kept.

    Others share the machine, so one bad minute is no proof; two are.
    """
    results = measure({budget.measure for budget in budgets})
    broken = [budget for budget in budgets if not budget.holds(results)]
    for budget in budgets:
        if budget not in broken:
            say(f"ok      {budget.line(results)}")
    if not broken:
        return True
    for budget in broken:
        say(f"again   {budget.line(results)}")
    results = measure({budget.measure for budget in broken})
    for budget in broken:
        say(f"{'ok     ' if budget.holds(results) else 'BROKEN '} {budget.line(results)}")
    return all(budget.holds(results) for budget in broken)
