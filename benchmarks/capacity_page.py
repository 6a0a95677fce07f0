"""The tables and the plot of ``docs/explanation/growth.md``, and the figures in the guide to several nodes.

The text around them is written by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.capacity import FAR, GROWTH, Load, Use, back, choices, units, use
from benchmarks.harness import results
from benchmarks.harness.processes import ROOT
from benchmarks.harness.report import table
from benchmarks.harness.results import Results

PAGE: Final = ROOT / "docs" / "explanation" / "growth.md"
GUIDE: Final = ROOT / "docs" / "how-to" / "more-than-one-node.md"
PLOT: Final = PAGE.parent / "growth" / "growth"
SHARDS: Final = 16
BUSY: Final = 0.7
"""Beyond this a core has nothing left for the unevenness of real load."""
_BEGIN, _END = "<!-- made: {} -->\n", "<!-- made by benchmarks/capacity.py -->"
Cost = Mapping[str, float]


def growth(load: Load, cost: Cost) -> str:
    """One row for each size."""
    head = [
        "connections",
        "nodes",
        "core of a node",
        "memory of a node",
        "core of one Redis",
        f"core of one of {SHARDS}",
    ]
    lines = []
    for setup in GROWTH:
        one, many = use(setup, load, cost), use(replace(setup, shards=SHARDS), load, cost)
        lines.append(
            [
                f"{setup.connections:,}",
                f"{setup.nodes}",
                _part(one.node_cpu),
                _size(one.node_memory),
                _part(one.redis_cpu) if setup.nodes > 1 else "",
                _part(many.redis_cpu) if setup.nodes > 1 else "",
            ]
        )
    return table([*head], lines)


def settings(load: Load, cost: Cost) -> str:
    """What each choice makes of the largest size."""
    head = ["", "core of a node", "core of a Redis", "memory of a Redis", "out of a Redis"]
    lines = [[name, *_row(used)] for name, used in choices(load, cost).items()]
    return table(head, lines)


def returning(load: Load, cost: Cost) -> str:
    """How long it takes until those who were sent away at once are back."""
    lines = []
    for what, part in (
        ("one node of 100 ends", 0.01),
        ("a tenth of all nodes ends", 0.1),
        ("everybody is cut off", 1.0),
    ):
        for shards in (1, SHARDS):
            seconds = back(replace(FAR, shards=shards), load, cost, part)
            servers = "one Redis" if shards == 1 else f"{shards} of them"
            lines.append([f"{what}, {servers}", _seconds(seconds["nodes"]), _seconds(seconds["Redis"])])
    return table(["", "by the nodes", "by Redis"], lines)


def costs(cost: Cost) -> str:
    """The unit costs that all of it is made of."""
    named = ((f"`{name}`", value) for name, value in cost.items())
    lines = [[name, f"{value:,.4g}", "bytes" if "bytes" in name else "µs of CPU"] for name, value in named]
    return table(["unit", "cost", ""], lines)


def _row(used: Use) -> Sequence[str]:
    network = f"{used.redis_network / 1e6:,.0f} MB a second"
    return _part(used.node_cpu), _part(used.redis_cpu), _size(used.redis_memory), network


def _part(value: float) -> str:
    text = f"{value:.0%}"
    return f"**{text}**" if value > BUSY else text


def _size(value: float) -> str:
    return f"{value / 2**20:,.0f} MiB" if value < 2**30 else f"{value / 2**30:.1f} GiB"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def figures(measured: Results) -> str:
    """What the benchmark's scenario of two nodes measured: the middle of the rounds, the lowest and the highest."""
    lines = []
    for one in measured.of("cluster"):
        if one.values and one.unit != "bytes" and not one.case.endswith(("p50", "p99.9", "max")):
            seen = (one.median, min(one.values), max(one.values))
            lines.append([one.case, one.unit, *(f"{value:,.0f}" if value > 100 else f"{value:.3g}" for value in seen)])
    return table(["", "", "median", "lowest", "highest"], lines)


def parts(cost: Cost) -> dict[str, str]:
    """The tables of the page about growth."""
    load = Load()
    return {
        "growth": growth(load, cost),
        "settings": settings(load, cost),
        "returning": returning(load, cost),
        "costs": costs(cost),
    }


def filled(page: str, made: Mapping[str, str]) -> str:
    """``page`` with what was made in its places."""
    for name, text in made.items():
        before, found, rest = page.partition(_BEGIN.format(name))
        _, ended, after = rest.partition(_END)
        if not found or not ended:
            raise ValueError(f"the page has no place for {name!r}")
        page = f"{before}{found}\n{text}\n{ended}{after}"
    return page


def write_figures(measured: Results, guide: Path = GUIDE) -> None:
    """Have the guide say what was measured."""
    guide.write_text(filled(guide.read_text(), {"figures": figures(measured)}))


def draw(cost: Cost, stem: Path = PLOT) -> list[Path]:
    """The plot as SVG and PNG: the same bytes for the same costs."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only this needs it
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415 - as above

    from benchmarks.harness.plots import RELAY, STYLE  # noqa: PLC0415 - as above

    load, several = Load(), [setup for setup in GROWTH if setup.nodes > 1]
    one = [use(setup, load, cost) for setup in several]
    many = [use(replace(setup, shards=SHARDS), load, cost) for setup in several]
    lines = (
        ("a node (100,000 connections each)", [used.node_cpu for used in one], RELAY, "o"),
        ("one Redis for all", [used.redis_cpu for used in one], "#332288", "D"),
        (f"one of {SHARDS} Redis servers", [used.redis_cpu for used in many], "#2f8fc4", "s"),
    )
    stem.parent.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        whole = Figure(figsize=(8.5, 4.4), layout="constrained")
        axes = whole.add_subplot()
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.axhline(BUSY, color="#999999", linestyle="--", linewidth=1)
        for label, values, colour, marker in lines:
            axes.plot([setup.connections for setup in several], values, color=colour, marker=marker, label=label)
        axes.set_title("How busy one core is")
        axes.set_xlabel("connections")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.legend(frameon=False)
        files = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
        for file in files:
            nothing = {"Date": None} if file.suffix == ".svg" else {"Software": None}
            whole.savefig(file, metadata=nothing, dpi=110)
    return files


def main() -> None:
    """Write page and plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--results", type=Path, help="unit costs from a run of the benchmark, where it measured them")
    options = parser.parse_args()
    cost = units(results.load(options.results) if options.results else None)
    PAGE.write_text(filled(PAGE.read_text(), parts(cost)))
    draw(cost)
