"""aiohttp with the same exchange as a subscribe: a greeting, a message, an acknowledgement."""

# Requires: uvloop aiohttp
from __future__ import annotations

import json

from aiohttp import web

from benchmarks.peers.aiohttp_send_str import Sending
from benchmarks.peers.serving import main

GREETING = json.dumps({"event": "greeting", "data": "x" * 80})
ACKNOWLEDGEMENT = json.dumps({"event": "acknowledged", "channel": "bench", "data": "{}"})


class Exchanging(Sending):
    """The same handler, a little more polite."""

    title = "aiohttp, same exchange"
    hello = json.dumps({"event": "subscribe", "data": {"channel": "bench"}})
    acks = 2

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One client."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await socket.send_str(GREETING)
        json.loads(await socket.receive_str())
        self.sockets.add(socket)
        await socket.send_str(ACKNOWLEDGEMENT)
        await socket.receive()
        self.sockets.discard(socket)
        return socket


if __name__ == "__main__":
    main(Exchanging)
