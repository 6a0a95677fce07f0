"""Starlette on uvicorn with its fastest parts (uvloop, websockets): ``send_text`` for each WebSocket."""

# Requires: uvloop starlette uvicorn websockets
from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.peers.serving import Peer, main, text


class StarlettePeer(Peer):
    """An endpoint that waits, and a set of sockets."""

    title = "Starlette on uvicorn"

    def __init__(self) -> None:
        self.sockets: set[WebSocket] = set()
        self._serving: asyncio.Task[None] | None = None

    async def serve(self, websocket: WebSocket) -> None:
        """One client."""
        await websocket.accept()
        self.sockets.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            self.sockets.discard(websocket)

    async def start(self) -> int:
        """Listen; returns the port."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        application = Starlette(routes=[WebSocketRoute("/", self.serve)])
        settings = uvicorn.Config(
            application, log_level="critical", ws_per_message_deflate=False, ws_ping_interval=None, lifespan="off"
        )
        self._serving = asyncio.ensure_future(uvicorn.Server(settings).serve(sockets=[listening]))
        return int(listening.getsockname()[1])

    async def publish(self, channel: str, stamp: int) -> Any:
        """One event to every subscriber."""
        ready = text(channel, stamp)
        for websocket in self.sockets:
            await websocket.send_text(ready)


if __name__ == "__main__":
    main(StarlettePeer)
