"""python-socketio on aiohttp: ``emit`` to everybody."""

# Requires: uvloop python-socketio aiohttp
from __future__ import annotations

from collections.abc import Awaitable

import socketio
from aiohttp import web

from benchmarks.peers.serving import Peer, main, payload


class SocketIo(Peer):
    """WebSocket only, and no compression."""

    title = "python-socketio"
    path = "/socket.io/?EIO=4&transport=websocket"
    hello = "40"
    acks = 2

    def __init__(self) -> None:
        self.server = socketio.AsyncServer(async_mode="aiohttp", http_compression=False, websocket_compression=False)

    async def start(self) -> int:
        """Listen; returns the port."""
        application = web.Application()
        self.server.attach(application)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        return int(runner.addresses[0][1])

    def publish(self, channel: str, stamp: int) -> Awaitable[object]:
        """One event to every subscriber."""
        waiting: Awaitable[object] = self.server.emit("tick", {"channel": channel, "data": payload(stamp)})
        return waiting


if __name__ == "__main__":
    main(SocketIo)
