"""Clients in the hub's own process: the same session code and the same bytes as a socket, minus the socket.

Runs on asyncio and trio.
"""

from relay_transports.inprocess_next.client import connect
from relay_transports.inprocess_next.raw import RawClient, connect_raw
from relay_transports.inprocess_next.transport import InProcessTransport, Tap

__all__ = ["InProcessTransport", "RawClient", "Tap", "connect", "connect_raw"]
