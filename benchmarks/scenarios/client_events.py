"""Client events: one client to all others in its private channel, beside the same from the server."""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import Self

from benchmarks.harness.bench import MICRO, Bench, World
from benchmarks.harness.load import Visit
from benchmarks.peers.serving import payload

QUESTION = "What does a client event cost, compared with an event of the server?"
UNIT = "µs CPU per delivery"
CHANNEL = "private-bench"
SUBSCRIBE = json.dumps({"event": "pusher:subscribe", "data": {"channel": CHANNEL}})
EVENT = json.dumps({"event": "client-tick", "channel": CHANNEL, "data": payload()})
SENT = 40


def run(bench: Bench) -> None:
    """40 client events of one client to 1,000 others, 1 and 10 in one write."""
    subscribers = bench.size(1000)
    for name in bench.peers("relay_hub"):
        visit = Visit("/app/key?protocol=7", SUBSCRIBE, 2)
        with (
            bench.world(name, subscribers, visit=visit, options={"authorizer": True}) as world,
            Client(world.port) as client,
        ):
            for together in (1, 10):
                case = f"client events, {together} at a time"
                measure = partial(cost, client=client, together=together)
                bench.alternate("client_events", case, UNIT, [world], measure, at=together)


class Client:
    """A raw socket that has subscribed."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(
            b"GET /app/key?protocol=7 HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + masked(SUBSCRIBE)
        )
        seen = b""
        while b"subscription_succeeded" not in seen:
            seen += self._socket.recv(4096)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, frames: bytes) -> None:
        """Send finished frames."""
        self._socket.sendall(frames)


def masked(text: str) -> bytes:
    """A client's text frame; a mask of zeros leaves the text readable."""
    data = text.encode()
    head = bytes((0x81, 0x80 | len(data))) if len(data) < 126 else b"\x81\xfe" + len(data).to_bytes(2, "big")
    return head + bytes(4) + data


def cost(world: World, client: Client, together: int) -> float:
    """Microseconds of CPU for one delivery."""
    before, expected = world.cpu(), world.sinks.frames
    for _ in range(SENT // together):
        client.send(masked(EVENT) * together)
        expected += together * world.subscribers
        world.sinks.wait_for(expected)
    return (world.cpu() - before) * MICRO / (SENT * world.subscribers)
