"""soketi 1.6.1: a whole Pusher server on uWebSockets.js and Node, published to through its REST API."""

# Requires of npm: @soketi/soketi@1.6.1 uWebSockets.js=npm:@trufflesuite/uws-js-unofficial@20.30.0-unofficial.0
from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from benchmarks.peers.serving import PUSHER_ACKS, PUSHER_PATH, Program, main, pusher_hello

MODULES = Path(".venvs/bench-node/node_modules")
"""Where the harness installs it."""


class Soketi(Program):
    """No limits, no metrics, one process."""

    title = "soketi"
    path = PUSHER_PATH
    hello = pusher_hello()
    acks = PUSHER_ACKS

    async def launch(self, port: int) -> asyncio.subprocess.Process:
        """Start it."""
        unlimited = dict.fromkeys(
            ("maxConnections", "maxBackendEventsPerSecond", "maxClientEventsPerSecond", "maxReadRequestsPerSecond"), -1
        )
        app = {"id": "1", "key": "key", "secret": "secret", "enableClientMessages": True, **unlimited}
        settings = {"port": port, "host": "127.0.0.1", "appManager.array.apps": [app], "metrics.enabled": False}
        self._settings = tempfile.NamedTemporaryFile("w", suffix=".json")  # noqa: SIM115 - as long as the server
        json.dump(settings, self._settings)
        self._settings.flush()
        command = [str(MODULES / "@soketi/soketi/bin/server.js"), "start", f"--config={self._settings.name}"]
        quiet = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec("node", *command, stdout=quiet, stderr=quiet)


if __name__ == "__main__":
    main(Soketi)
