"""In-process: what a test costs, under pytest and alone, and fan-out to clients in the same process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness.bench import MICRO, Bench
from relay import App, Hub
from relay.testing import Kit
from relay_transports.inprocess import connect

QUESTION = "What does a test cost, and how fast is fan-out without a socket?"
NAME = "inprocess"
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

    def run(self) -> float:
        """Seconds of the whole command, start of Python and collection included."""
        begun = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        run = subprocess.run(command, cwd=self._folder, env=self._env, capture_output=True, text=True, check=False)
        if f"{self._number} passed" not in run.stdout:
            raise RuntimeError(run.stdout + run.stderr)
        return time.perf_counter() - begun


@contextmanager
def stopwatch(into: dict[str, float], name: str, number: int) -> Iterator[None]:
    """Note CPU seconds for each of ``number``."""
    begun = time.process_time()
    yield
    into[name] = into.get(name, 0.0) + (time.process_time() - begun) / number


async def steps(number: int, spent: dict[str, float]) -> None:
    """Connect, subscribe, trigger, expect: on one hub, each time with a new client; its leaving is not counted."""
    kit = Kit()
    for _ in range(number):
        with stopwatch(spent, "connect + subscribe + trigger + expect", number):
            client = await kit.connect()
            orders = await client.subscribe("orders")
            await kit.hub.trigger("orders", "paid", DATA)
            await orders.expect("paid")
        await client.close()
    kit.close()


async def round_trip(number: int, spent: dict[str, float]) -> None:
    """From trigger to a reader that was waiting."""
    async with Hub(APP) as hub, connect(hub) as client:
        orders = await client.subscribe("orders")
        with stopwatch(spent, "trigger to receive", number):
            for _ in range(number):
                await hub.trigger("orders", "paid", DATA)
                await anext(orders)


async def fan_out(subscribers: int, events: int, spent: dict[str, float]) -> None:
    """``events`` to ``subscribers``: until all are queued for their readers, and until all are read."""
    async with Hub(APP) as hub:
        channels = [await (await connect(hub)).subscribe("bench") for _ in range(subscribers)]
        with stopwatch(spent, "a delivery, queued", subscribers * events):
            await publish(hub, subscribers, events)
        with stopwatch(spent, "a delivery, read and decoded", subscribers * events):
            for channel in channels:
                for _ in range(events):
                    await anext(channel)


async def fan_out_in_a_kit(subscribers: int, events: int, spent: dict[str, float]) -> None:
    """The same with a kit's clients, whose frames all go into the transcript."""
    kit = Kit()
    for _ in range(subscribers):
        await (await kit.connect()).subscribe("bench")
    with stopwatch(spent, "a delivery in a kit, with transcript", subscribers * events):
        await publish(kit.hub, subscribers, events)
    kit.close()


async def publish(hub: Hub, subscribers: int, events: int) -> None:
    """``events``, each queued for all ``subscribers`` when this returns."""
    for _ in range(events):
        receipt = await hub.trigger("bench", "tick", EVENT)
        assert receipt.delivered == subscribers


def run(bench: Bench) -> None:
    """1,000 tests under pytest; the same steps without it; fan-out to 1,000 clients."""
    if not bench.peers("relay_hub"):
        return
    tests, subscribers = bench.size(1000), bench.size(1000)
    step = bench.steps(NAME, bench.rounds)
    with ExitStack() as stack:
        full, empty = ManyTests(stack, FULL_TEST, tests), ManyTests(stack, EMPTY_TEST, tests)
        for _ in range(bench.rounds):
            full.edit()
            for case, many in (("just edited", full), ("again", full), ("empty tests", empty)):
                bench.record(NAME, f"1,000 tests under pytest, {case}", "relay_hub", "s", many.run() * 1000 / tests)
            for case, value in once(tests, subscribers).items():
                bench.record(NAME, case, "relay_hub", "µs CPU", value * MICRO)
            step()


def once(number: int, subscribers: int) -> dict[str, float]:
    """CPU seconds of everything that needs no pytest."""
    spent: dict[str, float] = {}
    for act in (steps(number, spent), round_trip(number, spent), fan_out(subscribers, 50, spent)):
        asyncio.run(act)
    asyncio.run(fan_out_in_a_kit(subscribers, 50, spent))
    return spent
