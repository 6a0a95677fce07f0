"""Client events: one client to all others in its private channel, beside the same from the server."""

from __future__ import annotations

import json
from functools import partial
from typing import Self

from benchmarks.harness.bench import MICRO, Bench, World
from benchmarks.harness.load import pusher
from benchmarks.harness.slow_load import TEXT, UPGRADE, dial, frame
from benchmarks.peers.serving import PUSHER_PATH, payload, pusher_hello

QUESTION = "What does a client event cost, compared with an event of the server?"
UNIT = "µs CPU per delivery"
CHANNEL = "private-bench"
EVENT = json.dumps({"event": "client-tick", "channel": CHANNEL, "data": payload()}).encode()
SENT = 40


def run(bench: Bench) -> None:
    """40 client events of one client to 1,000 others, 1 and 10 in one write."""
    subscribers = bench.size(1000)
    for name in bench.peers("relay_hub"):
        visit = pusher(CHANNEL)
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
        self._socket = dial(port)
        self._socket.sendall(UPGRADE.format(PUSHER_PATH).encode() + frame(TEXT, pusher_hello(CHANNEL).encode()))
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


def cost(world: World, client: Client, together: int) -> float:
    """Microseconds of CPU for one delivery."""
    before, expected = world.cpu(), world.sinks.frames
    for _ in range(SENT // together):
        client.send(frame(TEXT, EVENT) * together)
        expected += together * world.subscribers
        world.sinks.wait_for(expected)
    return (world.cpu() - before) * MICRO / (SENT * world.subscribers)
