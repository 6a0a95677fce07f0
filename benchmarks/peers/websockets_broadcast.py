"""websockets with its own fan-out: ``broadcast(connections, message)``."""

# Requires: uvloop websockets
from __future__ import annotations

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.serving import Peer, main, text


class Websockets(Peer):
    """No compression and no keepalive, which is its fastest."""

    title = "websockets broadcast"

    def __init__(self) -> None:
        self.connections: set[ServerConnection] = set()

    async def handle(self, connection: ServerConnection) -> None:
        """One client."""
        self.connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self.connections.discard(connection)

    async def start(self) -> int:
        """Listen; returns the port."""
        server = await serve(self.handle, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096)
        return int(next(iter(server.sockets)).getsockname()[1])

    def publish(self, channel: str, stamp: int) -> None:
        """One event to every subscriber."""
        broadcast(self.connections, text(channel, stamp))


if __name__ == "__main__":
    main(Websockets)
