"""socketify: uWebSockets (C++) under Python, with its own publish and subscribe."""

# Requires: uvloop socketify
from __future__ import annotations

import asyncio
import socket
from typing import Any

from socketify import App, AppListenOptions, CompressOptions, OpCode

from benchmarks.peers.serving import Peer, main, text


class Socketify(Peer):
    """Topics of uWebSockets; a subscriber's channel is its path."""

    title = "socketify publish"
    channels = True

    def __init__(self, channel: str = "bench") -> None:
        self.path = "/" + channel
        self.app: Any = None

    async def start(self) -> int:
        """Listen; returns the port. Its loop is turned by ours."""
        self.app = App()
        behaviour = {
            "compression": CompressOptions.DISABLED,
            "max_backpressure": 64 << 20,
            "idle_timeout": 0,
            "upgrade": self.upgrade,
            "open": lambda ws: ws.subscribe(ws.get_user_data()),
        }
        self.app.ws("/*", behaviour)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        self.app.listen(AppListenOptions(port=port, host="127.0.0.1"), lambda _: None)
        # What its App.run does, but for running a loop of its own.
        if self.app._ws_factory is not None:  # noqa: SLF001
            self.app._ws_factory.populate()  # noqa: SLF001
        self.app.loop.started = True
        asyncio.get_running_loop().call_soon(self.app.loop._keep_alive)  # noqa: SLF001
        return port

    def upgrade(self, response: Any, request: Any, context: Any) -> None:
        """Let a client in, with its channel."""
        key, protocol, extensions = (
            request.get_header("sec-websocket-" + name) for name in ("key", "protocol", "extensions")
        )
        response.upgrade(key, protocol, extensions, context, request.get_url().lstrip("/"))

    def publish(self, channel: str, stamp: int) -> None:
        """One event to every subscriber."""
        self.app.publish(channel, text(channel, stamp), OpCode.TEXT)


if __name__ == "__main__":
    main(Socketify)
