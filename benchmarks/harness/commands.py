"""The commands of ``python -m benchmarks``: measure, report, hold to budgets, list."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import pkgutil
import random
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from rich.console import Console
from rich.progress import Progress

from benchmarks import scenarios
from benchmarks.harness import budgets, charts, load, report, results, tables
from benchmarks.harness.bench import Bench
from benchmarks.harness.processes import ROOT
from benchmarks.harness.report import About
from benchmarks.harness.results import Results

LATEST: Final = results.DIRECTORY / "latest.json"
LOOK: Final = ROOT / "build" / "look.json"
_QUICK_ROUNDS: Final = 5
_DESCRIPTION: Final = """\
Measure Relay beside its peers. Servers, sinks and publishers are processes of their own on cores of their own, and
the peers take turns round by round, so that a machine that slows down slows all of them. Trust the ratios.
"""

console = Console()


def say(line: str) -> None:
    """Print a line as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def available() -> dict[str, ModuleType]:
    """Every scenario there is a file of."""
    names = [module.name for module in pkgutil.iter_modules(scenarios.__path__)]
    return {name: importlib.import_module(f"benchmarks.scenarios.{name}") for name in names}


def about() -> Mapping[str, About]:
    """What each scenario says of itself: its title stands before the colon of its docstring."""
    found, order = available(), list(charts.LAYOUT)
    names = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    return {name: About((found[name].__doc__ or name).partition(":")[0], found[name].QUESTION) for name in names}


def run(arguments: Sequence[str]) -> int:
    """Measure scenarios, and add them to the results."""
    found = available()
    parser = argparse.ArgumentParser(prog="python -m benchmarks run", description=_DESCRIPTION)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"all by default: {', '.join(found)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (%(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks every size, for a look (%(default)s)")
    parser.add_argument("--peers", nargs="*", default=[], metavar="PEER", help="only these")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop", help="(%(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="results to add to (by default the latest, or build/look.json where sizes are shrunk)",
    )
    parser.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    options = parser.parse_args(arguments)
    output = options.output or (LATEST if options.scale == 1 else LOOK)
    if unknown := [name for name in options.scenarios if name not in found]:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(found)}")
    random.seed(options.seed)
    fresh = blank(options.seed, options.loop, options.scale)
    broken = False
    with tempfile.TemporaryDirectory() as directory, Progress(console=console) as progress:
        bench = Bench(fresh, options.rounds, options.scale, options.peers, progress, Path(directory))
        for name in options.scenarios or found:
            if (why := _measured(found[name], bench)) is not None:
                broken = True
                fresh.skipped[name] = f"broke off: {why}"
                console.print(f"{name} broke off: {why}", style="bold red", markup=False)
            keep(fresh, output)
    return 1 if broken else 0


def _measured(scenario: ModuleType, bench: Bench) -> str | None:
    """Run a scenario; why it broke off. One that does is no reason to lose the others."""
    try:
        scenario.run(bench)
    except Exception as error:  # noqa: BLE001 - said in the terminal, and in the exit code
        return f"{type(error).__name__}: {error}"
    return None


def blank(seed: int = 1, loop: str = "uvloop", scale: float = 1.0) -> Results:
    """Results with nothing in them yet."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return Results(results.Machine.this(), seed, load.made_in(), loop, today, scale)


def keep(fresh: Results, path: Path) -> None:
    """Write what is known until now, beside what an earlier run measured."""
    whole = results.load(path) if path.exists() else fresh
    if whole is not fresh:
        whole.replace(fresh)
    results.save(whole, path)


def quick(arguments: Sequence[str]) -> int:
    """Hold Relay to its budgets, in under two minutes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quick", description=quick.__doc__)
    parser.add_argument("--rounds", type=int, default=_QUICK_ROUNDS, help="(%(default)s)")
    options = parser.parse_args(arguments)
    kept = budgets.check(budgets.load(), lambda names: measure_quickly(names, options.rounds), say)
    return 0 if kept else 1


def measure_quickly(names: Iterable[str], rounds: int, scale: float = 1.0) -> Results:
    """What the budgets need."""
    from benchmarks.harness import quick as small  # noqa: PLC0415 - imports scenarios and Relay itself

    fresh = blank(scale=scale)
    with tempfile.TemporaryDirectory() as directory, Progress(console=console, transient=True) as progress:
        bench = Bench(fresh, rounds, scale, (), progress, Path(directory))
        for name in sorted(names):
            small.MEASURES[name](bench)
    return fresh


def show(arguments: Sequence[str]) -> int:
    """Make tables, plots and the page of the documentation out of the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=show.__doc__)
    parser.add_argument("--input", type=Path, default=LATEST, metavar="FILE", help="results")
    parser.add_argument("--output", type=Path, default=report.PAGE, metavar="PAGE", help="plots go beside it")
    options = parser.parse_args(arguments)
    if not options.input.exists():
        console.print(f"{options.input} is not there: measure first, with make bench", style="bold red")
        return 2
    found = results.load(options.input)
    tables.show(found, about(), console)
    report.write(found, about(), options.output)
    console.print(f"written: {options.output}")
    if options.output == report.PAGE and found.of("cluster"):
        from benchmarks import capacity_page  # noqa: PLC0415 - only this needs it

        capacity_page.write_figures(found)
    return 0


def listing(arguments: Sequence[str]) -> int:
    """Say which scenarios there are, and what each asks."""
    argparse.ArgumentParser(prog="python -m benchmarks list", description=listing.__doc__).parse_args(arguments)
    for name, one in about().items():
        say(f"{name:14} {one.question}")
    return 0


COMMANDS: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {
    "run": run,
    "quick": quick,
    "report": show,
    "list": listing,
}


def main(arguments: Sequence[str]) -> int:
    """Run a command, ``run`` where none is named; returns the exit code."""
    if arguments[:1] and arguments[0] in ("-h", "--help"):
        say("python -m benchmarks [COMMAND] [...], where each COMMAND has a --help of its own\n")
        for name, command in COMMANDS.items():
            say(f"  {name:8} {(command.__doc__ or '').splitlines()[0]}")
        say("\nWithout a COMMAND it is run: python -m benchmarks fanout rest --rounds 3")
        return 0
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:])
    return run(arguments)
