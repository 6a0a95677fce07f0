"""Plots of each scenario, as PNG and SVG: the same bytes for the same results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.harness.charts import YARDSTICKS, Grid, Row, figure, number, times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RELAY: Final = "#d1490c"
COLOURS: Final = {
    "relay_hub": RELAY,
    "relay_serve": RELAY,
    "relay_node": RELAY,
    "floor_c": "#111111",
    "floor": "#666666",
    "bare_rest": "#666666",
    "socketify_publish": "#332288",
    "picows_send": "#2f8fc4",
    "websockets_broadcast": "#117733",
    "aiohttp_send_str": "#22a392",
    "aiohttp_send_json": "#8a8a22",
    "aiohttp_exchange": "#22a392",
    "starlette_uvicorn": "#aa4499",
    "python_socketio": "#882255",
    "soketi": "#c0962c",
}
"""Dark enough on white, and told apart without red against green: after Paul Tol's muted scheme."""
MARKERS: Final = "osD^vPX*<>ph"
PERCENTILES: Final = {"p50": "o", "p99": "D", "p99.9": "s", "max": "|"}
STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "ytick.labelcolor": "#222222",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "relay",
    "svg.fonttype": "path",
}
_WIDTH: Final = 10.0
_ROW: Final = 0.34
"""Inches for each bar."""
_FIGURE: Final = 0.045
"""Part of the axis that a figure above a mark takes."""


def draw(grids: Sequence[Grid], stem: Path) -> list[Path]:
    """One figure with every panel of a scenario; the files it was written to."""
    with mpl.rc_context(STYLE):
        lines = [grid for grid in grids if grid.panel.kind == "lines"]
        others = [grid for grid in grids if grid.panel.kind != "lines"]
        heights = [4.4] * math.ceil(len(lines) / 2) + [_height(grid) for grid in others]
        layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08)
        whole = Figure(figsize=(_WIDTH, sum(heights)), layout=layout)
        places = whole.add_gridspec(len(heights), 2, height_ratios=heights)
        for at, grid in enumerate(lines):
            _lines(whole.add_subplot(places[at // 2, at % 2]), grid)
        for at, grid in enumerate(others, math.ceil(len(lines) / 2)):
            axes = whole.add_subplot(places[at, :])
            (_ranges if grid.panel.kind == "ranges" else _bars)(axes, grid)
        return save(whole, stem)


def draw_standings(compared: Sequence[tuple[str, float]], stem: Path) -> list[Path]:
    """All comparisons at one glance: how many times what the best other server takes."""
    with mpl.rc_context(STYLE):
        whole = Figure(figsize=(_WIDTH, 1.2 + 0.27 * len(compared)), layout="constrained")
        axes = whole.add_subplot()
        far = max(1.5, *(max(times, 1 / times) for _, times in compared)) ** 1.25 * 1.3
        axes.set_xscale("log")
        axes.set_xlim(1 / far, far)
        for at, (_, times) in enumerate(compared):
            shade = RELAY if times < 1 else "#332288"
            axes.plot([1, times], [at, at], color=shade, linewidth=2.2)
            axes.plot(times, at, "o" if times < 1 else "D", color=shade, markersize=7 if times < 1 else 5.5)
            said, side = (f"{1 / times:.2f}", -9) if times < 1 else (f"{times:.2f}", 9)
            place: Any = {"textcoords": "offset points", "va": "center", "ha": "right" if side < 0 else "left"}
            axes.annotate(said, (times, at), (side, 0), fontsize=9, color=shade, **place)
        axes.axvline(1, color="#444444", linewidth=1)
        axes.set_yticks(range(len(compared)), [what for what, _ in compared], fontsize=9)
        axes.set_ylim(len(compared) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        _decimal(axes.xaxis, [1 / far, far])
        axes.set_title("\u25cf Relay is ahead", color=RELAY)
        axes.set_title("Relay is behind \u25c6", loc="right", color="#332288")
        axes.set_xlabel("times the best other server, less is better for Relay", color="#555555")
        return save(whole, stem)


def _height(grid: Grid) -> float:
    return 1.0 + _ROW * len(grid.rows)


def save(whole: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and as SVG, the same bytes for the same figure."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".svg")
    whole.savefig(png, dpi=120, metadata={"Software": None})
    whole.savefig(svg, metadata={"Date": None})
    svg.write_text("\n".join(line.rstrip() for line in svg.read_text().splitlines()) + "\n")
    return [png, svg]


def colour(row: Row) -> str:
    """The peer's own, the same in every plot."""
    return COLOURS.get(row.peer, "#888888")


def _marker(row: Row) -> str:
    known = list(COLOURS)
    return MARKERS[known.index(row.peer) % len(MARKERS)] if row.peer in COLOURS else "."


def _weight(grid: Grid, row: Row) -> str:
    return "bold" if row.ours and grid.peers > 1 else "normal"


def _names(axes: Axes, grid: Grid, rows: Sequence[Row]) -> None:
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    room = 0.6 if len(rows) > 1 else 0.9
    axes.set_ylim(len(rows) - 1 + room, -room)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight(_weight(grid, row))
        label.set_color(RELAY if row.ours and grid.peers > 1 else "#222222")


def _bars(axes: Axes, grid: Grid) -> None:
    column = grid.columns[0]
    rows = [row for row in grid.rows if column in row.cells]
    longest = max(max(row.cells[column].values) for row in rows) or 1.0
    for at, row in enumerate(rows):
        samples = row.cells[column]
        middle, low, high = samples.median, min(samples.values), max(samples.values)
        filled = row.peer not in YARDSTICKS
        axes.barh(
            at,
            middle,
            height=0.66,
            color=colour(row) if filled else "white",
            edgecolor=colour(row),
            hatch=None if filled else "////",
            alpha=1.0 if row.ours or not filled else 0.75,
        )
        axes.plot([low, high], [at, at], color="#222222", linewidth=1.3, marker="|", markersize=6)
        said = "   ".join(filter(None, (figure(middle), times(grid, row, column))))
        axes.text(
            max(high, middle) + longest * 0.015, at, said, va="center", fontweight=_weight(grid, row), fontsize=9.5
        )
    shortest = min(0.0, *(min(row.cells[column].values) for row in rows))
    axes.set_xlim(shortest * 1.05, longest * 1.28)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    _names(axes, grid, rows)
    _title(axes, grid)


def _title(axes: Axes, grid: Grid) -> None:
    better = "more is better" if grid.panel.more_is_better else "less is better"
    axes.set_title(grid.panel.title)
    axes.set_title(f"{grid.unit}, {better}", loc="right", fontsize=9, fontweight="normal", color="#555555")


def _ranges(axes: Axes, grid: Grid) -> None:
    """From the median to the latest of all: a line for each row with its percentiles on it."""
    rows = grid.rows
    every = [one.median for row in rows for one in row.cells.values()]
    axes.set_xscale("log")
    axes.set_xlim(min(every) / 1.3, max(every) * 1.3)
    for at, row in enumerate(rows):
        found = {name: row.cells[name].median for name in PERCENTILES if name in row.cells}
        axes.plot([*found.values()], [at] * len(found), color=colour(row), linewidth=3 if row.ours else 1.6, alpha=0.6)
        for name, value in found.items():
            size = 13 if name == "max" else 6
            axes.plot(value, at, PERCENTILES[name], color=colour(row), markersize=size, markeredgewidth=1.6)
        _say(axes, at, found, weight=_weight(grid, row))
    _decimal(axes.xaxis, every)
    _names(axes, grid, rows)
    axes.set_ylim(len(rows) - 0.5, -0.75)
    _title(axes, grid)
    shown = "   ".join(f"{mark} {name}" for name, mark in (("p50", "●"), ("p99", "◆"), ("p99.9", "■"), ("max", "|")))
    axes.set_xlabel(shown, color="#555555", fontsize=9)


def _say(axes: Axes, at: int, found: Mapping[str, float], *, weight: str) -> None:
    """Figures above the marks of one row, as many as there is room for: the middle and p99 before the others."""
    low, high = (math.log(limit) for limit in axes.get_xlim())
    taken: list[float] = []
    for name in ("p50", "p99", "max", "p99.9"):
        if name not in found:
            continue
        place = (math.log(found[name]) - low) / (high - low)
        if all(abs(place - other) > _FIGURE for other in taken):
            taken.append(place)
            axes.annotate(
                figure(found[name]),
                (found[name], at),
                (0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color="#333333",
                fontweight=weight,
            )


def _lines(axes: Axes, grid: Grid) -> None:
    """A line for each row, its name at its end."""
    ends: list[tuple[float, float, Row]] = []
    for row in grid.rows:
        columns = [column for column in grid.columns if column in row.cells]
        xs = [number(column) for column in columns]
        ys = [row.cells[column].median for column in columns]
        lows = [y - min(row.cells[column].values) for y, column in zip(ys, columns, strict=True)]
        highs = [max(row.cells[column].values) - y for y, column in zip(ys, columns, strict=True)]
        dash = "--" if row.peer in YARDSTICKS else "-"
        axes.errorbar(
            xs,
            ys,
            [lows, highs],
            color=colour(row),
            linestyle=dash,
            marker=_marker(row),
            markersize=6 if row.ours else 4.5,
            linewidth=2.8 if row.ours else 1.5,
            elinewidth=1.0,
            capsize=2.5,
            zorder=5 if row.ours else 3,
        )
        ends.append((xs[-1], ys[-1], row))
    _scales(axes, grid)
    axes.set_xlabel(grid.panel.axis, color="#555555")
    axes.set_ylabel(grid.unit, color="#555555")
    axes.set_title(grid.panel.title)
    _label_ends(axes, grid, ends)


def _scales(axes: Axes, grid: Grid) -> None:
    xs = [number(column) for column in grid.columns]
    if grid.panel.logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
        _decimal(axes.yaxis, [value for row in grid.rows for one in row.cells.values() for value in one.values])
        axes.set_xlim(min(xs) / 1.25, max(xs) * 1.25)
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(FixedLocator(xs))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _decimal(axis: Any, values: Sequence[float]) -> None:
    """Plain numbers on a logarithmic axis: 1, 2 and 5 of each power where there is room, else the powers alone."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    axis.set_major_locator(FixedLocator([step * 10.0**power for power in range(low, high + 1) for step in steps]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _label_ends(axes: Axes, grid: Grid, ends: Sequence[tuple[float, float, Row]]) -> None:
    """Names right of the last points, pushed apart where they would lie on each other."""
    low, high = axes.get_ylim()

    def part(value: float) -> float:
        """Where on the axis, from 0 to 1."""
        if grid.panel.logarithmic:
            return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return (value - low) / (high - low)

    ordered = sorted(ends, key=lambda end: end[1])
    wanted = [part(value) for _, value, _ in ordered]
    for (last, value, row), place in zip(ordered, spread(wanted, gap=0.058), strict=True):
        axes.annotate(
            f"{row.label}  {figure(value)}",
            (last, value),
            (1.05, place),
            textcoords="axes fraction",
            va="center",
            color=colour(row),
            fontsize=9,
            fontweight=_weight(grid, row),
            arrowprops={
                "arrowstyle": "-",
                "color": colour(row),
                "linewidth": 0.6,
                "linestyle": ":",
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 4,
            },
            annotation_clip=False,
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places from 0 up in rising order, at least ``gap`` apart and as near as can be to what was ``wanted``."""
    groups: list[list[float]] = []
    for place in wanted:
        groups.append([place])
        while len(groups) > 1 and _middle(groups[-1]) - _middle(groups[-2]) < gap * _half(groups[-1], groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    places = [_middle(group) + gap * (at - (len(group) - 1) / 2) for group in groups for at in range(len(group))]
    return [max(place, gap * at) for at, place in enumerate(places)]


def _middle(group: Sequence[float]) -> float:
    return sum(group) / len(group)


def _half(one: Sequence[float], two: Sequence[float]) -> float:
    return (len(one) + len(two)) / 2
