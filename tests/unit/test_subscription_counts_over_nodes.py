"""Subscription counts are of all nodes: each tells its own subscribers, and the Facts are told once."""

from collections.abc import AsyncIterator, Collection
from functools import partial

import msgspec
import pytest

from relay import Hub
from relay.client import Channel
from relay.cluster.broker import Envelope
from relay.cluster.directory import Beat, Left
from relay.cluster.local import LocalDirectory
from relay.cluster.packing import pack, unpack
from relay.facts import CountChanged
from relay.receipts import Remote
from relay.testing import ManualClock
from relay.testing.asserting import AssertingClient
from relay.testing.engine import Weather
from relay.testing.kit import DEFAULT_APP
from relay.testing.nodes import Nodes, cluster
from tests.property.engines import Pace, SlowDirectory, Wire
from tests.unit.client import Socket, arrive
from tests.unit.test_broken_engines import BreakableBroker, BreakableDirectory
from tests.unit.test_subscription_counts import THE_APP, counts

pytestmark = pytest.mark.every_loop


class TwoNodes:
    """Two nodes on one wire and one directory."""

    def __init__(self, directory: SlowDirectory | None = None) -> None:
        pace = Pace(before=(1,), after=(0,))
        wire, directory = Wire(pace), directory or SlowDirectory(pace)
        self.wire = wire
        self.clocks = [ManualClock(), ManualClock()]
        self.hubs = [Hub(THE_APP, broker=wire.end(), directory=directory, clock=clock) for clock in self.clocks]
        self.facts: list[tuple[int, int]] = []
        """The node that told a Fact, and the count."""
        for number, hub in enumerate(self.hubs):
            hub.on(CountChanged, partial(self.note, number))

    def note(self, number: int, fact: CountChanged) -> None:
        self.facts.append((number, fact.subscription_count))

    async def come(self, number: int, how_many: int = 1) -> list[Socket]:
        sockets = [await arrive(self.hubs[number]) for _ in range(how_many)]
        for socket in sockets:
            await socket.subscribe("orders")
        await self.settle()
        return sockets

    async def say(self, text: bytes, step: int) -> None:
        """A third node tells the others that."""
        envelope = Envelope(app="1001", channel="orders", kind="subscription_count", text=text, step=step)
        await self.wire.end().publish(envelope)

    async def settle(self) -> None:
        for hub in (*self.hubs, *self.hubs):
            await hub.settle()

    async def advance(self, seconds: float) -> None:
        for clock in self.clocks:
            await clock.advance(seconds)
        await self.settle()


@pytest.fixture
async def nodes() -> AsyncIterator[TwoNodes]:
    nodes = TwoNodes()
    async with nodes.hubs[0], nodes.hubs[1]:
        yield nodes
        assert [problem for hub in nodes.hubs for problem in hub.check()] == []


async def test_subscribers_are_counted_and_told_on_every_node(nodes):
    [near], [far] = await nodes.come(0), await nodes.come(1)
    near.disconnect()
    await nodes.settle()
    assert (counts(near.frames()), counts(far.frames())) == ([1, 2], [2, 1])


async def test_a_change_is_a_fact_of_the_node_where_it_happened(nodes):
    [near], [far] = await nodes.come(0), await nodes.come(1)
    for socket in (near, far):
        socket.disconnect()
        await nodes.settle()
    assert nodes.facts == [(0, 1), (1, 2), (0, 1), (1, 0)]


async def test_a_change_is_said_once_between_nodes(nodes):
    said: list[tuple[str, bytes]] = []
    eavesdropper = nodes.wire.end()
    await eavesdropper.start(lambda envelope: said.append((envelope.kind, envelope.text)))
    await eavesdropper.subscribe("1001", "orders")
    await nodes.come(0, 2)
    await nodes.come(1, 60)
    await nodes.come(0, 60)
    await nodes.come(1)
    await nodes.advance(20)
    assert said == [("subscription_count", b'{"subscription_count":%d}' % count) for count in range(1, 124)]


async def test_a_count_that_was_overtaken_by_a_newer_one_is_dropped(nodes):
    [far] = await nodes.come(1)
    far.frames()
    for count, step in ((7, 2000), (6, 1000)):
        text = b'{"subscription_count":%d}' % count
        await nodes.say(text, step)
        await nodes.settle()
    assert counts(far.frames()) == [7]


@pytest.mark.parametrize("text", [b"", b"{}", b"7", b'{"subscription_count":"7"}', b"\xff"])
async def test_a_count_that_is_none_is_dropped(nodes, text):
    [far] = await nodes.come(1)
    far.frames()
    await nodes.say(text, 2000)
    await nodes.settle()
    assert counts(far.frames()) == []


async def test_a_large_channel_rests_on_every_node_and_in_the_facts(nodes):
    near, far = await nodes.come(0, 60), await nodes.come(1, 60)
    for socket in (near[0], far[0]):
        socket.frames()
    nodes.facts.clear()
    for _ in range(3):
        await nodes.come(0)
        await nodes.come(1)
        await nodes.advance(1)
    assert [counts(socket.frames()) for socket in (near[0], far[0])] == [[], []]
    assert nodes.facts == []
    await nodes.advance(5)
    assert [counts(socket.frames()) for socket in (near[0], far[0])] == [[126], [126]]
    assert nodes.facts == [(1, 126)]


async def test_churn_on_a_node_with_nobody_else_in_a_large_channel_is_no_flood_of_facts(nodes):
    await nodes.come(0, 101)
    nodes.facts.clear()
    churning = await arrive(nodes.hubs[1])
    for _ in range(20):
        await churning.subscribe("orders")
        await nodes.settle()
        await churning.unsubscribe("orders")
        await nodes.advance(0.1)
    assert len(nodes.facts) <= 1
    await nodes.advance(5)
    assert len(nodes.facts) <= 2


async def test_the_others_are_told_when_a_node_closes():
    nodes = TwoNodes()
    async with nodes.hubs[1]:
        async with nodes.hubs[0]:
            await nodes.come(0, 101)
            [far] = await nodes.come(1)
        await nodes.advance(5)
        assert counts(far.frames())[-1] == 1


class Uncounting(SlowDirectory):
    """It does not say how many are left."""

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        return msgspec.structs.replace(await super().leave(app, channel, socket_id), count=None)


async def test_a_directory_that_does_not_say_how_many_are_left_is_asked():
    nodes = TwoNodes(Uncounting(Pace(before=(1,), after=(0,))))
    async with nodes.hubs[0], nodes.hubs[1]:
        [near], [far], [other] = await nodes.come(0), await nodes.come(1), await nodes.come(0)
        for socket in (near, far, other):
            socket.disconnect()
            await nodes.settle()
    assert [count for _, count in nodes.facts] == [1, 2, 3, 2, 1, 0]


async def test_without_a_directory_a_node_counts_its_own():
    directory = BreakableDirectory()
    async with Hub(THE_APP, directory=directory, clock=ManualClock()) as hub:
        ada, bob = await arrive(hub), await arrive(hub)
        directory.broken = {"join", "leave", "ask"}
        for socket in (ada, bob):
            await socket.subscribe("orders")
            await hub.settle()
        await bob.unsubscribe("orders")
        await hub.settle()
        assert counts(ada.frames()) == [1, 2, 1]


class Beating(LocalDirectory):
    """It wants a sign of life each second."""

    async def beat(self, apps: Collection[str]) -> Beat:
        return Beat(again=1.0)


class Noting(BreakableBroker):
    """It keeps the kinds of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    async def publish(self, envelope: Envelope) -> Remote:
        remote = await super().publish(envelope)
        self.sent.append(envelope.kind)
        return remote


async def test_the_others_are_made_to_ask_for_a_count_that_they_could_not_be_told():
    broker, clock = Noting(), ManualClock()
    async with Hub(THE_APP, broker=broker, directory=Beating(), clock=clock) as hub:
        broker.broken = {"publish"}
        ada = await arrive(hub)
        await ada.subscribe("orders")
        await clock.advance(1)
        assert (counts(ada.frames()), broker.sent) == ([1], [])
        broker.broken = set()
        await clock.advance(1)
        assert broker.sent == ["roster"]


async def watch(nodes: Nodes, number: int) -> tuple[AssertingClient, Channel]:
    """A client that is in the channel on that node."""
    client = await nodes[number].connect()
    channel = await client.subscribe("orders")
    await nodes.settle()
    return client, channel


@pytest.fixture
async def parted() -> AsyncIterator[Nodes]:
    """Two nodes that the test may kill, part and heal."""
    app = msgspec.structs.replace(DEFAULT_APP, subscription_counts=True, activity_timeout=3600)
    async with cluster(app, nodes=2, weather=Weather(lease=10.0, beat=3.0)) as nodes:
        yield nodes
        await nodes.settle()
        assert nodes.check() == []


async def test_those_of_a_node_that_died_count_until_its_lease_is_over(parted):
    _, channel = await watch(parted, 0)
    for _ in range(3):
        await watch(parted, 1)
    assert channel.subscription_count == 4
    parted.kill(1)
    await parted.advance(20)
    assert channel.subscription_count == 1


async def test_nodes_that_are_parted_and_together_again_know_the_truth_in_the_end(parted):
    _, near = await watch(parted, 0)
    far, _ = await watch(parted, 1)
    parted.part(0)
    await watch(parted, 0)
    await watch(parted, 1)
    await watch(parted, 1)
    await far.unsubscribe("orders")
    await parted.advance(20)
    await parted.heal(0)
    await parted.advance(30)
    assert near.subscription_count == 4
    assert [fact for fact in parted[0].facts if isinstance(fact, CountChanged)][-1].subscription_count == 4


def test_a_count_is_an_envelope_that_engines_can_carry():
    text = b'{"subscription_count":7}'
    envelope = Envelope(app="1001", channel="orders", kind="subscription_count", text=text, step=3)
    assert unpack(pack("node", envelope)).envelope == envelope
