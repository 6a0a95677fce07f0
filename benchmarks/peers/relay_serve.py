"""Relay as a whole server: ``relay serve``, published to through its REST API."""

# Requires: uvloop aiohttp msgspec anyio
from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.peers.serving import Program, main


class RelayServe(Program):
    """A hub of its own."""

    title = "relay serve"
    path = "/app/key?protocol=7"
    hello = json.dumps({"event": "pusher:subscribe", "data": {"channel": "bench"}})
    acks = 2

    async def launch(self, port: int) -> asyncio.subprocess.Process:
        """Start it."""
        command = ["-m", "relay", "serve", "--port", str(port), "--app-id", "1", "--key", "key", "--secret", "secret"]
        return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.DEVNULL)


if __name__ == "__main__":
    main(RelayServe)
