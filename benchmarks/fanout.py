"""Fan-out: CPU a delivery of Relay beside a plain ``transport.write`` loop, in one run.

``make bench`` runs it. Servers and subscribers are processes of their own, on cores of their own; the two servers
take turns round by round, so that a machine that slows down slows both. Trust the ratios: single figures on a
shared machine move by a third.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.servers import CHANNEL, FRAME

console = Console()


def _spawn(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = _spawn(module, *arguments)
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def _ask(process: subprocess.Popen[str], order: object | None) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if order is not None:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
    answer = process.stdout.readline().strip()
    if not answer:
        raise RuntimeError(f"{process.args!r} ended with {process.poll()}")
    return answer


class Bench:
    """One server with its subscribers."""

    def __init__(self, name: str, *, loop: str, subscribers: int, stack: ExitStack) -> None:
        cores = sorted(os.sched_getaffinity(0))
        server_core, sink_core = (cores[0], cores[1]) if len(cores) > 1 else (-1, -1)
        self.name = name
        self.subscribers = subscribers
        self.counter = stack.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115 - it is one
        self.counter.write(bytes(8))
        self.counter.flush()
        self.server = stack.enter_context(_process("benchmarks.servers", name, str(server_core), loop))
        port = int(_ask(self.server, None))
        sinks = stack.enter_context(_process("benchmarks.sinks"))
        path = "/app/key?protocol=7" if name == "relay" else ""
        _ask(
            sinks,
            {
                "port": port,
                "subscribers": subscribers,
                "path": path,
                "channel": CHANNEL,
                "counter": self.counter.name,
                "core": sink_core,
            },
        )

    def round(self, ticks: int, events: int) -> float:
        """Microseconds of CPU for one delivery."""
        order = {
            "ticks": ticks,
            "events": events,
            "subscribers": self.subscribers,
            "counter": self.counter.name,
        }
        cpu: float = json.loads(_ask(self.server, order))["cpu"]
        return cpu * 1e6 / (ticks * events * self.subscribers)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--events", type=int, nargs="+", default=[1, 4, 16, 40], help="events a tick")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop")
    options = parser.parse_args()
    samples: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        benches = [
            Bench(name, loop=options.loop, subscribers=options.subscribers, stack=stack) for name in ("floor", "relay")
        ]
        progress = stack.enter_context(Progress(console=console))
        task = progress.add_task("fan-out", total=options.rounds * len(options.events) * 2)
        for events in options.events:
            for bench in benches:
                bench.round(5, events)  # warm up
            for _ in range(options.rounds):
                for bench in benches:
                    ticks = max(5, 40 // events)
                    samples.setdefault((bench.name, events), []).append(bench.round(ticks, events))
                    progress.advance(task)
    _print(samples, options)


def _print(samples: dict[tuple[str, int], list[float]], options: argparse.Namespace) -> None:
    table = Table(title=f"{options.subscribers} subscribers, {len(FRAME)}-byte frames, {options.loop}")
    for column in ("events a tick", "floor µs", "Relay µs", "Relay / floor (min to max)", "deliveries/s on one core"):
        table.add_column(column, justify="right")
    for events in options.events:
        floor, relay = samples["floor", events], samples["relay", events]
        ratios = sorted(mine / plain for mine, plain in zip(relay, floor, strict=True))
        median = statistics.median(relay)
        table.add_row(
            str(events),
            f"{statistics.median(floor):.2f}",
            f"{median:.2f}",
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            f"{1e6 / median:,.0f}",
        )
    console.print(table)
    console.print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores; medians")


if __name__ == "__main__":
    main()
