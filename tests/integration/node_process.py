"""A node in a process of its own, as a test drives it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import msgspec

from relay.cluster.nats import NatsSettings
from relay.cluster.redis import RedisSettings

ROOT = Path(__file__).parents[2]
Settings = RedisSettings | NatsSettings


class Process:
    """A node in a process of its own."""

    def __init__(self, url: str, settings: Settings, *webhooks: str) -> None:
        engine = "nats" if isinstance(settings, NatsSettings) else "redis"
        told = [engine, url, msgspec.json.encode(settings).decode()]
        command = [sys.executable, "-m", "tests.integration.engine_node", *told, *webhooks]
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

    async def finish(self) -> None:
        """Let it end in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None  # or `communicate` would write to it
        with anyio.fail_after(20):
            assert await anyio.to_thread.run_sync(self._process.wait) == 0

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def process(url: str, settings: Settings, *webhooks: str) -> Iterator[Process]:
    """It tells what happens to the receivers ``webhooks``, where there are any."""
    node = Process(url, settings, *webhooks)
    try:
        yield node
    finally:
        node.end()
