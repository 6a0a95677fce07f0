"""A server that is told to end under load while another takes over its port: what arrives, and how clients come back.

    python -m tests.stress.drain 2000 --write

measures it with so many clients, and draws the plot of the guide. Everything is on this machine's loopback, in three
processes: two `relay serve`, which meet at a Redis of their own, and this one with all clients and the publisher.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.cli.workers import LISTENER
from tests.stress.clients import CREDENTIALS, Crowd, Publisher, Visit, absence, away, descriptors, publisher_at, redis
from tests.stress.guide import Paragraph, Told, asked

_AFTER = 2.0
"""Seconds that are published for before the end is told, and after everybody is back."""


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


async def measure(sockets: int, *, drain: float, rate: float, redis_url: str) -> Drained:
    """Drain a server with so many clients while ``rate`` events a second are published."""
    old = _socket(0)
    port = old.getsockname()[1]
    with descriptors(sockets):
        async with _serving(old, drain, redis_url) as first, publisher_at(port) as rest:
            crowd = Crowd(port, sockets)
            async with asyncio.TaskGroup() as tasks:
                await crowd.come(tasks)
                async with _serving(_socket(port), 0.0, redis_url):
                    publisher = Publisher(rest, rate)
                    publishing = tasks.create_task(publisher.publish())
                    await asyncio.sleep(_AFTER)
                    before, told = publisher.accepted, time.monotonic()
                    first.send_signal(signal.SIGTERM)
                    _, stderr = await first.communicate()
                    exited = time.monotonic() - told
                    await crowd.subscribed(2)
                    await asyncio.sleep(_AFTER)
                    publisher.stop = True
                    await publishing  # raises what it was answered, if that was an error
                    await crowd.heard(publisher.accepted - 1)
                    crowd.leave()
    assert first.returncode is not None
    visits = [client.seen_from(told) for client in crowd.clients]
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
        crowd.refused,
    )


def _socket(port: int) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    one.listen(1024)
    return one


@asynccontextmanager
async def _serving(listener: socket.socket, drain: float, redis_url: str) -> AsyncIterator[Process]:
    """`relay serve` on a socket that only it holds from then on, as a worker is given one."""
    with listener:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "serve", *CREDENTIALS, "--port", "0"),
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
        right.hist(away(found.first, found.back), bins=40, color="#332288")
        right.set_xlabel("ms until it is subscribed again", color="#555555")
        right.set_ylabel("clients", color="#555555")
        right.set_title("How long each was away")
        return save(whole, stem)


def in_words(told: Told) -> str:
    """The sentences of the guide about what was measured."""
    events = told["clients"] * told["events_accepted"]
    for_so_long = f"{told['away_ms_median']:.0f} ms (median; 99 % for at most {told['away_ms_p99']:.0f} ms)"
    ended = f"exited with {told['exit_code']} after {told['exited_after_seconds']:.1f} s"
    return (
        f"Of {told['clients']:,} clients all were closed with 4200, the last one after "
        f"{told['last_closed_after_seconds']:.1f} s, and the old server {ended}. The publisher saw no error; nobody "
        f"missed an event while it was connected ({told['gaps_while_connected']} gaps). A client was away for "
        f"{for_so_long}, in which {told['events_missed_while_away']:,} of {events:,} events passed it by."
    )


GUIDE = Paragraph("drain", in_words)


def main(arguments: list[str]) -> int:
    """Measure, and say what was found."""
    options = asked(arguments, "tests.stress.drain", rate=5.0)
    with redis() as url:
        found = asyncio.run(measure(options.sockets, drain=options.drain, rate=options.rate, redis_url=url))
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
        **absence(found.first, found.back),
        "attempts_refused": found.refused,
    }
    GUIDE.tell(told, write=options.write)
    if options.write:
        draw(found, GUIDE.numbers.with_suffix(""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
