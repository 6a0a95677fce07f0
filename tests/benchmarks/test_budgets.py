"""Budgets: kept, broken, measured again."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.harness import budgets, quick
from benchmarks.harness.budgets import Budget
from tests.benchmarks.made import results, samples

FANOUT = Budget("fan-out", "fanout", "one", "relay_hub", "floor", 1.5)
REST = Budget("REST", "rest", "one", "relay_hub", "floor", 2.0)


class Machine:
    """Gives what it was told to, in turn, and keeps what it was asked for."""

    def __init__(self, *runs: dict[str, float]) -> None:
        self.asked: list[list[str]] = []
        self._runs = list(runs)

    def measure(self, names):
        self.asked.append(sorted(names))
        ratios = self._runs.pop(0)
        pairs = [[(name, "relay_hub", ratios[name]), (name, "floor", 1.0)] for name in names if name in ratios]
        return results(*(samples(name, "one", peer, value) for pair in pairs for name, peer, value in pair))


def check(machine: Machine) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return budgets.check([FANOUT, REST], machine.measure, lines.append), lines


def test_budgets_that_are_kept_are_measured_once():
    machine = Machine({"fanout": 1.5, "rest": 1.0})
    assert check(machine) == (True, ["ok      fan-out: allowed 1.5, seen 1.5", "ok      REST: allowed 2, seen 1"])
    assert machine.asked == [["fanout", "rest"]]


def test_a_broken_budget_fails_only_when_it_is_broken_twice():
    machine = Machine({"fanout": 1.6, "rest": 1.0}, {"fanout": 1.4})
    kept, lines = check(machine)
    assert (kept, lines[-1]) == (True, "ok      fan-out: allowed 1.5, seen 1.4")
    assert machine.asked == [["fanout", "rest"], ["fanout"]]


def test_a_budget_that_stays_broken_says_what_is_allowed_and_what_was_seen():
    kept, lines = check(Machine({"fanout": 1.6, "rest": 1.0}, {"fanout": 1.7}))
    assert (kept, lines[-1]) == (False, "BROKEN  fan-out: allowed 1.5, seen 1.7")


def test_a_budget_that_cannot_be_measured_is_not_kept():
    kept, lines = check(Machine({"fanout": 1.0}, {}))
    assert (kept, lines[-1]) == (False, "BROKEN  REST: allowed 2, not measured")


def test_the_reason_for_not_measuring_is_told():
    found = results()
    found.skipped["floor"] = "no compiler"
    assert FANOUT.line(found) == "fan-out: allowed 1.5, not measured: no compiler"


def test_every_budget_of_the_file_names_something_that_is_measured():
    assert {budget.measure for budget in budgets.load()} == set(quick.MEASURES)


def test_a_budget_with_a_misspelt_field_is_refused(tmp_path):
    file = tmp_path / "budgets.toml"
    file.write_text(budgets.FILE.read_text().replace("at_most =", "at_mots =", 1))
    with pytest.raises(msgspec.ValidationError, match="at_mots"):
        budgets.load(file)
