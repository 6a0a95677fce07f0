"""What a channel's subscribers share in a tick is, for each of them, as if it had got every frame alone: whoever comes
and goes, is left out, gets something of its own in between, is slow or is closed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.backlog import Bounds
from relay.channels import Channel
from relay.fanout import ROOM, Batch, broadcast, fan_out
from relay_transports.aiohttp.outbox import Flusher, SocketTransport
from relay_transports.frames import WEBSOCKET
from relay_transports.inprocess import InProcessTransport
from tests.unit.test_outbox import Wire, tick

SOCKETS = 12
sockets = st.integers(0, SOCKETS - 1)
channels = st.sampled_from(["a", "a", "b"])


@dataclass
class Subscriber:
    """One transport, and the frames that it should have sent."""

    transport: SocketTransport
    wire: Wire
    due: list[bytes]

    @property
    def sent(self) -> bytes:
        return b"".join(self.wire.writes)


class World:
    """Two channels, and what each subscriber should get if nothing were shared."""

    def __init__(self) -> None:
        flusher = Flusher(asyncio.get_running_loop())
        self.channels = {name: Channel[None](name) for name in "ab"}
        self.subscribers = []
        for _ in range(SOCKETS):
            wire = Wire()
            self.subscribers.append(Subscriber(SocketTransport(wire, flusher), wire, []))
        for subscriber in self.subscribers:
            self.join(subscriber, "a")
        self._number = 0

    def join(self, subscriber: Subscriber, name: str) -> None:
        channel = self.channels[name]
        if subscriber.transport not in channel.transports and subscriber.wire.end is None:
            channel.hold(subscriber.transport)
            channel.admit(subscriber.transport, None)

    def leave(self, subscriber: Subscriber, name: str) -> None:
        self.channels[name].remove(subscriber.transport)

    def publish(self, name: str, size: int, excluded: Subscriber | None) -> None:
        text = b"%d " % self._number + b"x" * size
        self._number += 1
        for subscriber in self.subscribers:
            if subscriber is not excluded and subscriber.transport in self.channels[name].transports:
                subscriber.due.append(WEBSOCKET.frame(text))
        fan_out(self.channels[name], text, excluded.transport if excluded else None)

    def reply(self, subscriber: Subscriber) -> None:
        if subscriber.wire.end is None:
            subscriber.due.append(b"reply")
            subscriber.transport.send(b"reply")

    def abort(self, subscriber: Subscriber) -> None:
        for name in self.channels:
            self.leave(subscriber, name)
        subscriber.transport.abort()

    def act(self, act: tuple[str, int, str, int]) -> None:
        verb, number, name, size = act
        subscriber = self.subscribers[number]
        match verb:
            case "publish":
                self.publish(name, size, None)
            case "exclude":
                self.publish(name, size, subscriber)
            case "join":
                self.join(subscriber, name)
            case "leave":
                self.leave(subscriber, name)
            case "reply":
                self.reply(subscriber)
            case "abort":
                self.abort(subscriber)


verbs = ["publish"] * 6 + ["exclude", "join", "leave", "reply", "tick", "tick", "abort"]
sizes = st.sampled_from([0, 10, 10, 10, 200, 5000, ROOM, 70_000])
acts = st.lists(st.tuples(st.sampled_from(verbs), sockets, channels, sizes), max_size=60)


@settings(max_examples=300)
@given(acts)
async def test_everybody_gets_what_it_would_have_got_alone_in_the_same_order(acts):
    world = World()
    for act in acts:
        if act[0] == "tick":
            await tick()
        else:
            world.act(act)
    await tick()
    for subscriber in world.subscribers:
        if subscriber.wire.end is None:
            assert subscriber.sent == b"".join(subscriber.due)
        else:
            assert b"".join(subscriber.due).startswith(subscriber.sent)


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=30), st.integers(500, 60_000), st.sampled_from([0, 100, 400])
)
async def test_what_waits_for_one_who_does_not_read_stays_within_its_bounds(events, bound, stuck):
    channel, flusher = Channel[None]("a"), Flusher(asyncio.get_running_loop())
    overflows: defaultdict[int, int] = defaultdict(int)
    transports = []
    for number in range(SOCKETS):
        wire = Wire()
        transport = SocketTransport(wire, flusher)

        def overflow(number: int = number) -> None:
            overflows[number] += 1

        transport.bound(Bounds(bound), overflow, lambda _: None)
        channel.hold(transport)
        channel.admit(transport, None)
        transports.append(transport)
        transport.send(b".")
        wire.stuck = stuck
    await tick()
    for size in events:
        fan_out(channel, b"x" * size)
        assert all(transport.backlog <= bound for transport in transports)
    together = sum(len(WEBSOCKET.frame(b"x" * size)) for size in events) + stuck
    assert set(overflows.values()) == (set() if together <= bound else {1})


def members(count: int, transports: Sequence[InProcessTransport | SocketTransport] = ()) -> Channel[None]:
    channel = Channel[None]("a")
    for transport in (*transports, *(InProcessTransport() for _ in range(count))):
        channel.hold(transport)
        channel.admit(transport, None)
    return channel


async def test_subscribers_of_different_kinds_get_everything_each_in_its_way():
    wires, flusher = [Wire() for _ in range(10)], Flusher(asyncio.get_running_loop())
    socket_transports = [SocketTransport(wire, flusher) for wire in wires]
    channel = members(10, socket_transports)
    for text in (b"one", b"two", b"three"):
        fan_out(channel, text)
    await tick()
    assert {wire.writes[0] for wire in wires} == {b"".join(map(WEBSOCKET.frame, (b"one", b"two", b"three")))}
    for transport in channel.transports:
        if isinstance(transport, InProcessTransport):
            assert [transport.take() for _ in range(4)] == [b"one", b"two", b"three", None]


async def test_all_write_the_very_same_bytes():
    flusher = Flusher(asyncio.get_running_loop())
    channel = members(0, [SocketTransport(Wire(), flusher) for _ in range(10)])
    fan_out(channel, b"one")
    fan_out(channel, b"two")
    batch = channel.batch
    assert isinstance(batch, Batch)
    assert batch.joined() is batch.joined()
    assert not batch.add(b"three")


async def test_a_few_subscribers_share_nothing_since_that_would_cost_more():
    flusher = Flusher(asyncio.get_running_loop())
    channel = members(0, [SocketTransport(Wire(), flusher) for _ in range(2)])
    fan_out(channel, b"one")
    assert channel.batch is None


def test_an_event_for_nobody_is_no_event():
    fan_out(members(0), b"one")
    broadcast([], b"one")
