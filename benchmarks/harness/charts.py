"""How each scenario is laid out, for tables and plots alike: which cases belong together, and what stands where.

A scenario that says nothing here gets one panel for each unit, which is good enough to begin with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.harness.results import Results, Samples

OURS: Final = frozenset({"relay_hub", "relay_serve", "relay_node"})
YARDSTICKS: Final = frozenset({"floor", "floor_c", "bare_rest"})
"""Peers that are no servers: what could be reached at best."""


@dataclass(frozen=True)
class Panel:
    """One plot and one table: the cases that match ``pattern``.

    Its group ``column`` says what a case is called on the axis and above the table, and its group ``row``, where
    there is one, tells apart several rows of one peer. ``lines`` have numbers as columns, ``ranges`` percentiles.
    """

    title: str
    pattern: str
    kind: Literal["bars", "lines", "ranges"] = "bars"
    axis: str = ""
    head: str = "{}"
    """A column's name above the table."""
    unit: str = ""
    """In place of the samples' own."""
    more_is_better: bool = False
    logarithmic: bool = True
    """For lines: both axes."""


_PERCENTILE: Final = r", (?P<column>p50|p99|p99\.9|max)"

LAYOUT: Final[Mapping[str, Sequence[Panel]]] = {
    "fanout": (
        Panel("1,000 subscribers", r"1,000 subscribers, (?P<column>\d+) a tick", "lines", "events a tick", "{} a tick"),
        Panel(
            "one event a tick", r"(?P<column>[\d,]+) subscribers, 1 a tick", "lines", "subscribers", "{} subscribers"
        ),
        Panel("100 subscribers", r"100 subscribers, (?P<column>\d+) a tick", "lines", "events a tick", "{} a tick"),
        Panel(
            "10,000 subscribers", r"10,000 subscribers, (?P<column>\d+) a tick", "lines", "events a tick", "{} a tick"
        ),
    ),
    "paced": (
        Panel("50,000 deliveries a second, published inside", "50,000 a second" + _PERCENTILE, "ranges"),
        Panel("20,000 deliveries a second through REST", "20,000 a second, through REST" + _PERCENTILE, "ranges"),
        Panel("50,000 deliveries a second through REST", "50,000 a second, through REST" + _PERCENTILE, "ranges"),
    ),
    "rest": (
        Panel("one event to one subscriber: CPU", "one event to one subscriber"),
        Panel(
            "one event to one subscriber: requests answered",
            "one event to one subscriber, deliveries",
            unit="requests a second",
            more_is_better=True,
        ),
        Panel("one event to 1,000 subscribers", "one event to 1,000 subscribers, deliveries", more_is_better=True),
        Panel(
            "batches of 10 to 1,000 subscribers", "batches of 10 to 1,000 subscribers, deliveries", more_is_better=True
        ),
    ),
    "connects": (Panel("one client comes", "1,000 clients, 32 at a time"),),
    "idle": (
        Panel("memory of the server", r"[\d,]+ connections"),
        Panel("the same where sockets may ask an authorizer", r"[\d,]+ connections that may ask an authorizer"),
        Panel("memory of the kernel for it", r"[\d,]+ connections, kernel"),
        Panel("keeping it alive", "keeping alive"),
    ),
    "slow": (
        Panel("those who read", "(?P<row>.+ stalled)" + _PERCENTILE, "ranges"),
        Panel("memory of the server, grown", "(?P<row>.+), memory grown"),
        Panel("lost, and counted", "(?P<row>.+), events lost"),
    ),
    "fairness": (Panel("the small channel", "small channel" + _PERCENTILE, "ranges"),),
    "growth": (Panel("one trigger beside other channels", "(?P<row>.+)"),),
    "channels": (Panel("one event to each channel, or as many to one channel", "(?P<row>.+)"),),
    "client_events": (Panel("one client to 1,000 others", "client events, (?P<row>.+)"),),
    "presence": (Panel("one join and leave", "(?P<row>.+)"),),
    "cluster": (
        Panel(
            "20,000 deliveries a second, published on",
            "20,000 a second, published on (?P<row>the same node|another node)" + _PERCENTILE,
            "ranges",
        ),
        Panel("fan-out to 1,000: the busiest worker", "fan-out, (?P<row>.+)"),
        Panel("publishes of one node", "publishes, (?P<row>.+)", more_is_better=True),
        Panel("joins of one node", "joins, (?P<row>.+)", more_is_better=True),
        Panel("CPU of one", "(?P<row>a .+: (?:a node|Redis))"),
        Panel("an event on another node", "on another node, (?P<row>.+)"),
        Panel("memory of Redis for one", "memory, (?P<row>.+)"),
    ),
    "flush": (
        Panel(
            "what it buys",
            r"(?P<column>\d+) ms, CPU",
            "lines",
            "flush interval, ms",
            "{} ms",
            "µs CPU per delivery",
            logarithmic=False,
        ),
        Panel(
            "what it costs",
            r"(?P<column>\d+) ms, (?P<row>p50|p99)",
            "lines",
            "flush interval, ms",
            "{} ms",
            "ms from publish to receive",
            logarithmic=False,
        ),
    ),
    "inprocess": (
        Panel("1,000 tests under pytest, on the wall clock", "1,000 tests under pytest, (?P<row>.+)"),
        Panel("one step of a test", "(?P<row>connect .+|trigger to receive)"),
        Panel("one delivery", "a delivery,? (?P<row>.+)"),
    ),
    "micro": (Panel("one call", "(?P<row>.+)"),),
}
"""In the order of the report."""


@dataclass(frozen=True)
class Row:
    """One row of a panel: a peer, or one thing measured of it."""

    label: str
    peer: str
    cells: Mapping[str, Samples]

    @property
    def ours(self) -> bool:
        """Whether it is Relay."""
        return self.peer in OURS


@dataclass(frozen=True)
class Grid:
    """A panel with what was measured: rows, each with a cell for some of the columns."""

    panel: Panel
    unit: str
    columns: Sequence[str]
    rows: Sequence[Row]

    @property
    def peers(self) -> int:
        """How many there are."""
        return len({row.peer for row in self.rows})

    @property
    def compares(self) -> bool:
        """Whether there is somebody else to compare Relay with, like with like."""
        return self.peers == len(self.rows) > 1

    def best(self, column: str) -> Row | None:
        """The best server of a column."""
        rows = [row for row in self.rows if column in row.cells and row.peer not in YARDSTICKS]
        pick = max if self.panel.more_is_better else min
        return pick(rows, key=lambda row: row.cells[column].median) if len(rows) > 1 else None


def grids(results: Results, scenario: str) -> list[Grid]:
    """The panels of a scenario for which there are samples."""
    samples = [one for one in results.of(scenario) if one.values]
    panels = LAYOUT.get(scenario) or list(_by_unit(samples))
    return [grid for panel in panels if (grid := _grid(results, panel, samples)).rows]


def _by_unit(samples: Sequence[Samples]) -> Iterator[Panel]:
    for unit in dict.fromkeys(one.unit for one in samples):
        cases = list(dict.fromkeys(one.case for one in samples if one.unit == unit))
        pattern = "|".join(map(re.escape, cases))
        title, group = (unit, f"(?P<row>{pattern})") if len(cases) > 1 else (cases[0], pattern)
        yield Panel(title, group, more_is_better=unit.endswith("a second"))


def _grid(results: Results, panel: Panel, samples: Sequence[Samples]) -> Grid:
    pattern = re.compile(panel.pattern)
    found = [(one, match.groupdict()) for one in samples if (match := pattern.fullmatch(one.case))]
    peers = {one.peer for one, _ in found}
    cells: dict[tuple[str, str], dict[str, Samples]] = {}
    for one, named in found:
        label = named.get("row") or ""
        if len(peers) > 1 or not label:
            label = ": ".join(filter(None, (results.titles.get(one.peer, one.peer), label)))
        cells.setdefault((label, one.peer), {})[named.get("column") or ""] = one
    columns = list(dict.fromkeys(named.get("column") or "" for _, named in found))
    if panel.kind == "lines":
        columns.sort(key=number)
    unit = panel.unit or (found[0][0].unit if found else "")
    rows = [Row(label, peer, row) for (label, peer), row in cells.items()]
    if len(peers) == len(rows):
        telling = ["p99"] if "p99" in columns else columns[::-1]
        rows.sort(key=lambda row: next(row.cells[name].median for name in telling if name in row.cells))
    return Grid(panel, unit, columns, rows[::-1] if panel.more_is_better and len(peers) == len(rows) else rows)


def number(column: str) -> float:
    """A column of a plot with lines, as the number it is."""
    return float(column.replace(",", ""))


def figure(value: float) -> str:
    """A number with the three digits that mean something."""
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.0995 else f"{value:.3f}"


def cell(samples: Samples) -> str:
    """Median, and the least and the most of the rounds."""
    low, high = min(samples.values), max(samples.values)
    if len(samples.values) == 1:
        return figure(samples.median)
    dash = " to " if low < 0 else "\u2013"
    return f"{figure(samples.median)} ({figure(low)}{dash}{figure(high)})"


def head(grid: Grid, column: str) -> str:
    """What stands above a column of the table."""
    return grid.panel.head.format(column) if column else "median (least to most)"


def times(grid: Grid, row: Row, column: str) -> str:
    """How a row compares with Relay: how many times as much, empty for Relay itself."""
    ours = next((other for other in grid.rows if other.ours and column in other.cells), None)
    if ours is None or row.ours or column not in row.cells or not grid.compares:
        return ""
    ratio = row.cells[column].ratio(ours.cells[column])
    sensible = ratio is not None and ours.cells[column].median > 0 and row.cells[column].median > 0
    return f"{ratio:.2f} times Relay" if sensible else ""
