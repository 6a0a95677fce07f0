"""picows: a WebSocket library in Cython; one ``send`` for each listener."""

# Requires: uvloop picows
from __future__ import annotations

from picows import WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.peers.serving import Peer, main, text


class Picows(Peer):
    """A set of transports."""

    title = "picows send"

    def __init__(self) -> None:
        self.transports: set[WSTransport] = set()

    def listen(self, request: WSUpgradeRequest) -> WSListener:
        """One client."""
        transports = self.transports

        class Listener(WSListener):  # type: ignore[misc]  # has no types
            def on_ws_connected(self, transport: WSTransport) -> None:
                transports.add(transport)

            def on_ws_disconnected(self, transport: WSTransport) -> None:
                transports.discard(transport)

        return Listener()

    async def start(self) -> int:
        """Listen; returns the port."""
        server = await ws_create_server(self.listen, "127.0.0.1", 0, backlog=4096)
        return int(server.sockets[0].getsockname()[1])

    def publish(self, channel: str, stamp: int) -> None:
        """One event to every subscriber."""
        ready = text(channel, stamp).encode()
        for transport in self.transports:
            transport.send(WSMsgType.TEXT, ready)


if __name__ == "__main__":
    main(Picows)
