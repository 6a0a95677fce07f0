"""Thousands of clients that live through the end of a server, and publishers that notice nothing of it.

Everything is on this machine's loopback; clients and publishers are in one process, what serves them is in others.
"""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from relay_transports.aiohttp import RestClient
from tests.integration import wire
from tests.integration.wire import CLOSE, TEXT, Wire, frame
from tests.redis_server import INSTALL, running

CHANNEL = "orders"
CREDENTIALS = ("--app-id", "1001", "--key", "app-key", "--secret", "hush-hush")
_AT_ONCE = 32
"""Clients that connect at the same time."""
_FILES = 256
"""Descriptors of a process for all but its clients."""


@dataclass
class Visit:
    """One connection of one client: the numbers it got, and how it ended."""

    since: float
    numbers: list[int] = field(default_factory=list)
    code: int | None = None
    until: float = 0.0

    @property
    def gaps(self) -> int:
        """Events between the first and the last that did not arrive, or not in their place."""
        return sum(after != before + 1 for before, after in zip(self.numbers, self.numbers[1:], strict=False))


class Client:
    """Comes, listens, and comes back at once when it is closed with 4200, as pusher-js does (protocol 1.7)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.visits: list[Visit] = []
        self.subscribed = False
        self.refused = 0
        """Attempts to connect that found nobody, and connections that ended without a close."""

    async def stay(self, turn: asyncio.Semaphore) -> None:
        """Until it is cancelled, or closed with a code that says not to come back."""
        while not self.visits or self.visits[-1].code == 4200:
            try:
                async with turn, wire.dial(self._port) as socket:
                    await self._visit(socket, turn)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.refused += 1
                await asyncio.sleep(0.1)  # for real: that is what a client does

    async def _visit(self, socket: Wire, turn: asyncio.Semaphore) -> None:
        socket.write(wire.upgrade("/app/app-key?protocol=7"))
        head = await socket.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionRefusedError(head[:80])
        await socket.event()
        socket.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": CHANNEL}}))
        await socket.event()
        visit = Visit(time.monotonic())
        self.visits.append(visit)
        self.subscribed = True
        turn.release()
        try:
            await self._listen(socket, visit)
        finally:
            self.subscribed = False
            await turn.acquire()

    async def _listen(self, socket: Wire, visit: Visit) -> None:
        while True:
            opcode, payload = await socket.receive(patience=600)
            if opcode == TEXT:
                visit.numbers.append(int(json.loads(payload)["data"]))
            elif opcode == CLOSE:
                visit.code, visit.until = int.from_bytes(payload[:2], "big"), time.monotonic()
                socket.write(frame(CLOSE, payload[:2]))
                return

    def seen_from(self, told: float) -> list[Visit]:
        """Its visits, by a clock that was 0 at ``told``."""
        return [replace(one, since=one.since - told, until=one.until - told) for one in self.visits]


class Crowd:
    """Many clients at one port, of which a few connect at a time."""

    def __init__(self, port: int, count: int) -> None:
        self.clients = [Client(port) for _ in range(count)]
        self._staying: list[asyncio.Task[None]] = []

    async def come(self, tasks: asyncio.TaskGroup) -> None:
        """Return when all are subscribed; they stay as tasks of ``tasks``."""
        turn = asyncio.Semaphore(_AT_ONCE)
        self._staying = [tasks.create_task(client.stay(turn)) for client in self.clients]
        await self.subscribed(1)

    async def subscribed(self, times: int) -> None:
        """Wait until everybody is in, after having come ``times`` times at least."""
        await _until(lambda: all(one.subscribed and len(one.visits) >= times for one in self.clients), 120)

    async def heard(self, last: int) -> None:
        """Wait until everybody has the last event; give up when nothing comes any more."""
        try:
            await _until(lambda: all(one.visits[-1].numbers[-1:] == [last] for one in self.clients), 30)
        except TimeoutError:
            pass  # whoever looks at the numbers sees who lacks what

    def leave(self) -> None:
        """Let all go, without a word."""
        for one in self._staying:
            one.cancel()

    @property
    def refused(self) -> int:
        return sum(client.refused for client in self.clients)


class Publisher:
    """Publishes 0, 1, 2 … one after the other; an answer that is an error ends the whole measurement."""

    def __init__(self, rest: RestClient, rate: float, *, channel: str = CHANNEL) -> None:
        self._rest, self._every, self._channel = rest, 1 / rate, channel
        self.accepted = 0
        self.stop = False

    async def publish(self) -> None:
        """Until ``stop`` is set."""
        while not self.stop:
            await self._rest.trigger(self._channel, "paid", str(self.accepted))
            self.accepted += 1
            await asyncio.sleep(self._every)


def publisher_at(port: int, *, retries: int = 3) -> RestClient:
    """What asks the server at ``port``."""
    return RestClient.from_url(f"http://app-key:hush-hush@127.0.0.1:{port}/apps/1001", retries=retries)


def away(first: Sequence[Visit], back: Sequence[Visit]) -> list[float]:
    """Milliseconds between two visits of each client, from its close until it was subscribed again; rising."""
    return sorted(1000 * (after.since - before.until) for before, after in zip(first, back, strict=True))


def absence(first: Sequence[Visit], back: Sequence[Visit]) -> dict[str, float]:
    """What all clients missed between these two visits, by the names it has in files of numbers."""
    gone = away(first, back)
    missed = sum(
        after.numbers[0] - before.numbers[-1] - 1
        for before, after in zip(first, back, strict=True)
        if before.numbers and after.numbers
    )
    shares = {"median": 50, "p95": 95, "p99": 99}
    return {
        **{f"away_ms_{name}": round(gone[len(gone) * share // 100], 1) for name, share in shares.items()},
        "away_ms_max": round(gone[-1], 1),
        "events_missed_while_away": missed,
    }


@contextmanager
def descriptors(sockets: int) -> Iterator[None]:
    """Let this process, and those it starts meanwhile, have so many sockets, and the files they need besides."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = max(before, sockets + _FILES)
    if enough > most != resource.RLIM_INFINITY:
        raise SystemExit(f"{sockets} sockets need {enough} file descriptors, and the system allows {most}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis for a measurement."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit(f"redis-server is missing: {INSTALL}")
    with running(Path(program)) as server:
        yield server.url


async def _until(true: Callable[[], bool], within: float) -> None:
    """Return when it is so; raises TimeoutError after ``within`` seconds."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110  # many lists grow, and none of them tells
            await asyncio.sleep(0.02)
