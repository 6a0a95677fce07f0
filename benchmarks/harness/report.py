"""The page of the documentation, made of the results: what holds and what does not, and where Relay stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.harness import charts, targets
from benchmarks.harness.charts import YARDSTICKS, Grid, Row, cell, figure
from benchmarks.harness.processes import ROOT
from benchmarks.harness.results import Results
from benchmarks.harness.tried import TRIED

PAGE: Final = ROOT / "docs" / "explanation" / "benchmarks.md"
PLOTS: Final = "benchmarks"
"""Folder of the plots, beside the page."""
STANDING: Final = "standing"
"""The plot of all comparisons."""
LEFT, RIGHT = "---", "---:"
_AHEAD: Final = 1.1
"""Closer than this is no difference that rounds on one machine can show."""

HEAD: Final = """\
% Made by `make bench` out of what it measured: change the harness, not this page.

# Benchmarks

What Relay costs beside other servers, on one machine, in one run, with one command:

```sh
make bench
```
"""

READING: Final = """\
## How to read it

- **Ratios, not figures.** Another machine has other figures, and this one has others tomorrow. Within a run the peers
  take turns round by round, so a machine that slows down slows all of them. A ratio is the median of the ratios of
  the rounds.
- **A cell is a median, with the least and the most of the rounds behind it.** The whiskers in the plots are the same.
  The best server of a column is bold.
- **CPU is that of the server process alone**, user and kernel together. It runs on one core; subscribers and
  publishers are other processes on another core.
- **Yardsticks are no servers.** `transport.write` writes a finished frame to each socket and does nothing else, once
  from Python and once from C; the bare handler checks a signature and does nothing else. They show what is left to
  gain.
- **Each peer at its best settings.** How each is set up is one small file in `benchmarks/peers/`.
"""


ADDING: Final = """\
## Add to it

A server is one file in `benchmarks/peers/`: a `Peer` that listens and publishes, with the packages it needs in its
`# requires:` line; the harness installs them into an environment of their own. `picows_send.py` is one to begin from.
Scenarios name the servers they measure.

A scenario is one file in `benchmarks/scenarios/` with a `QUESTION` and a `run(bench)`, and is found by being there. It
gets a plot and a table for each unit, unless `benchmarks/harness/charts.py` says how to lay it out; what it should
reach is a line in `benchmarks/harness/targets.py`, and what must not get worse one in `benchmarks/budgets.toml`, which
`make bench-quick` checks.
"""


class About(NamedTuple):
    """What a scenario says of itself."""

    title: str
    question: str


class Standing(NamedTuple):
    """Where Relay stands in one comparison: how many times the best other server it takes; below 1 is ahead."""

    what: str
    ours: str
    best: str
    times: float

    @property
    def word(self) -> str:
        """For a table."""
        if self.times <= 1 / _AHEAD:
            return f"ahead, {1 / self.times:.2f} times"
        return "level" if self.times < _AHEAD else f"**behind, {self.times:.2f} times**"


def page(results: Results, about: Mapping[str, About]) -> str:
    """The whole page; ``about`` has the question of each scenario."""
    parts = [HEAD, *_warning(results), _standings(results, about), _targets(results), READING, _circumstances(results)]
    parts += [_scenario(results, name, one) for name, one in about.items() if results.of(name)]
    parts.append(ADDING)
    return "\n".join(parts)


def standings(results: Results, about: Mapping[str, About]) -> list[Standing]:
    """Relay against the best of the others, wherever there are others."""
    found: dict[int, Standing] = {}
    for scenario, (title, _) in about.items():
        for grid in charts.grids(results, scenario):
            for column in _telling(grid):
                rows = [row for row in grid.rows if column in row.cells and row.peer not in YARDSTICKS]
                ours, others = [row for row in rows if row.ours], [row for row in rows if not row.ours]
                if ours and others and all(row.cells[column].median > 0 for row in rows):
                    # a case that is in two panels counts once
                    found.setdefault(id(ours[0].cells[column]), _standing(grid, title, column, ours[0], others))
    return list(found.values())


def _telling(grid: Grid) -> Sequence[str]:
    """The columns to compare: the middle and the tail of percentiles, else all."""
    return [name for name in grid.columns if name in ("p50", "p99")] if grid.panel.kind == "ranges" else grid.columns


def _standing(grid: Grid, title: str, column: str, ours: Row, others: Sequence[Row]) -> Standing:
    more = grid.panel.more_is_better
    best = (max if more else min)(others, key=lambda row: row.cells[column].median)
    mine, theirs = ours.cells[column], best.cells[column]
    what = ", ".join(filter(None, (f"{title}: {grid.panel.title}", column and charts.head(grid, column))))
    times = (theirs.ratio(mine) if more else mine.ratio(theirs)) or 1.0
    return Standing(what, f"{figure(mine.median)} {grid.unit}", f"{figure(theirs.median)}, {best.label}", times)


def _warning(results: Results) -> Iterator[str]:
    if results.scale < 1:
        yield (
            f":::{{warning}}\nMeasured at {results.scale:g} of the sizes that are named here: a look, nothing to"
            " quote.\n:::\n"
        )


def _standings(results: Results, about: Mapping[str, About]) -> str:
    rows = standings(results, about)
    if not rows:
        return ""
    lines = [[one.what, one.ours, one.best, one.word] for one in rows]
    ahead = sum(one.times <= 1 / _AHEAD for one in rows)
    behind = sum(one.times >= _AHEAD for one in rows)
    text = (
        f"Against the best other server, Relay is ahead in {ahead} of {len(rows)} comparisons, level in"
        f" {len(rows) - ahead - behind} and behind in {behind}.\n"
    )
    plot = f"![Relay against the best other server, as many times as it takes]({PLOTS}/{STANDING}.svg)\n"
    lines_of_all = table(["what", "Relay", "best other", "Relay is"], lines, rule=LEFT)
    return f"## Where Relay stands\n\n{text}\n{plot}\n{lines_of_all}"


def _targets(results: Results) -> str:
    words = {True: "holds", False: "**does not hold**", None: "not measured"}
    verdicts = targets.judge(results)
    lines = [
        [one.target.what, one.target.wanted, one.seen if one.holds is not None else "", words[one.holds]]
        for one in verdicts
    ]
    missed = [one.target.what for one in verdicts if one.holds is False]
    tried = [f"- **{what}.** {text}" for what in missed for name, text in TRIED.items() if what.startswith(name)]
    told = "\nWhat was tried where a target does not hold:\n\n" + "\n".join(tried) + "\n" if tried else ""
    return f"## Targets\n\n{table(['what', 'wanted', 'seen', ''], lines, rule=LEFT)}{told}"


def _circumstances(results: Results) -> str:
    machine = results.machine
    versions = [[title, _versions(results, name)] for name, title in sorted(results.titles.items())]
    lines = [
        "## Where it was measured\n",
        f"- {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.system}",
        f"- Python {machine.python}, {results.loop}; subscribers and publishers in {results.sinks}",
        f"- seed {results.seed}" + (f", {results.date}" if results.date else ""),
        f"- {_busy(results)}",
        "",
        table(["peer", "versions"], versions, rule=LEFT),
    ]
    if results.skipped:
        lines += ["Left out:\n", *(f"- `{name}`: {why}" for name, why in sorted(results.skipped.items())), ""]
    return "\n".join(lines)


def _versions(results: Results, name: str) -> str:
    return ", ".join(f"{package} {version}" for package, version in results.versions.get(name, {}).items())


def _busy(results: Results) -> str:
    """How busy the sinks were: what is measured is the server only while they are not."""
    worst = [(max(one.sinks_busy), one) for one in results.samples if one.sinks_busy]
    if not worst:
        return "how busy the sinks were was not noted"
    every = sorted(share for one in results.samples for share in one.sinks_busy)
    most, where = max(worst, key=lambda pair: pair[0])
    peer = results.titles.get(where.peer, where.peer)
    return (
        f"the sinks used {every[len(every) // 2]:.0%} of their core in the median round, and at most {most:.0%}"
        f" ({where.scenario.replace('_', ' ')}: {where.case}, {peer})"
    )


def _scenario(results: Results, name: str, about: About) -> str:
    parts = [
        f"## {about.title}\n",
        f"{about.question}\n",
        f"![{about.title}: {about.question}]({PLOTS}/{name}.svg)\n",
        *(_panel(grid) for grid in charts.grids(results, name)),
        f"Measure it again with `make bench ARGS={name}`; the plot [as PNG]({PLOTS}/{name}.png).\n",
    ]
    return "\n".join(parts)


def _panel(grid: Grid) -> str:
    head, lines = rows_of(grid, bold="**{}**")
    return f"**{grid.panel.title}**, {grid.unit}\n\n{table(head, lines)}"


def rows_of(grid: Grid, *, bold: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of a panel; ``bold`` is how the best of a column is written."""
    best = {column: grid.best(column) for column in grid.columns} if grid.compares else {}
    compared = len(grid.columns) == 1 and grid.compares
    head = ["", *(charts.head(grid, column) for column in grid.columns)]
    lines = []
    for row in grid.rows:
        line = [bold.format(row.label) if row.ours and grid.compares else row.label]
        for column in grid.columns:
            text = cell(row.cells[column]) if column in row.cells else ""
            line.append(bold.format(text) if best.get(column) is row else text)
        if compared:
            line.append(charts.times(grid, row, grid.columns[0]))
        lines.append(line)
    return ([*head, "compared"] if compared else head), lines


def table(head: Sequence[str], lines: Sequence[Sequence[str]], *, rule: str = RIGHT) -> str:
    """Markdown; after the first column, ``rule`` says on which side text stands."""
    rows = [head, [LEFT, *(rule for _ in head[1:])], *lines]
    return "\n".join(f"| {' | '.join(part.replace('|', chr(92) + '|') for part in row)} |" for row in rows) + "\n"


def write(results: Results, about: Mapping[str, About], to: Path = PAGE) -> None:
    """Write the page and its plots; plots of scenarios that are gone go too."""
    from benchmarks.harness import plots  # noqa: PLC0415 - matplotlib is slow to import, and only this needs it

    folder = to.parent / PLOTS
    known = {name for name in about if results.of(name)}
    drawn = [file for name in known for file in plots.draw(charts.grids(results, name), folder / name)]
    if compared := standings(results, about):
        drawn += plots.draw_standings([(one.what, one.times) for one in compared], folder / STANDING)
    for file in set(folder.glob("*")) - set(drawn):
        file.unlink()
    to.write_text(page(results, {name: about[name] for name in about if name in known}))
