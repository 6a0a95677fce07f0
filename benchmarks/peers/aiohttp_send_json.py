"""aiohttp as tutorials write it: ``send_json`` for each WebSocket, encoded each time."""

# Requires: uvloop aiohttp
from __future__ import annotations

from typing import Any

from benchmarks.peers.aiohttp_send_str import Sending
from benchmarks.peers.serving import main, payload


class SendingJson(Sending):
    """The same handler."""

    title = "aiohttp send_json"

    async def publish(self, channel: str, stamp: int) -> Any:
        """One event to every subscriber."""
        event = {"event": "tick", "channel": channel, "data": payload(stamp)}
        for socket in self.sockets:
            await socket.send_json(event)


if __name__ == "__main__":
    main(SendingJson)
