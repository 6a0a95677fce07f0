"""In-process: what a test costs, under pytest and alone, and fan-out to clients in the same process.

``python -m benchmarks.inprocess`` runs it. CPU is what the machine had to do; on a shared machine the wall clock also
counts what others did, and the load printed at the end says how much that was.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from relay import App, Hub
from relay.testing import Kit
from relay_transports.inprocess import connect

DATA = {"message": "pay success!"}
EVENT = {"n": 1, "pad": "x" * 70}
APP = App(id="1", key="key", secret="secret")
HEAD = """
import pytest

@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"
"""
FULL_TEST = """
async def test_{number}(relay):
    payer, clerk = await relay.connect(), await relay.connect()
    await payer.subscribe("pay_channel")
    orders = await clerk.subscribe("pay_channel")
    await relay.hub.trigger("pay_channel", "pay_notify", {{"message": "pay success!"}}, socket_id=payer.socket_id)
    assert (await orders.expect("pay_notify")).data == {{"message": "pay success!"}}
    await payer.expect_nothing()
"""
EMPTY_TEST = """
async def test_{number}():
    pass
"""


class Spent(NamedTuple):
    """Seconds, for a ``number`` of something."""

    wall: float
    cpu: float
    number: int


@contextmanager
def _stopwatch(number: int, spent: list[Spent]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    spent.append(Spent(time.perf_counter() - wall, time.process_time() - cpu, number))


class ManyTests:
    """A folder with one file of ``number`` tests, and pytest run in it.

    Python keeps the bytecode of what it imports, as it does unless told otherwise.
    """

    def __init__(self, stack: ExitStack, test: str, number: int) -> None:
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._number = number
        self._file = self._folder / "test_many.py"
        self._text = HEAD + "".join(test.format(number=n) for n in range(number))
        self._folder.joinpath("pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
        self._env = os.environ | {"PYTHONPYCACHEPREFIX": str(self._folder / "pycache")}
        self._env.pop("PYTHONDONTWRITEBYTECODE", None)
        self.edit()
        self.run()

    def edit(self) -> None:
        """Write the tests anew."""
        self._text += "\n"
        self._file.write_text(self._text)

    def run(self) -> Spent:
        """The whole command, start of Python and collection included."""
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        run = subprocess.run(command, cwd=self._folder, env=self._env, capture_output=True, text=True, check=False)
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if f"{self._number} passed" not in run.stdout:
            raise RuntimeError(run.stdout + run.stderr)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Spent(wall, cpu, self._number)


async def one_test() -> None:
    """The same test without pytest: a kit of its own, two clients."""
    kit = Kit()
    payer, clerk = await kit.connect(), await kit.connect()
    await payer.subscribe("pay_channel")
    orders = await clerk.subscribe("pay_channel")
    await kit.hub.trigger("pay_channel", "pay_notify", DATA, socket_id=payer.socket_id)
    assert (await orders.expect("pay_notify")).data == DATA
    await payer.expect_nothing()
    kit.close()


async def tests_alone(number: int, spent: list[Spent]) -> None:
    """``one_test`` over and over."""
    with _stopwatch(number, spent):
        for _ in range(number):
            await one_test()


async def steps(number: int, spent: list[Spent]) -> None:
    """Connect, subscribe, trigger, expect: on one hub, each time with a new client; its leaving is not counted."""
    kit = Kit()
    wall = cpu = 0.0
    for _ in range(number):
        once: list[Spent] = []
        with _stopwatch(1, once):
            client = await kit.connect()
            orders = await client.subscribe("orders")
            await kit.hub.trigger("orders", "paid", DATA)
            await orders.expect("paid")
        wall, cpu = wall + once[0].wall, cpu + once[0].cpu
        await client.close()
    spent.append(Spent(wall, cpu, number))
    kit.close()


async def fan_out(subscribers: int, events: int, queued: list[Spent], read: list[Spent]) -> None:
    """``events`` to ``subscribers``: until all are queued for their readers, and until all are read."""
    async with Hub(APP) as hub:
        channels = [await (await connect(hub)).subscribe("bench") for _ in range(subscribers)]
        with _stopwatch(subscribers * events, queued):
            await publish(hub, subscribers, events)
        with _stopwatch(subscribers * events, read):
            for channel in channels:
                for _ in range(events):
                    await anext(channel)


async def fan_out_in_a_kit(subscribers: int, events: int, queued: list[Spent]) -> None:
    """The same with a kit's clients, whose frames all go into the transcript."""
    kit = Kit()
    for _ in range(subscribers):
        await (await kit.connect()).subscribe("bench")
    with _stopwatch(subscribers * events, queued):
        await publish(kit.hub, subscribers, events)
    kit.close()


async def publish(hub: Hub, subscribers: int, events: int) -> None:
    """``events``, each queued for all ``subscribers`` when this returns."""
    for _ in range(events):
        receipt = await hub.trigger("bench", "tick", EVENT)
        assert receipt.delivered == subscribers


class Row(NamedTuple):
    """One line of the table: what was done, what it should cost, what it cost, and how to say that."""

    what: str
    wanted: str
    spent: list[Spent]
    say: Callable[[float, int], str]


def _seconds(seconds: float, _number: int) -> str:
    return f"{seconds:.2f} s"


def _micros(seconds: float, number: int) -> str:
    return f"{seconds * 1e6 / number:,.0f} µs"


def _rate(seconds: float, number: int) -> str:
    return f"{number / seconds:,.0f}/s"


def measure(options: argparse.Namespace, console: Console) -> list[Row]:
    """Run everything, round by round, so that a machine that slows down slows all of it."""
    tests, subscribers = options.tests, options.subscribers
    rows = [
        Row(f"{tests:,} tests under pytest, just edited", "under 5 s", [], _seconds),
        Row("the same again", "under 5 s", [], _seconds),
        Row(f"{tests:,} empty async tests: pytest's own part", "", [], _seconds),
        Row(f"{tests:,} tests without pytest", "", [], _seconds),
        Row("connect + subscribe + trigger + expect", "under 300 µs", [], _micros),
        Row(f"fan-out to {subscribers:,}, queued for each reader", "over 1,000,000/s", [], _rate),
        Row("the same in a test, with transcript", "", [], _rate),
        Row("each reader takes and decodes its events", "", [], _rate),
    ]
    edited, again, empty, alone, stepwise, queued, recorded, read = (row.spent for row in rows)
    with ExitStack() as stack:
        full_tests, empty_tests = ManyTests(stack, FULL_TEST, tests), ManyTests(stack, EMPTY_TEST, tests)
        progress = stack.enter_context(Progress(console=console))
        for _ in progress.track(range(options.rounds), description="in-process"):
            full_tests.edit()
            edited.append(full_tests.run())
            again.append(full_tests.run())
            empty.append(empty_tests.run())
            asyncio.run(tests_alone(tests, alone))
            asyncio.run(steps(tests, stepwise))
            asyncio.run(fan_out(subscribers, 50, queued, read))
            asyncio.run(fan_out_in_a_kit(subscribers, 50, recorded))
    return rows


def show(rows: list[Row], console: Console) -> None:
    """The table, and where it was made."""
    table = Table(title="In-process, medians and (best) of all rounds")
    for column in ("what", "wanted", "CPU", "wall clock"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        cells = []
        for figures in ([spent.cpu for spent in row.spent], [spent.wall for spent in row.spent]):
            number = row.spent[0].number
            cells.append(f"{row.say(statistics.median(figures), number)} ({row.say(min(figures), number)})")
        table.add_row(row.what, row.wanted, *cells)
    console.print(table)
    versions = ", ".join(f"{name} {version(name)}" for name in ("anyio", "msgspec", "pytest"))
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    console.print(f"Python {platform.python_version()}, asyncio, {versions}")
    console.print(f"{platform.machine()}, {os.cpu_count()} cores; load during the last 1, 5, 15 minutes: {load}")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=1000)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    console = Console()
    show(measure(parser.parse_args(), console), console)


if __name__ == "__main__":
    main()
