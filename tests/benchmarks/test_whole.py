"""The harness from end to end, tiny: that it works, not how fast."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

import relay.cli
from benchmarks.harness import bench, commands, environment, results
from benchmarks.harness.commands import main


@pytest.fixture
def here(monkeypatch):
    """Peers run in the environment of the tests, which has all that these need; nothing is installed."""
    monkeypatch.setattr(environment, "_install", lambda *_, **__: None)
    monkeypatch.setattr(environment, "_PYTHON", Path(sys.executable))
    monkeypatch.setattr(bench, "_find", cache(environment.find))


def test_fanout_is_measured_kept_and_reported(here, tmp_path):
    file, page = tmp_path / "results.json", tmp_path / "page.md"
    arguments = ["fanout", "--rounds", "1", "--scale", "0.002", "--output", str(file), "--peers", "floor", "relay_hub"]
    assert main(arguments) == 0
    found = results.load(file)
    assert len(found.samples) == 3 * 4 * 2
    assert all(value > 0 for one in found.samples for value in one.values)
    assert main(["report", "--input", str(file), "--output", str(page)]) == 0
    assert "## Fan-out" in page.read_text()


def test_a_scenario_that_breaks_off_is_told_and_the_others_are_measured(monkeypatch, tmp_path, capsys):
    class Broken:
        """A scenario."""

        @staticmethod
        def run(_) -> None:
            raise TimeoutError("nothing came")

    class Fine:
        """A scenario."""

        @staticmethod
        def run(bench) -> None:
            bench.record("fine", "a case", "relay_hub", "things", 1.0)

    monkeypatch.setattr(commands, "available", lambda: {"broken": Broken, "fine": Fine})
    assert main(["--output", str(tmp_path / "results.json")]) == 1
    found = results.load(tmp_path / "results.json")
    assert [one.scenario for one in found.samples] == ["fine"]
    assert found.skipped == {"broken": "broke off: TimeoutError: nothing came"}
    assert "broken broke off: TimeoutError: nothing came" in capsys.readouterr().out


def test_an_unknown_scenario_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fan-out"])
    assert "no scenario fan-out; there are" in capsys.readouterr().err


def test_a_report_of_nothing_says_what_to_do(tmp_path, capsys):
    assert main(["report", "--input", str(tmp_path / "none.json")]) == 2
    assert "make bench" in capsys.readouterr().out


def test_relay_bench_is_the_same_command(capsys):
    assert relay.cli.main(["bench", "list"]) == 0
    assert capsys.readouterr().out.startswith("fanout ")


def test_relay_bench_without_a_checkout_says_where_it_is(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "benchmarks", None)
    assert relay.cli.main(["bench"]) == 2
    assert capsys.readouterr().err == (
        "relay: the benchmarks are not in the package: clone Relay's repository and run 'make bench' there\n"
    )
