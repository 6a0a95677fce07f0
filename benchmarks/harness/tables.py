"""What was measured, as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from benchmarks.harness import charts, report, targets
from benchmarks.harness.report import About
from benchmarks.harness.results import Results

_COLOURS = {True: "green", False: "bold red", None: "dim"}


def show(results: Results, about: Mapping[str, About], console: Console) -> None:
    """Every scenario, then who was left out, the targets and where Relay stands."""
    for name, (title, question) in about.items():
        if results.of(name):
            console.rule(f"{title}: {question}", align="left")
            for grid in charts.grids(results, name):
                console.print(_panel(grid))
    for name, why in results.skipped.items():
        console.print(f"left out: {name}, {why}", style="yellow", markup=False)
    console.print(_targets(results))
    console.print(_standings(results, about))


def _panel(grid: charts.Grid) -> Table:
    head, lines = report.rows_of(grid, bold="[bold]{}[/bold]")
    table = _table(f"{grid.panel.title} ({grid.unit})", head)
    for row, line in zip(grid.rows, lines, strict=True):
        table.add_row(*line, style="bright_yellow" if row.ours and grid.compares else None)
    return table


def _table(title: str, head: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for at, column in enumerate(head):
        table.add_column(column, justify="right" if at else "left")
    return table


def _targets(results: Results) -> Table:
    table = _table("targets", ["what", "wanted", "seen", ""])
    for verdict in targets.judge(results):
        seen = "" if verdict.holds is None else verdict.seen
        what = verdict.target.what.replace("`", "")
        wanted = verdict.target.wanted.replace("`", "")
        table.add_row(what, wanted, seen, verdict.word, style=_COLOURS[verdict.holds])
    return table


def _standings(results: Results, about: Mapping[str, About]) -> Table:
    table = _table("where Relay stands", ["what", "Relay", "best other", "Relay is"])
    for one in report.standings(results, about):
        style = "bold red" if one.word.startswith("**") else None
        table.add_row(one.what, one.ours, one.best, one.word.strip("*"), style=style)
    return table
