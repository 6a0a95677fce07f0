"""What every peer's file shares: it listens, prints where, and publishes when it is told to.

Needs the standard library alone, since peers run in an environment of their own. Orders come as lines of JSON on
stdin, and each is answered with one::

    {"do": "ticks", "ticks": n, "events": m}      publish m events in each of n ticks
    {"do": "paced", "rate": r, "seconds": s}      publish r events a second, to "channels" in turn if given
    {"do": "spread", "channels": n, "rounds": m}  publish to each of n channels, m times
    {"do": "fair", "rate": r, "seconds": s}       r events a second to "quiet" while "bench" runs flat out
    {"do": "cpu"}                                 nothing; what was used until now

The answer is ``{"cpu": seconds}`` for what was asked.
Between ticks the counter of frames that arrived is waited for, and that is not counted.
"""

from __future__ import annotations

import abc
import asyncio
import json
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

CHANNEL = "bench"
_FRAMES = 2
"""Slot of the frames that arrived (see harness/shared.py)."""
_AT_ONCE = 64
"""Sockets that a server surely writes in one turn of the loop."""


padding = {"size": 40}


def payload(stamp: int = 0) -> str:
    """The data of an event: as many bytes every time, and the nanosecond it was sent at, 0 if nobody asks."""
    return f'{{"n":1,"pad":"T={stamp:019d} {"x" * padding["size"]}"}}'


def text(channel: str = CHANNEL, stamp: int = 0) -> str:
    """The whole event as Pusher's protocol writes it, for peers that know no protocol."""
    return json.dumps({"event": "tick", "channel": channel, "data": payload(stamp)}, separators=(",", ":"))


PUSHER_PATH = "/app/key?protocol=7"
PUSHER_ACKS = 2
"""The greeting and the acknowledgement."""


def pusher_hello(channel: str = CHANNEL) -> str:
    """What subscribes in Pusher's protocol."""
    return json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}})


class Peer(abc.ABC):
    """A server under test. ``start`` listens on a free port of the loopback and returns it.

    ``title`` is its name in tables. Subscribers come by a WebSocket upgrade to ``path``, send ``hello`` and are
    subscribers after ``acks`` text frames (see harness/load.py); without ``path`` by connecting alone.
    ``channels`` tells whether it has any.
    """

    title = ""
    path = "/"
    hello = ""
    acks = 0
    channels = False

    @abc.abstractmethod
    async def start(self) -> int:
        """Listen; returns the port."""

    @abc.abstractmethod
    def publish(self, channel: str, stamp: int) -> Awaitable[object] | None:
        """One event to every subscriber of ``channel``; a ``stamp`` goes into its payload."""

    def cpu(self) -> float:
        """CPU seconds used until now."""
        return time.process_time()

    def lost(self) -> int:
        """Events that slow subscribers lost, where that is known."""
        return 0

    async def end(self) -> None:  # noqa: B027 - most have nothing to do
        """The process is about to end, in whatever state it is."""

    def orders(self) -> Mapping[str, Callable[[dict[str, Any]], Awaitable[dict[str, float]]]]:
        """What this peer alone can be told to do."""
        return {}


class Program(Peer):
    """A server that is a program of its own; this process only starts and ends it. It publishes by HTTP alone."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None

    @abc.abstractmethod
    async def launch(self, port: int) -> asyncio.subprocess.Process:
        """Start the program on ``port``."""

    async def start(self) -> int:
        """Start it, and wait until it listens."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        self._child = await self.launch(port)
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return port
        raise RuntimeError(f"{self.title} does not listen")

    async def end(self) -> None:
        """Terminate it."""
        if self._child is not None:
            self._child.terminate()
            await self._child.wait()

    @property
    def pid(self) -> int:
        """The program's own process."""
        assert self._child is not None
        return self._child.pid

    def cpu(self) -> float:
        """CPU seconds of all its threads."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def publish(self, channel: str, stamp: int) -> None:
        """Not from here."""
        raise NotImplementedError(f"{self.title} publishes by HTTP")


class Arrivals:
    """How many frames the sinks have counted."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:  # noqa: PTH123 - the way of mmap
            self._map = mmap.mmap(file.fileno(), 0)

    @property
    def frames(self) -> int:
        """Until now."""
        value: int = struct.unpack_from("<Q", self._map, _FRAMES * 8)[0]
        return value

    async def reach(self, frames: int) -> None:
        """Return when so many have arrived."""
        while self.frames < frames:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.0005)


async def send(peer: Peer, channel: str = CHANNEL, stamp: int = 0) -> None:
    """Publish, whether the peer waits for it or not."""
    waiting = peer.publish(channel, stamp)
    if waiting is not None:
        await waiting


async def pause(subscribers: int) -> None:
    """Let the server write what it has, in several turns of the loop if it likes."""
    for _ in range(8 + subscribers // _AT_ONCE):
        await asyncio.sleep(0)


async def ticks(peer: Peer, order: dict[str, int], arrivals: Arrivals) -> dict[str, float]:
    """CPU of publishing ``events`` in each of ``ticks`` to ``subscribers``."""
    cpu, expected = 0.0, arrivals.frames
    for _ in range(order["ticks"]):
        begun = time.process_time()
        for _ in range(order["events"]):
            await send(peer)
        await pause(order["subscribers"])
        cpu += time.process_time() - begun
        expected += order["events"] * order["subscribers"]
        await arrivals.reach(expected)
    return {"cpu": cpu}


async def paced(peer: Peer, order: dict[str, float], _: Arrivals) -> dict[str, float]:
    """Publish at a steady rate; what is late is made up for, so that a server cannot hide behind its own delay."""
    names = [f"{CHANNEL}-{number}" for number in range(int(order.get("channels", 0)))] or [CHANNEL]
    begun, used = time.monotonic(), time.process_time()
    for number in range(int(order["rate"] * order["seconds"])):
        due = begun + number / order["rate"]
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        await send(peer, names[number % len(names)], int(due * 1e9))
    await asyncio.sleep(0.3)
    return {"cpu": time.process_time() - used, "wall": time.monotonic() - begun}


async def spread(peer: Peer, order: dict[str, int], arrivals: Arrivals) -> dict[str, float]:
    """CPU of one event to each of many channels."""
    cpu, expected = 0.0, arrivals.frames
    names = [f"{CHANNEL}-{number}" for number in range(order["channels"])]
    for _ in range(order["rounds"]):
        begun = time.process_time()
        for at, name in enumerate(names):
            await send(peer, name)
            if at % 100 == 99:  # no server gets 10,000 events in one tick
                await asyncio.sleep(0)
        await pause(order["subscribers"])
        cpu += time.process_time() - begun
        expected += order["subscribers"]
        await arrivals.reach(expected)
    return {"cpu": cpu}


async def fair(peer: Peer, order: dict[str, float], arrivals: Arrivals) -> dict[str, float]:
    """One channel flat out, always with the next event right behind the last; another one at a steady rate."""
    over, sent = time.monotonic() + order["seconds"], 0

    async def flood() -> None:
        nonlocal sent
        while time.monotonic() < over:
            base = arrivals.frames
            await send(peer)
            sent += 1
            await asyncio.sleep(0)
            while arrivals.frames < base + order["subscribers"] * 0.5 and time.monotonic() < over:  # noqa: ASYNC110
                await asyncio.sleep(0)

    flooding = asyncio.ensure_future(flood())
    begun = time.monotonic()
    for number in range(int(order["rate"] * order["seconds"])):
        due = begun + number / order["rate"]
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        await send(peer, "quiet", int(due * 1e9))
    await flooding
    await asyncio.sleep(0.3)
    return {"events": sent}


async def obey(peer: Peer, line: str) -> dict[str, float]:
    """Do what one order says."""
    order = json.loads(line)
    if order["do"] == "cpu":
        return {"cpu": peer.cpu(), "lost": peer.lost()}
    if (own := peer.orders().get(order["do"])) is not None:
        return await own(order)
    act = _ORDERS[order["do"]]
    padding["size"] = order.get("size", 40)
    return await act(peer, order, Arrivals(order["counters"]))


_ORDERS: dict[str, Callable[[Peer, dict[str, Any], Arrivals], Awaitable[dict[str, float]]]] = {
    "ticks": ticks,
    "paced": paced,
    "spread": spread,
    "fair": fair,
}


async def serve(peer: Peer) -> None:
    """Listen, then obey until stdin closes."""
    port = await peer.start()
    print(json.dumps({"port": port, "pid": peer.pid if isinstance(peer, Program) else os.getpid()}), flush=True)
    loop = asyncio.get_running_loop()
    try:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await obey(peer, line)), flush=True)
    finally:
        await peer.end()


def describe(peer: Peer) -> dict[str, object]:
    """What the harness has to know before it starts one."""
    visit = {"path": peer.path, "hello": peer.hello, "acks": peer.acks}
    return {
        "title": peer.title,
        "visit": visit,
        "channels": peer.channels,
        "program": isinstance(peer, Program),
        "versions": {name: version(name) for name in requirements(type(peer))},
    }


def requirements(peer: type[Peer]) -> list[str]:
    """The packages named in the line ``# Requires: ...`` of the peer's file."""
    source = Path(sys.modules[peer.__module__].__file__ or "").read_text()
    return next(
        (line.partition("  #")[0].split()[2:] for line in source.splitlines() if line.startswith("# Requires:")), []
    )


def main(kind: type[Peer]) -> None:
    """``describe``, or run on the CORE and the LOOP that the command line names, with OPTIONS as JSON."""
    options = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    peer = kind(**options)
    if sys.argv[1] == "describe":
        print(json.dumps(describe(peer)))
        return
    core, loop = int(sys.argv[1]), sys.argv[2]
    if core >= 0:
        os.sched_setaffinity(0, {core})
    if loop == "uvloop":
        import uvloop  # noqa: PLC0415 - not for those who measure asyncio's own loop

        uvloop.run(serve(peer))
    else:
        asyncio.run(serve(peer))
