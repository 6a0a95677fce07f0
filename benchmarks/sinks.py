"""Subscribers that cost little: raw sockets that count bytes, in a process of their own.

Run as ``python -m benchmarks.sinks``: one JSON line on stdin says what to open, then every byte received is added
to a counter in a shared file, so that a server can wait until all of it arrived without asking.
"""

from __future__ import annotations

import json
import mmap
import os
import selectors
import socket
import struct
import sys
from typing import TypedDict

HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Order(TypedDict):
    """What to open: ``subscribers`` sockets to ``port``; with ``path`` they speak WebSocket and subscribe."""

    port: int
    subscribers: int
    path: str
    channel: str
    counter: str
    core: int


def masked(text: bytes) -> bytes:
    """A client's text frame; a mask of zeros leaves the text readable."""
    size = len(text)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + struct.pack(">H", size)
    return head + b"\0\0\0\0" + text


def read_frame(stream: socket.SocketIO) -> bytes:
    """One server frame's payload."""
    size = (stream.read(2) or b"\0\0")[1]
    if size == 126:
        size = struct.unpack(">H", stream.read(2) or b"")[0]
    return stream.read(size) or b""


def subscribe(port: int, path: str, channel: str) -> socket.socket:
    """A socket that is subscribed, everything up to the acknowledgement read."""
    connection = socket.create_connection(("127.0.0.1", port))
    if not path:
        return connection
    connection.sendall(HANDSHAKE % path.encode())
    # Unbuffered, so that no byte after the acknowledgement is swallowed.
    stream = connection.makefile("rb", buffering=0)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.read(1)
    read_frame(stream)
    text = json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}}).encode()
    connection.sendall(masked(text))
    acknowledgement = read_frame(stream)
    if b"subscription_succeeded" not in acknowledgement:
        raise RuntimeError(f"not subscribed: {acknowledgement!r}")
    return connection


def main() -> None:
    """Open what the order says, print READY, count until stdin closes."""
    order: Order = json.loads(sys.stdin.readline())
    if order["core"] >= 0:
        os.sched_setaffinity(0, {order["core"]})
    selector = selectors.EpollSelector()
    for _ in range(order["subscribers"]):
        connection = subscribe(order["port"], order["path"], order["channel"])
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, connection)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print("READY", flush=True)
    buffer = bytearray(1 << 18)
    received = 0
    with open(order["counter"], "r+b") as file, mmap.mmap(file.fileno(), 8) as counter:  # noqa: PTH123
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return
                received += key.data.recv_into(buffer)
            struct.pack_into("<Q", counter, 0, received)


if __name__ == "__main__":
    main()
