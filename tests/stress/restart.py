"""All workers of a server are replaced under load: who is sent away, how often, and how long until they are back.

    python -m tests.stress.restart 2000 --write

measures it with so many clients, and writes the numbers into the guide. Everything is on this machine's loopback: one
`relay serve --workers 2`, a Redis of its own, and this process with all clients and the publishers.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.stress.clients import (
    CHANNEL,
    CREDENTIALS,
    Crowd,
    Publisher,
    Visit,
    absence,
    descriptors,
    publisher_at,
    redis,
)
from tests.stress.guide import Paragraph, Told, asked
from tests.unit.command import port_in, workers_of

WORKERS = 2
_AFTER = 1.0
"""Seconds that are published for before the restart, and after everybody is back."""
_BUSY = 50
"""Requests a second of the other publisher, which nobody listens to: so its connection is never idle for long."""


@dataclass
class Restarted:
    """What happened, by this machine's clock, 0 being when the server was told to restart its workers."""

    old: set[int]
    new: set[int]
    """Process ids of the workers, before and after."""
    accepted_before: int
    """Events that were answered with 200 before the restart; the publisher numbers them from 0."""
    accepted_back: int
    """Events that were answered with 200 before all clients were back."""
    accepted: int
    answered: int
    """Requests of the other publisher that were answered with 200."""
    took: float
    """Seconds until the server said that all workers are new."""
    counted: int | None
    """Subscriptions in the end, as the server counts them over all workers."""
    visits: list[list[Visit]]
    """The connections of each client, in their order."""
    refused: int
    exit_code: int | None = None
    stderr: str = ""

    @property
    def first(self) -> list[Visit]:
        return [one[0] for one in self.visits]

    @property
    def back(self) -> list[Visit]:
        return [one[-1] for one in self.visits]


async def measure(sockets: int, *, drain: float, rate: float, redis_url: str) -> Restarted:
    """Restart the workers of a server with so many clients while ``rate`` events a second are published to them."""
    with descriptors(sockets):
        async with _serving(drain, redis_url) as (server, port):
            found = await _restarted(server, port, sockets, rate)
            server.terminate()
            _, stderr = await server.communicate()
    found.exit_code, found.stderr = server.returncode, stderr.decode()
    return found


async def _restarted(server: Process, port: int, sockets: int, rate: float) -> Restarted:
    crowd, old = Crowd(port, sockets), workers_of(server.pid)
    async with (
        publisher_at(port, retries=0) as rest,
        publisher_at(port, retries=0) as other,
        asyncio.TaskGroup() as tasks,
    ):
        await crowd.come(tasks)
        publisher, busy = Publisher(rest, rate), Publisher(other, _BUSY, channel="elsewhere")
        publishing = [tasks.create_task(one.publish()) for one in (publisher, busy)]  # what raises ends it all
        await asyncio.sleep(_AFTER)
        before, told = publisher.accepted, time.monotonic()
        server.send_signal(signal.SIGHUP)
        await _all_are_new(server, within=60)
        took = time.monotonic() - told
        await crowd.subscribed(2)
        back = publisher.accepted
        await asyncio.sleep(_AFTER)
        publisher.stop = busy.stop = True
        await asyncio.gather(*publishing)
        await crowd.heard(publisher.accepted - 1)
        counted = (await rest.channel(CHANNEL, info=["subscription_count"])).subscription_count
        found = [client.seen_from(told) for client in crowd.clients]
        crowd.leave()
    accepted = (before, back, publisher.accepted, busy.accepted)
    return Restarted(old, workers_of(server.pid), *accepted, took, counted, found, crowd.refused)


async def _all_are_new(server: Process, within: float) -> None:
    assert server.stdout is not None
    async with asyncio.timeout(within):
        line = await server.stdout.readline()
    assert line == b"Relay: all workers are new\n", line


@asynccontextmanager
async def _serving(drain: float, redis_url: str) -> AsyncIterator[tuple[Process, int]]:
    """`relay serve` with its workers, and the port they share."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay", "serve", *CREDENTIALS, "--port", "0"),
        *("--workers", str(WORKERS), "--drain", str(drain), "--cluster", redis_url),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        assert server.stdout is not None
        yield server, port_in((await server.stdout.readline()).decode())
    finally:
        if server.returncode is None:
            server.kill()  # its workers notice
            await server.communicate()


def in_words(told: Told) -> str:
    """The sentences of the guide about what was measured."""
    for_so_long = (
        f"{told['away_ms_median']:.0f} ms (median; 95 % for at most {told['away_ms_p95']:.0f} ms, the longest for "
        f"{told['away_ms_max']:.0f} ms)"
    )
    return (
        f"With {told['workers']} workers, {told['clients']:,} clients and `--drain {told['drain_seconds']:g}` all "
        f"workers were new after {told['took_seconds']:.1f} s, in which {told['closes']:,} connections were closed, "
        f"at most {told['most_closes_of_a_client']} of a client, and all were back. "
        f"{told['requests_answered']:,} REST requests meanwhile got no error. "
        f"A client was away for {for_so_long}, in which {told['events_missed_while_away']:,} of "
        f"{told['clients'] * told['events_accepted']:,} events passed it by; while it was connected it got all, in "
        f"order and once ({told['gaps_while_connected']} gaps)."
    )


GUIDE = Paragraph("restart", in_words)


def main(arguments: list[str]) -> int:
    """Measure, and say what was found."""
    options = asked(arguments, "tests.stress.restart", rate=3.0)
    with redis() as url:
        found = asyncio.run(measure(options.sockets, drain=options.drain, rate=options.rate, redis_url=url))
    told = {
        "clients": options.sockets,
        "workers": WORKERS,
        "drain_seconds": options.drain,
        "took_seconds": round(found.took, 2),
        "last_back_after_seconds": round(max(one.since for one in found.back), 2),
        "closes": sum(one.code is not None for visits in found.visits for one in visits),
        "close_codes": sorted({one.code for visits in found.visits for one in visits if one.code is not None}),
        "most_closes_of_a_client": max(map(len, found.visits)) - 1,
        "events_accepted": found.accepted,
        "requests_answered": found.accepted + found.answered,
        "gaps_while_connected": sum(one.gaps for visits in found.visits for one in visits),
        **absence(found.first, found.back),
        "attempts_refused": found.refused,
    }
    GUIDE.tell(told, write=options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
