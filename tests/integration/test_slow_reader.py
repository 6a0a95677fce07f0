"""A client that does not read: bounded, counted, told so and let go, while its neighbour gets everything."""

from __future__ import annotations

import asyncio
import json

import anyio
import pytest

from relay import App, ChannelReceipt, Event, Hub, Member
from relay.facts import Disconnected, SlowConsumer
from relay.testing import ManualClock
from tests.integration import wire
from tests.integration.bad_frames import say, subscribe
from tests.integration.raw import InProcessTransport, connect, ended
from tests.integration.serving import serving
from tests.integration.wire import CLOSE, TEXT, Closed, Wire

BOUND = 1000
pytestmark = pytest.mark.usefixtures("nothing_crashes")
APP = App(id="1", key="k", secret="s", max_backlog=BOUND)
SLOW = "Slow consumer: too much is waiting for this connection"
TOO_SLOW = (4100, SLOW)
PAID = "x" * 60


# In the hub's own process


@pytest.mark.every_loop
async def test_client_that_does_not_read_is_closed_with_4100_and_its_neighbour_gets_everything():
    async with Hub(APP) as hub, connect(hub) as slow, connect(hub) as neighbour:
        await slow.subscribe("orders")
        await neighbour.subscribe("orders")
        seen = []
        for number in range(50):
            await hub.trigger("orders", "paid", str(number))
            await hub.settle()
            seen += [event.data for event in await neighbour.received() if event.event == "paid"]
        assert seen == list(range(50))
        assert (ended(slow), ended(neighbour)) == (TOO_SLOW, None)
        assert (hub.stats().connections, hub.check()) == (1, [])


@pytest.mark.every_loop
async def test_what_waits_for_a_client_never_exceeds_the_bound():
    transport = InProcessTransport()
    async with Hub(APP) as hub:
        connection = await hub.connect("k", transport)
        await connection.receive(subscribe("orders"))
        for _ in range(50):
            await hub.trigger("orders", "paid", PAID)
            assert transport.backlog <= BOUND
        assert transport.backlog > BOUND / 2


@pytest.mark.every_loop
async def test_slow_client_still_gets_in_order_what_was_queued_for_it():
    async with Hub(APP) as hub, connect(hub) as slow:
        await slow.subscribe("orders")
        for number in range(50):
            await hub.trigger("orders", "paid", str(number))
        got = [event.data for event in (await slow.received())[1:]]
        assert 0 < len(got) < 50
        assert got == list(range(len(got)))


@pytest.mark.every_loop
async def test_slow_client_is_a_fact_with_what_was_waiting():
    async with Hub(APP) as hub, connect(hub) as slow:
        await slow.subscribe("orders")
        for _ in range(50):
            await hub.trigger("orders", "paid", PAID)
        await hub.settle()
        (fact,) = [fact for fact in hub.journal if isinstance(fact, SlowConsumer)]
        assert (fact.socket_id, fact.app) == (slow.socket_id, "1")
        assert BOUND / 2 < fact.backlog <= BOUND
        (end,) = [fact for fact in hub.journal if isinstance(fact, Disconnected)]
        assert (end.code, end.reason) == (4100, SLOW)


@pytest.mark.every_loop
async def test_receipt_counts_who_could_take_no_more_as_refused():
    async with Hub(APP) as hub, connect(hub) as slow, connect(hub) as neighbour:
        await slow.subscribe("orders")
        await neighbour.subscribe("orders")
        while (receipt := (await hub.trigger("orders", "paid", PAID)).channels["orders"]).refused == 0:
            assert (receipt.matched, receipt.queued) == (2, 2)
            await neighbour.received()
        assert (receipt.matched, receipt.queued, receipt.refused) == (2, 1, 1)


@pytest.mark.every_loop
async def test_no_receipt_after_the_refusal_says_that_the_client_gets_the_event():
    async with Hub(APP) as hub, connect(hub) as slow:
        await slow.subscribe("orders")
        receipts = await hub.trigger_batch([Event("orders", "paid", PAID)] * 50)
        got = len([event for event in await slow.received() if event.event == "paid"])
        assert sum(receipt.delivered for receipt in receipts) == got


@pytest.mark.every_loop
async def test_one_event_above_the_bound_is_refused_whole():
    app = App(id="1", key="k", secret="s", max_backlog=200)
    async with Hub(app) as hub, connect(hub) as client:
        await client.subscribe("orders")
        await client.received()
        receipt = await hub.trigger("orders", "paid", "x" * 200)
        await hub.settle()
        assert (receipt.delivered, await client.received()) == (0, [])
        assert ended(client) == TOO_SLOW


@pytest.mark.every_loop
async def test_client_that_keeps_reading_is_never_slow():
    async with Hub(APP) as hub, connect(hub) as client:
        await client.subscribe("orders")
        for _ in range(200):
            assert (await hub.trigger("orders", "paid", PAID)).delivered == 1
            await client.received()
        assert ended(client) is None


@pytest.mark.every_loop
async def test_client_that_asks_without_reading_the_answers_is_closed_too():
    async with Hub(APP, clock=ManualClock()) as hub, connect(hub) as client:
        with anyio.fail_after(10):
            while ended(client) is None:
                await client.send(say("pusher:ping"))
                await hub.settle()
        assert ended(client) == TOO_SLOW


@pytest.mark.every_loop
async def test_slow_member_is_removed_from_its_presence_channel():
    async with Hub(APP) as hub, connect(hub) as slow, connect(hub) as neighbour:
        await neighbour.subscribe("presence-room", Member("neighbour"))
        await slow.subscribe("presence-room", Member("slow"))
        for _ in range(50):
            await hub.trigger("presence-room", "paid", PAID)
            await neighbour.received()
        await hub.settle()
        assert [event.data for event in await neighbour.received()] == [{"user_id": "slow"}]
        assert await hub.members("presence-room") == [Member("neighbour")]


@pytest.mark.every_loop
async def test_events_held_for_a_joining_client_are_bounded_too():
    may_answer = anyio.Event()

    async def authorize(channel: str) -> bool:
        await may_answer.wait()
        return True

    transport = InProcessTransport()
    async with Hub(APP) as hub, anyio.create_task_group() as tasks:
        connection = await hub.connect("k", transport, authorize=authorize)
        tasks.start_soon(connection.receive, subscribe("private-room"))
        await anyio.wait_all_tasks_blocked()
        receipts = await hub.trigger_batch([Event("private-room", "paid", PAID)] * 50)
        may_answer.set()
        assert sum(receipt.delivered for receipt in receipts) * len(PAID) <= BOUND


# Over a socket

URL = "/app/k?protocol=7"
SOCKET_APP = App(id="1", key="k", secret="s", max_backlog=1 << 20, max_event_bytes=20_000)
BIG = "x" * 10_000


async def listening(socket: Wire, channel: str) -> None:
    """Read the greeting, subscribe, and read the acknowledgement."""
    await socket.event()
    socket.send(subscribe(channel))
    assert (await socket.event())["event"] == "pusher_internal:subscription_succeeded"


async def events_and_end(socket: Wire) -> tuple[list[int], Closed]:
    """The numbers of all the events that come, and the close frame after them."""
    numbers = []
    while (frame := await socket.receive()).opcode == TEXT:
        numbers.append(int(json.loads(frame.payload)["data"].rstrip("x")))
    assert frame.opcode == CLOSE
    return numbers, Closed(int.from_bytes(frame.payload[:2], "big"), frame.payload[2:].decode())


async def test_socket_that_does_not_read_is_closed_with_4100_and_its_neighbour_gets_everything():
    hub, facts = Hub(SOCKET_APP), list[SlowConsumer]()
    hub.on(SlowConsumer, facts.append)
    async with (
        serving(hub) as served,
        wire.websocket(served.port, URL, receive_buffer=4096) as slow,
        wire.websocket(served.port, URL) as neighbour,
    ):
        await listening(slow, "orders")
        await listening(neighbour, "orders")
        receipts: list[ChannelReceipt] = []
        while not facts:
            receipts.append((await hub.trigger("orders", "paid", f"{len(receipts)}{BIG}")).channels["orders"])
            assert (await neighbour.event())["data"] == f"{len(receipts) - 1}{BIG}"
        assert [receipt.refused for receipt in receipts] == [0] * (len(receipts) - 1) + [1]
        assert facts[0].backlog <= SOCKET_APP.max_backlog
        assert (hub.stats().connections, hub.check()) == (1, [])
        assert await events_and_end(slow) == (list(range(len(receipts) - 1)), Closed(4100, SLOW))


async def test_socket_that_reads_each_burst_is_not_slow_however_many_there_are():
    hub = Hub(App(id="1", key="k", secret="s", max_backlog=4_200_000, max_event_bytes=20_000))
    async with serving(hub) as served, wire.websocket(served.port, URL, receive_buffer=4096) as socket:
        await listening(socket, "orders")
        for _ in range(3):
            receipts = await hub.trigger_batch([Event("orders", "paid", f"{number}{BIG}") for number in range(400)])
            assert sum(receipt.delivered for receipt in receipts) == 400
            for number in range(400):
                assert (await socket.event())["data"] == f"{number}{BIG}"


async def test_socket_that_reads_nothing_does_not_hold_up_a_shutdown():
    hub = Hub(SOCKET_APP)
    async with serving(hub) as served, wire.websocket(served.port, URL, receive_buffer=4096) as slow:
        await listening(slow, "orders")
        await hub.trigger_batch([Event("orders", "paid", BIG)] * 90)
        async with asyncio.timeout(10):
            await served.runner.cleanup()
