"""What is measured, each as a server process: Relay, and the floor under every server in Python.

Run as ``python -m benchmarks.servers NAME CORE LOOP``. It prints its port, then answers one JSON line for each line
on stdin: ``{"ticks": n, "events": m, "counter": path}`` publishes m events in each of n ticks and tells the CPU
seconds that took. Waiting for the subscribers between ticks is not counted.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypedDict, cast

from aiohttp import web

from relay import App, Hub
from relay.protocol import messages
from relay_transports.aiohttp import setup
from relay_transports.frames import WEBSOCKET

CHANNEL, EVENT, DATA = "bench", "tick", {"n": 1, "pad": "x" * 70}
TEXT = messages.event(EVENT, CHANNEL, messages.json_text(DATA))
FRAME = WEBSOCKET.frame(TEXT)

_SLICES = 8
"""Loop iterations after a publish: the outbox flushes 512 sockets in each."""


class Subject(Protocol):
    """A server under test."""

    async def start(self) -> int:
        """Listen; returns the port."""

    async def publish(self) -> None:
        """One event to every subscriber."""


class Relay:
    """The hub in an aiohttp application, publishing as its users do."""

    def __init__(self) -> None:
        self.hub = Hub(App(id="1", key="key", secret="secret"))

    async def start(self) -> int:
        """Listen; returns the port."""
        application = web.Application()
        setup(application, self.hub)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        return int(runner.addresses[0][1])

    async def publish(self) -> None:
        """One event to every subscriber."""
        await self.hub.trigger(CHANNEL, EVENT, DATA)


class Floor(asyncio.Protocol):
    """``transport.write`` of a finished frame to each socket, and nothing else."""

    def __init__(self) -> None:
        self.transports: list[asyncio.Transport] = []

    async def start(self) -> int:
        """Listen; returns the port."""
        server = await asyncio.get_running_loop().create_server(lambda: self, "127.0.0.1", 0, backlog=4096)
        return int(server.sockets[0].getsockname()[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self.transports.append(cast("asyncio.Transport", transport))  # uvloop's is no subclass of asyncio's

    async def publish(self) -> None:
        """One event to every subscriber."""
        for transport in self.transports:
            transport.write(FRAME)


SUBJECTS: dict[str, Callable[[], Subject]] = {"relay": Relay, "floor": Floor}


class Order(TypedDict):
    """Publish ``events`` in each of ``ticks`` to ``subscribers``; ``counter`` is the file of bytes received."""

    ticks: int
    events: int
    subscribers: int
    counter: str


async def measure(subject: Subject, order: Order, arrived: Callable[[], int]) -> float:
    """CPU seconds of publishing; between ticks, wait until every byte arrived."""
    cpu, expected = 0.0, arrived()
    for _ in range(order["ticks"]):
        begun = time.process_time()
        for _ in range(order["events"]):
            await subject.publish()
        for _ in range(_SLICES):
            await asyncio.sleep(0)
        cpu += time.process_time() - begun
        expected += len(FRAME) * order["events"] * order["subscribers"]
        while arrived() < expected:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.0005)
    return cpu


def _read(counter: mmap.mmap) -> int:
    value: int = struct.unpack_from("<Q", counter, 0)[0]
    return value


async def main(name: str, core: int) -> None:
    """Serve until stdin closes."""
    if core >= 0:
        os.sched_setaffinity(0, {core})
    subject = SUBJECTS[name]()
    print(await subject.start(), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order: Order = json.loads(line)
        with open(order["counter"], "r+b") as file, mmap.mmap(file.fileno(), 8) as counter:  # noqa: ASYNC230, PTH123
            cpu = await measure(subject, order, partial(_read, counter))
        print(json.dumps({"cpu": cpu}), flush=True)


if __name__ == "__main__":
    if sys.argv[3] == "uvloop":
        import uvloop

        uvloop.run(main(sys.argv[1], int(sys.argv[2])))
    else:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
