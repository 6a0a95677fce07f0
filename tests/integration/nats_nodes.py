"""Hubs over a NATS of the test's own, in this process and in others."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

import anyio
import msgspec

from relay import App, Hub
from relay.cluster.nats import NatsCluster, NatsSettings
from tests.unit.client import APP

QUICK = NatsSettings(lease=1.0, beat=0.2, patience=0.5, proof=0.1)
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def nodes(url: str, count: int = 2, *apps: App, settings: NatsSettings = QUICK) -> AsyncIterator[list[Hub]]:
    """Running hubs, each with connections of its own to the NATS at `url`."""
    async with AsyncExitStack() as stack:
        hubs = [Hub(*(apps or (APP,)), cluster=NatsCluster(url, settings)) for _ in range(count)]
        for hub in hubs:
            await stack.enter_async_context(hub)
        yield hubs


class Process:
    """A node in a process of its own."""

    def __init__(self, url: str, settings: NatsSettings) -> None:
        command = [sys.executable, "-m", "tests.integration.nats_node", url, msgspec.json.encode(settings).decode()]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    async def hear(self, word: str) -> None:
        with anyio.fail_after(20):
            out: IO[str] | None = self._process.stdout
            assert out is not None
            assert (await anyio.to_thread.run_sync(out.readline)).strip() == word

    def say(self, line: str) -> None:
        out = self._process.stdin
        assert out is not None
        out.write(line + "\n")
        out.flush()

    async def do(self, line: str) -> None:
        self.say(line)
        await self.hear("done")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def process(url: str, settings: NatsSettings = QUICK) -> Iterator[Process]:
    node = Process(url, settings)
    try:
        yield node
    finally:
        node.end()
