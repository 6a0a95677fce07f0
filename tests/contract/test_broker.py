"""The promises of `relay.cluster.broker.Broker`, for every broker there is.

One of one's own is put to the test by a subclass of `BrokerContract`, or of `WireContract` if it reaches other nodes,
with a fixture `make`: each call gives one more node's broker on the same wire.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from relay.cluster.broker import Broker, Envelope
from relay.cluster.local import LocalBroker
from tests.contract.asking import ask_in_order
from tests.property.engines import Pace, Wire

Make = Callable[[], Awaitable[Broker]]
PAID = Envelope(app="1", channel="orders", text=b'{"event":"paid"}')


def numbered(number: int, *, channel: str = "orders", app: str = "1") -> Envelope:
    return Envelope(app=app, channel=channel, text=b"%d" % number)


class Node:
    """A broker that was started, and what it received."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.received: list[Envelope] = []
        self._news = anyio.Event()

    def receive(self, envelope: Envelope) -> None:
        self.received.append(envelope)
        self._news.set()

    async def heard(self, last: Envelope) -> list[Envelope]:
        """What it received up to `last`, which is on its way."""
        with anyio.fail_after(10):
            while last not in self.received:
                self._news = anyio.Event()
                await self._news.wait()
        return self.received


@asynccontextmanager
async def started(make: Make, *channels: str) -> AsyncIterator[Node]:
    node = Node(await make())
    await node.broker.start(node.receive)
    for channel in channels:
        await node.broker.subscribe("1", channel)
    yield node
    await node.broker.close()


class BrokerContract(ABC):
    """What one node relies on."""

    @pytest.fixture
    @abstractmethod
    def make(self) -> Make:
        """What to test."""

    async def test_what_a_node_publishes_never_comes_back_to_it(self, make):
        async with started(make, "orders") as node:
            assert await node.broker.publish(PAID) in ("none", "sent")
            assert await node.broker.publish(Envelope(app="1", channel="", kind="terminate", user_id="ada")) is not None
        assert node.received == []

    async def test_subscribing_again_and_unsubscribing_twice_is_fine(self, make):
        async with started(make, "orders", "orders") as node:
            for _ in range(2):
                await node.broker.unsubscribe("1", "orders")
            await node.broker.unsubscribe("1", "never")

    async def test_publishing_needs_no_subscription(self, make):
        async with started(make) as node:
            assert await node.broker.publish(PAID) in ("none", "sent")


class WireContract(BrokerContract):
    """What the nodes of a cluster rely on."""

    async def test_an_envelope_arrives_at_the_other_nodes_as_it_was(self, make):
        envelope = Envelope(app="1", channel="orders", text='{"é":"\\n"}'.encode(), socket_id="1.1")
        async with started(make, "orders") as one, started(make, "orders") as two, started(make) as three:
            assert await three.broker.publish(envelope) == "sent"
            assert await one.heard(envelope) == await two.heard(envelope) == [envelope]

    @pytest.mark.parametrize("kind", ["member_added", "member_removed"])
    async def test_news_of_members_travel_like_events(self, make, kind):
        envelope = Envelope(app="1", channel="orders", text=b"{}", kind=kind, user_id="ada", socket_id="1.1")
        async with started(make, "orders") as here, started(make) as there:
            await there.broker.publish(envelope)
            assert await here.heard(envelope) == [envelope]

    async def test_a_termination_reaches_every_node_subscribed_or_not(self, make):
        terminate = Envelope(app="1", channel="", kind="terminate", user_id="ada")
        async with started(make) as here, started(make) as there:
            await there.broker.publish(terminate)
            assert await here.heard(terminate) == [terminate]

    async def test_whatever_is_published_after_a_subscribe_returned_arrives(self, make):
        async with started(make) as here, started(make) as there:
            for number in range(20):
                await here.broker.subscribe("1", f"orders-{number}")
                await there.broker.publish(numbered(number, channel=f"orders-{number}"))
            last = numbered(19, channel="orders-19")
            assert [envelope.text for envelope in await here.heard(last)] == [b"%d" % number for number in range(20)]

    async def test_what_one_node_publishes_to_a_channel_arrives_in_order_and_once(self, make):
        async with started(make, "orders") as here, started(make) as there:
            for number in range(200):
                await there.broker.publish(numbered(number))
            assert [envelope.text for envelope in await here.heard(numbered(199))] == [b"%d" % n for n in range(200)]

    async def test_only_what_was_subscribed_to_arrives(self, make):
        async with started(make, "orders") as here, started(make) as there:
            for envelope in (numbered(1, channel="ORDERS"), numbered(2, channel="orders-2"), numbered(3, app="2")):
                await there.broker.publish(envelope)
            await there.broker.publish(PAID)
            assert await here.heard(PAID) == [PAID]

    async def test_nothing_arrives_after_an_unsubscribe_and_again_after_a_subscribe(self, make):
        async with started(make, "orders", "news") as here, started(make) as there:
            await here.broker.unsubscribe("1", "orders")
            await there.broker.publish(numbered(1))
            await here.broker.subscribe("1", "orders")
            await there.broker.publish(PAID)
            assert await here.heard(PAID) == [PAID]

    async def test_steps_about_one_channel_take_effect_in_the_order_they_were_asked_for(self, make):
        async with started(make) as here, started(make) as there:
            steps = [partial(step, "1", "orders") for step in (here.broker.unsubscribe, here.broker.subscribe)]
            await ask_in_order(*steps * 10)
            await there.broker.publish(PAID)
            assert await here.heard(PAID) == [PAID]

    async def test_nothing_is_received_after_closing(self, make):
        async with started(make, "orders") as witness, started(make) as there:
            async with started(make, "orders") as gone:
                await there.broker.publish(numbered(1))
                await gone.heard(numbered(1))
            await there.broker.publish(PAID)
            await witness.heard(PAID)
            assert gone.received == [numbered(1)]


@pytest.mark.every_loop
class TestLocal(BrokerContract):
    @pytest.fixture
    def make(self) -> Make:
        async def make() -> Broker:
            return LocalBroker()

        return make


@pytest.mark.every_loop
class TestSlow(WireContract):
    """The engine that the gate is tested with keeps the promises too."""

    @pytest.fixture
    def make(self) -> Make:
        wire = Wire(Pace(before=(0, 2, 1), after=(1, 0, 3)))

        async def make() -> Broker:
            return wire.end()

        return make
