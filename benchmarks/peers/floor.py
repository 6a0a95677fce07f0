"""The floor: a finished frame to ``transport.write`` of each socket, and nothing else."""

# Requires: uvloop  # noqa: ERA001
from __future__ import annotations

import asyncio

from benchmarks.peers.serving import Peer, main, text


def frame(payload: bytes) -> bytes:
    """A server's text frame."""
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


class Connection(asyncio.Protocol):
    """One socket."""

    def __init__(self, transports: list[asyncio.BaseTransport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transports.append(transport)


class Floor(Peer):
    """Writes, and nothing else."""

    title = "transport.write (floor)"
    path = ""

    def __init__(self) -> None:
        self._transports: list[asyncio.BaseTransport] = []
        self._frame = frame(text().encode())

    async def start(self) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self._transports), "127.0.0.1", 0, backlog=4096)
        return int(server.sockets[0].getsockname()[1])

    def publish(self, channel: str, stamp: int) -> None:
        """One event to every subscriber."""
        ready = frame(text(channel, stamp).encode()) if stamp else self._frame
        for transport in self._transports:
            transport.write(ready)  # type: ignore[attr-defined]  # uvloop's is no subclass of asyncio's


if __name__ == "__main__":
    main(Floor)
