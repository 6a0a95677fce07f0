"""Sinks and publishers: the compiled one where there is a compiler, one in Python elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.harness import shared
from benchmarks.harness.compiling import NoCompiler, compiled
from benchmarks.harness.processes import Process, cores, running
from benchmarks.harness.shared import Shared
from benchmarks.peers.serving import PUSHER_ACKS, PUSHER_PATH, pusher_hello

_PATIENCE: Final = 120.0


@dataclass(frozen=True)
class Visit:
    """How subscribers come to a server: ``{i}`` stands for the number of each, ``{c}`` for that modulo channels.

    ``acks`` is how many text frames a subscriber gets before it is one. No ``path``: no handshake at all.
    """

    path: str = ""
    hello: str = ""
    acks: int = 0


def pusher(channel: str, query: str = "") -> Visit:
    """How a client of Pusher's protocol comes to subscribe to ``channel``."""
    return Visit(PUSHER_PATH + query, pusher_hello(channel), PUSHER_ACKS)


def command() -> list[str]:
    """How to start the load program."""
    try:
        return [str(compiled("harness/load.c"))]
    except NoCompiler:
        return [sys.executable, "-m", "benchmarks.harness.slow_load"]


def made_in() -> str:
    """The language of the sinks, for the report."""
    return "Python" if command()[0] == sys.executable else "C"


class Sinks:
    """Subscribers in one process, and what they counted."""

    def __init__(self, process: Process, counters: Shared) -> None:
        self.process = process
        self.counters = counters

    @property
    def frames(self) -> int:
        """Frames that arrived."""
        return self.counters[shared.FRAMES]

    @property
    def closed(self) -> int:
        """Connections that the server ended."""
        return self.counters[shared.CLOSED]

    @property
    def cpu(self) -> float:
        """CPU seconds used."""
        return self.counters[shared.CPU] / 1e9

    def wait_for(self, frames: int) -> None:
        """Return when so many frames arrived. Raises ``TimeoutError`` when they do not."""
        over = time.monotonic() + _PATIENCE
        while self.frames < frames:
            if time.monotonic() > over:
                raise TimeoutError(f"{self.frames} of {frames} frames arrived in {_PATIENCE:.0f} s")
            time.sleep(0.001)


@contextmanager
def sinks(
    port: int, visit: Visit, count: int, *, window: int = 32, channels: int = 1, each: int = 1, stalled: int = 0
) -> Iterator[Sinks]:
    """``count`` subscribers, all of them ready.

    There are ``channels`` channels and every subscriber is in ``each`` of them, evenly; the first ``stalled`` of them
    read nothing from then on. ``window`` connect at the same time.
    """
    acks = visit.acks + (each - 1 if visit.acks else 0)
    with Shared() as counters:
        arguments = [*command(), "sink", str(port), str(cores()[1]), counters.path, str(count), str(window)]
        arguments += [str(channels), str(stalled), str(acks), visit.path, visit.hello, str(each)]
        with running(arguments) as process:
            process.line()
            yield Sinks(process, counters)


class Publisher:
    """A process that sends one HTTP request over and over."""

    def __init__(self, process: Process, counters: Shared) -> None:
        self._process = process
        self.counters = counters

    def publish(self, times: int) -> None:
        """Send the request ``times`` times, and return when every answer came. Raises on one that is not 200."""
        errors = self.counters[shared.ERRORS]
        self._process.say(str(times))
        if self.counters[shared.ERRORS] != errors:
            raise RuntimeError("a request was refused")

    @property
    def cpu(self) -> float:
        """CPU seconds used."""
        return self.counters[shared.CPU] / 1e9


@contextmanager
def publisher(port: int, request: bytes, *, connections: int = 8, directory: Path) -> Iterator[Publisher]:
    """A publisher that is connected; ``directory`` is where its request is put."""
    file = directory / f"request-{time.monotonic_ns()}"
    file.write_bytes(request)
    with Shared() as counters:
        arguments = [*command(), "http", str(port), str(cores()[1]), counters.path, str(connections), str(file)]
        with running(arguments) as process:
            process.line()
            yield Publisher(process, counters)
