"""Relay as a whole server: ``relay serve``, published to through its REST API."""

# Requires: uvloop aiohttp msgspec anyio
from __future__ import annotations

import asyncio
import sys

from benchmarks.peers.serving import PUSHER_ACKS, PUSHER_PATH, Program, main, pusher_hello


class RelayServe(Program):
    """A hub of its own."""

    title = "relay serve"
    path = PUSHER_PATH
    hello = pusher_hello()
    acks = PUSHER_ACKS

    async def launch(self, port: int) -> asyncio.subprocess.Process:
        """Start it."""
        command = ["-m", "relay", "serve", "--port", str(port), "--app-id", "1", "--key", "key", "--secret", "secret"]
        return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.DEVNULL)


if __name__ == "__main__":
    main(RelayServe)
