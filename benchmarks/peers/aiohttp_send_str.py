"""aiohttp as most write it: ``send_str`` for each WebSocket."""

# Requires: uvloop aiohttp
from __future__ import annotations

from typing import Any

from aiohttp import WSMsgType, web

from benchmarks.peers.serving import Peer, main, text


class Sending(Peer):
    """A handler that waits, and a set of sockets."""

    title = "aiohttp send_str"

    def __init__(self) -> None:
        self.sockets: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One client."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.sockets.add(socket)
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
        self.sockets.discard(socket)
        return socket

    async def start(self) -> int:
        """Listen; returns the port."""
        application = web.Application()
        application.router.add_get("/", self.serve)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        return int(runner.addresses[0][1])

    async def publish(self, channel: str, stamp: int) -> Any:
        """One event to every subscriber."""
        ready = text(channel, stamp)
        for socket in self.sockets:
            await socket.send_str(ready)


if __name__ == "__main__":
    main(Sending)
