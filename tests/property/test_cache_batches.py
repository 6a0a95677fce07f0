"""A large cache channel, whose subscribers share what they get in a tick, while envelopes of another node overtake each
other: each subscriber gets the very bytes that it should, and nothing older than what it was given first.
"""

import asyncio
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from relay import Hub
from relay.cluster.broker import Envelope
from relay.cluster.directory import Retention
from relay.cluster.local import LocalDirectory
from relay.protocol import messages
from relay_transports.aiohttp.outbox import Flusher, SocketTransport
from relay_transports.frames import WEBSOCKET
from tests.property import engines
from tests.unit.client import APP, say
from tests.unit.test_outbox import Wire, tick

BUS = "cache-bus"
KEPT = Retention(ttl=60, max_channels=10, max_bytes=10_000)
FIRST = 9
"""Subscribers at the beginning, enough to share."""


@dataclass
class Subscriber:
    """What was written to one socket, the texts it should have got, and the step of the event it was given first."""

    wire: Wire
    due: list[bytes]
    given: int


class World:
    """One hub; the other node is played by the test."""

    def __init__(self) -> None:
        self.directory = LocalDirectory()
        self.broker = engines.Wire(engines.Pace((0,), (0,))).end()
        self.hub = Hub(APP, broker=self.broker, directory=self.directory)
        self.flusher = Flusher(asyncio.get_running_loop())
        self.subscribers: list[Subscriber] = []
        self.pending: list[Envelope] = []
        self._number = 0

    async def remember(self) -> None:
        """The other node remembers an event; its envelope is on its way."""
        self._number += 1
        text = messages.event("n", BUS, str(self._number))
        step = await self.directory.remember(APP.id, BUS, text, now=self.hub.clock.time(), retention=KEPT)
        self.pending.append(Envelope(app=APP.id, channel=BUS, text=text, step=step))

    def arrive(self, which: int) -> None:
        """One of the envelopes on their way arrives."""
        if self.pending:
            envelope = self.pending.pop(which % len(self.pending))
            self.broker.take(envelope)
            for subscriber in self.subscribers:
                if envelope.step > subscriber.given:
                    subscriber.due.append(envelope.text)

    async def join(self) -> None:
        wire = Wire()
        connection = await self.hub.connect(APP.key, SocketTransport(wire, self.flusher))
        await connection.receive(say("pusher:subscribe", {"channel": BUS}))
        last = await self.directory.recall(APP.id, BUS, now=self.hub.clock.time())
        due = [
            messages.connection_established(connection.socket_id, APP.activity_timeout),
            messages.subscription_succeeded(BUS),
            last.text if last else messages.cache_miss(BUS),
        ]
        self.subscribers.append(Subscriber(wire, due, last.step if last else 0))


@given(st.lists(st.tuples(st.sampled_from(["remember", "arrive", "join", "tick"]), st.integers(0, 5)), max_size=40))
async def test_every_subscriber_of_a_large_channel_gets_the_bytes_it_should(story):
    world = World()
    async with world.hub:
        for _ in range(FIRST):
            await world.join()
        for what, which in story:
            match what:
                case "remember":
                    await world.remember()
                case "arrive":
                    world.arrive(which)
                case "join":
                    await world.join()
                case _:
                    await tick()
        await tick()
        for subscriber in world.subscribers:
            assert b"".join(subscriber.wire.writes) == b"".join(map(WEBSOCKET.frame, subscriber.due))
