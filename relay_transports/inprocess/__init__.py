"""Clients in the hub's own process: the same session code and the same bytes as a socket, minus the socket.

Runs on asyncio and trio.
"""

from relay_transports.inprocess.client import connect
from relay_transports.inprocess.raw import RawClient, connect_raw
from relay_transports.inprocess.transport import InProcessTransport, Tap

__all__ = ["InProcessTransport", "RawClient", "Tap", "connect", "connect_raw"]
