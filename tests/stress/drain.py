"""A server that is told to end under load while another takes over its port: what arrives, and how clients come back.

    python -m tests.stress.drain 2000 --write

measures it with so many clients, and draws the plot of the guide. Everything is on this machine's loopback, in three
processes: two `relay serve`, which meet at a Redis of their own, and this one with all clients and the publisher.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import platform
import re
import shutil
import signal
import socket
import sys
import textwrap
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.cli.workers import LISTENER
from relay_transports.aiohttp import RestClient
from tests.integration import wire
from tests.integration.wire import CLOSE, TEXT, Wire, frame
from tests.redis_server import running

CHANNEL = "orders"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operate.md"
NUMBERS = PAGE.with_suffix("") / "drain.json"
MARKED = re.compile(r"<!-- drain: begin -->.*<!-- drain: end -->", re.DOTALL)
_CREDENTIALS = ("--app-id", "1001", "--key", "app-key", "--secret", "hush-hush")
_AT_ONCE = 32
_AFTER = 2.0
"""Seconds that are published for before the end is told, and after everybody is back."""


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
        self.ready = asyncio.Event()
        self.refused = 0
        """Attempts to connect that found nobody."""

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
        self.ready.set()
        turn.release()
        try:
            await self._listen(socket, visit)
        finally:
            await turn.acquire()

    async def _listen(self, socket: Wire, visit: Visit) -> None:
        while True:
            opcode, payload = await socket.receive(patience=600)
            if opcode == TEXT:
                visit.numbers.append(int(json.loads(payload)["data"]))
            elif opcode == CLOSE:
                visit.code, visit.until = int.from_bytes(payload[:2], "big"), time.monotonic()
                self.ready.clear()
                socket.write(frame(CLOSE, payload[:2]))
                return


@dataclass
class Drained:
    """What happened, by this machine's clock, 0 being when the server was told to end."""

    sockets: int
    drain: float
    accepted_before: int
    """Events that were answered with 200 before the server was told to end."""
    accepted: int
    """Events that were answered with 200 in all; the publisher numbers them from 0."""
    exit_code: int
    exited: float
    stderr: str
    first: list[Visit]
    """The connection of each client that was drained."""
    back: list[Visit]
    """The connection of each client after it."""
    refused: int

    @property
    def missed(self) -> list[int]:
        """How many events each client missed between its connections."""
        return [
            back.numbers[0] - first.numbers[-1] - 1
            for first, back in zip(self.first, self.back, strict=True)
            if first.numbers and back.numbers
        ]


async def measure(sockets: int, *, drain: float, rate: float, redis_url: str) -> Drained:
    """Drain a server with so many clients while ``rate`` events a second are published."""
    old = _socket(0)
    port = old.getsockname()[1]
    async with _serving(old, drain, redis_url) as first, RestClient.from_url(_url(port)) as rest:
        clients = [Client(port) for _ in range(sockets)]
        turn = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            staying = [tasks.create_task(client.stay(turn)) for client in clients]
            await _all(clients)
            async with _serving(_socket(port), 0.0, redis_url):
                publisher = _Publisher(rest, rate)
                publishing = tasks.create_task(publisher.publish())
                await asyncio.sleep(_AFTER)
                before, told = publisher.accepted, time.monotonic()
                first.send_signal(signal.SIGTERM)
                _, stderr = await first.communicate()
                exited = time.monotonic() - told
                await _all(clients)
                await asyncio.sleep(_AFTER)
                publisher.stop = True
                await publishing  # raises what it was answered, if that was an error
                await _heard(clients, publisher.accepted - 1)
                for one in staying:
                    one.cancel()
    assert first.returncode is not None
    visits = [_shifted(client, told) for client in clients]
    return Drained(
        sockets,
        drain,
        before,
        publisher.accepted,
        first.returncode,
        exited,
        stderr.decode(),
        [one[0] for one in visits],
        [one[1] for one in visits],
        sum(client.refused for client in clients),
    )


def _shifted(client: Client, told: float) -> list[Visit]:
    return [Visit(one.since - told, one.numbers, one.code, one.until - told) for one in client.visits]


class _Publisher:
    """Publishes 0, 1, 2 … one after the other; an answer that is an error ends the whole measurement."""

    def __init__(self, rest: RestClient, rate: float) -> None:
        self._rest, self._every = rest, 1 / rate
        self.accepted = 0
        self.stop = False

    async def publish(self) -> None:
        while not self.stop:
            await self._rest.trigger(CHANNEL, "paid", str(self.accepted))
            self.accepted += 1
            await asyncio.sleep(self._every)


async def _all(clients: list[Client]) -> None:
    """Wait until everybody is in."""
    async with asyncio.timeout(120):
        for client in clients:
            await client.ready.wait()


async def _heard(clients: list[Client], last: int) -> None:
    """Wait until everybody has the last event; give up when nothing comes any more."""
    over = time.monotonic() + 30
    while time.monotonic() < over and any(client.visits[-1].numbers[-1:] != [last] for client in clients):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def _socket(port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    one.listen(1024)
    return one


def _url(port: int) -> str:
    return f"http://app-key:hush-hush@127.0.0.1:{port}/apps/1001"


@asynccontextmanager
async def _serving(listener: socket.socket, drain: float, redis_url: str) -> AsyncIterator[Process]:
    """`relay serve` on a socket that only it holds from then on, as a worker is given one."""
    with listener:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "serve", *_CREDENTIALS, "--port", "0"),
            *("--drain", str(drain), "--cluster", redis_url),
            env={**os.environ, LISTENER: str(listener.fileno())},
            pass_fds=[listener.fileno()],
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert line.startswith(b"Relay listens on "), line
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@contextmanager
def _redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    with running(Path(program)) as server:
        yield server.url


def draw(found: Drained, stem: Path) -> list[Path]:
    """Who is on which server, over time, and how long each client was away."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from benchmarks.harness.plots import RELAY, STYLE, save

    with mpl.rc_context(STYLE):
        whole = Figure(figsize=(10.0, 4.2), layout="constrained")
        left, right = whole.subplots(1, 2, width_ratios=(2, 1))
        gone, back = sorted(one.until for one in found.first), sorted(one.since for one in found.back)
        end = max(back[-1], gone[-1], found.exited) * 1.05
        left.step(
            [0.0, *gone, end], [found.sockets - n for n in range(found.sockets + 1)] + [0], where="post", color=RELAY
        )
        left.step([0.0, *back, end], [*range(found.sockets + 1), found.sockets], where="post", color="#332288")
        left.axvline(found.exited, color="#888888", linestyle="--", linewidth=1)
        left.annotate("exit 0", (found.exited, found.sockets * 0.5), (-6, 0), textcoords="offset points", ha="right")
        for text, x, y, shade in (("on the old server", 0.22, 0.9, RELAY), ("on the new one", 0.74, 0.6, "#332288")):
            left.text(x * end, y * found.sockets, text, color=shade)
        left.set_xlabel("seconds since SIGTERM", color="#555555")
        left.set_ylabel("clients", color="#555555")
        left.set_title("Clients move, at an even rate")
        away = [1000 * (back.since - first.until) for first, back in zip(found.first, found.back, strict=True)]
        right.hist(away, bins=40, color="#332288")
        right.set_xlabel("ms until it is subscribed again", color="#555555")
        right.set_ylabel("clients", color="#555555")
        right.set_title("How long each was away")
        return save(whole, stem)


def in_words(told: Mapping[str, Any]) -> str:
    """The paragraph of the guide about what was measured."""
    events = told["clients"] * told["events_accepted"]
    away = f"{told['away_ms_median']:.0f} ms (median; 99 % for at most {told['away_ms_p99']:.0f} ms)"
    ended = f"exited with {told['exit_code']} after {told['exited_after_seconds']:.1f} s"
    lines = (
        f"Of {told['clients']:,} clients all were closed with 4200, the last one after "
        f"{told['last_closed_after_seconds']:.1f} s, and the old server {ended}. The publisher saw no error; nobody "
        f"missed an event while it was connected ({told['gaps_while_connected']} gaps). A client was away for {away}, "
        f"in which {told['events_missed_while_away']:,} of {events:,} events passed it by. "
        f"Both servers, all clients and the publisher shared {told['cores']} cores, on Python {told['python']}, "
        f"{told['date']}."
    )
    return "<!-- drain: begin -->\n" + textwrap.fill(lines, 120) + "\n<!-- drain: end -->"


def main(arguments: list[str]) -> int:
    """Measure, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.drain", description=__doc__)
    parser.add_argument("sockets", type=int)
    parser.add_argument("--drain", type=float, default=10.0, help="seconds (%(default)s)")
    parser.add_argument("--rate", type=float, default=5.0, help="events a second (%(default)s)")
    parser.add_argument("--write", action="store_true", help="put plot and numbers into the guide")
    options = parser.parse_args(arguments)
    with _redis() as url:
        found = asyncio.run(measure(options.sockets, drain=options.drain, rate=options.rate, redis_url=url))
    away = sorted(back.since - first.until for first, back in zip(found.first, found.back, strict=True))
    told = {
        "clients": found.sockets,
        "drain_seconds": found.drain,
        "events_accepted": found.accepted,
        "publisher_errors": 0,
        "gaps_while_connected": sum(one.gaps for one in (*found.first, *found.back)),
        "close_codes": sorted({one.code for one in found.first if one.code is not None}),
        "last_closed_after_seconds": round(max(one.until for one in found.first), 2),
        "exit_code": found.exit_code,
        "exited_after_seconds": round(found.exited, 2),
        "away_ms_median": round(1000 * away[len(away) // 2], 1),
        "away_ms_p99": round(1000 * away[len(away) * 99 // 100], 1),
        "away_ms_max": round(1000 * away[-1], 1),
        "events_missed_while_away": sum(found.missed),
        "attempts_refused": found.refused,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    print(json.dumps(told, indent=2))
    if options.write:
        NUMBERS.write_text(json.dumps(told, indent=2) + "\n")
        PAGE.write_text(MARKED.sub(lambda _: in_words(told), PAGE.read_text()))
        draw(found, NUMBERS.with_suffix(""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
