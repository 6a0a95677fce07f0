"""The page and the plots: what a reader is told."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.harness import charts, report, tables
from benchmarks.harness.commands import about
from benchmarks.harness.plots import spread
from benchmarks.harness.report import About
from benchmarks.harness.targets import TARGETS
from benchmarks.harness.tried import TRIED
from tests.benchmarks.made import results, samples

ONE, FORTY = "1,000 subscribers, 1 a tick", "1,000 subscribers, 40 a tick"
ABOUT = {
    "fanout": About("Fan-out", "What does it cost?"),
    "paced": About("Paced latency", "How late is it?"),
    "novel": About("Novel", "What is new?"),
}


def run(scale: float = 1.0):
    latency = [
        samples("paced", f"50,000 a second, {name}", peer, 1, 2, unit="ms")
        for name in ("p50", "p99", "max")
        for peer in ("relay_hub", "other")
    ]
    return results(
        samples("fanout", ONE, "floor", 5, 6, 7),
        samples("fanout", ONE, "other", 9, 10, 11),
        samples("fanout", ONE, "relay_hub", 4, 5, 6),
        samples("fanout", FORTY, "other", 0.25, 0.5, 0.75),
        samples("fanout", FORTY, "relay_hub", 0.5, 1, 1.5),
        samples("novel", "a case", "relay_hub", 1_234.5, unit="things a second"),
        *latency,
        scale=scale,
    )


def test_the_page_says_where_relay_is_ahead_and_where_it_is_behind():
    page = report.page(run(), ABOUT)
    assert "Relay is ahead in 1 of 4 comparisons, level in 2 and behind in 1." in page
    assert "| Fan-out: 1,000 subscribers, 1 a tick | 5.00 µs CPU per delivery | 10.0, another server |" in page
    assert "| **behind, 2.00 times** |" in page


def test_the_page_has_targets_machine_question_plot_and_command():
    page = report.page(run(), ABOUT)
    assert page.startswith("% Made by `make bench`")
    assert "0.83 times | holds |" in page
    assert "A processor, 2 cores, 4 GiB" in page
    assert "the sinks used 25% of their core" in page
    assert "What is new?\n\n![Novel: What is new?](benchmarks/novel.svg)" in page
    assert "`make bench ARGS=novel`" in page


def test_the_page_names_who_was_left_out_and_why():
    found = run()
    found.skipped["soketi"] = "npm is missing"
    assert "- `soketi`: npm is missing" in report.page(found, ABOUT)


@pytest.mark.parametrize(("scale", "warned"), [(1.0, False), (0.1, True)])
def test_a_look_is_called_one(scale, warned):
    assert ("nothing to quote" in report.page(run(scale), ABOUT)) is warned


def test_a_cell_is_the_median_between_the_least_and_the_most():
    page = report.page(run(), ABOUT)
    assert "| the floor | 6.00 (5.00\u20137.00) |" in page
    assert "| **Relay** | **5.00 (4.00\u20136.00)** | 1.00 (0.50\u20131.50) |" in page


def test_a_scenario_without_a_layout_has_a_panel_for_each_unit():
    [grid] = charts.grids(run(), "novel")
    assert (grid.unit, grid.panel.more_is_better, [row.label for row in grid.rows]) == (
        "things a second",
        True,
        ["Relay"],
    )


def test_every_scenario_with_a_layout_is_there():
    assert set(charts.LAYOUT) <= set(about())


def test_plots_are_the_same_bytes_for_the_same_results(tmp_path):
    for name in "one", "two":
        report.write(run(), ABOUT, tmp_path / name / "page.md")
    files = sorted(path.relative_to(tmp_path / "one") for path in tmp_path.glob("one/**/*.*"))
    assert {path.name for path in files} == {
        "page.md",
        *(f"{name}.{kind}" for name in (*ABOUT, "standing") for kind in ("png", "svg")),
    }
    assert [
        path for path in files if (tmp_path / "one" / path).read_bytes() != (tmp_path / "two" / path).read_bytes()
    ] == []


def test_plots_of_scenarios_that_are_gone_are_removed(tmp_path):
    old = tmp_path / "benchmarks" / "old.svg"
    old.parent.mkdir()
    old.touch()
    report.write(results(), ABOUT, tmp_path / "page.md")
    assert not old.exists()


def test_the_terminal_shows_the_same():
    file = io.StringIO()
    tables.show(run(), ABOUT, Console(file=file, width=200))
    shown = file.getvalue()
    assert "5.00 (4.00\u20136.00)" in shown
    assert "behind, 2.00 times" in shown


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([0.2, 0.5], [0.2, 0.5]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.55, 0.9], [0.475, 0.575, 0.9]),
        ([0.0, 0.0, 0.05], [0.0, 0.1, 0.2]),
    ],
)
def test_labels_are_pushed_apart_as_little_as_can_be(wanted, places):
    assert spread(wanted, gap=0.1) == pytest.approx(places)


def test_what_was_tried_belongs_to_a_target():
    names = [target.what for target in TARGETS]
    assert all(any(name.startswith(tried) for name in names) for tried in TRIED)
