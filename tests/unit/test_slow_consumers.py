"""What a hub tells about clients that do not keep up: receipts, facts, counts, and nothing to their neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay import App, Event, Hub, Member
from relay.backlog import Policy
from relay.facts import Disconnected, EventsLost, SlowConsumer
from relay.metrics import Stats
from relay.testing import Faults, Kit
from relay_transports.inprocess import connect_raw as connect

DROPPING: list[Policy] = ["drop_oldest", "latest_only"]
PAID = "x" * 50
pytestmark = [pytest.mark.every_loop, pytest.mark.parametrize("policy", DROPPING)]


def app(policy: Policy, *, max_backlog: int = 100_000, max_backlog_frames: int = 10) -> App:
    return App(
        id="1",
        key="k",
        secret="s",
        slow_consumers=policy,
        max_backlog=max_backlog,
        max_backlog_frames=max_backlog_frames,
    )


def losses(hub: Hub) -> Iterator[tuple[str, int, str]]:
    return ((fact.socket_id, fact.count, fact.policy) for fact in hub.journal if isinstance(fact, EventsLost))


async def test_client_that_does_not_read_stays_and_gets_the_newest_when_it_reads_on(policy):
    async with Hub(app(policy)) as hub, connect(hub) as slow:
        await slow.subscribe("orders")
        for number in range(50):
            await hub.trigger("orders", "paid", str(number))
        await hub.settle()
        assert (await slow.received())[-1].data == 49
        await hub.trigger("orders", "paid", "50")
        assert [event.data for event in await slow.received()] == [50]
        assert (slow.closed, hub.check()) == (None, [])


async def test_neighbour_notices_nothing(policy):
    async with Hub(app(policy)) as hub, connect(hub) as slow, connect(hub) as neighbour:
        for client in (slow, neighbour):
            await client.subscribe("orders")
        await neighbour.received()
        for number in range(50):
            await hub.trigger("orders", "paid", str(number))
            assert [event.data for event in await neighbour.received()] == [number]
        await hub.settle()
        assert {socket_id for socket_id, _, _ in losses(hub)} == {slow.socket_id}


async def test_every_event_that_is_lost_is_in_receipts_in_facts_and_in_the_stats(policy):
    async with Hub(app(policy)) as hub, connect(hub) as slow:
        await slow.subscribe("orders")
        receipts = [await hub.trigger("orders", "paid", str(number)) for number in range(50)]
        await hub.settle()
        lost = 51 - len(await slow.received())  # with the acknowledgement
        assert lost > 0
        assert sum(receipt.lost for receipt in receipts) == lost
        assert sum(count for _, count, _ in losses(hub)) == lost
        assert (hub.stats().lost, hub.stats(app="1").lost) == (lost, lost)
        assert {receipt.channels["orders"].refused for receipt in receipts} == {0}


async def test_what_one_client_lost_in_one_go_is_one_fact(policy):
    async with Hub(app(policy)) as hub, connect(hub) as slow:
        await slow.subscribe("orders")
        receipts = await hub.trigger_batch([Event("orders", "paid", str(number)) for number in range(50)])
        await hub.settle()
        assert list(losses(hub)) == [(slow.socket_id, sum(receipt.lost for receipt in receipts), policy)]


async def test_count_of_what_was_lost_outlives_the_client(policy):
    async with Hub(app(policy)) as hub:
        async with connect(hub) as slow:
            await slow.subscribe("orders")
            await hub.trigger_batch([Event("orders", "paid", str(number)) for number in range(50)])
        facts = [type(fact) for fact in hub.journal]
        assert facts.index(EventsLost) < facts.index(Disconnected)
        assert hub.stats() == Stats(lost=sum(count for _, count, _ in losses(hub)))


async def test_news_of_members_and_answers_all_come(policy):
    async with Hub(app(policy)) as hub, connect(hub) as slow, connect(hub) as other:
        await slow.subscribe("presence-room", Member("slow"))
        await slow.subscribe("orders")
        for number in range(50):
            await hub.trigger("orders", "paid", str(number))
        await other.subscribe("presence-room", Member("other"))
        await slow.send('{"event":"pusher:ping"}')
        names = [event.event for event in await slow.received() if event.event != "paid"]
        answer = "pusher_internal:subscription_succeeded"
        assert names == [answer, answer, "pusher_internal:member_added", "pusher:pong"]


async def test_client_is_closed_with_4100_when_answers_alone_are_too_much(policy):
    async with Hub(app(policy)) as hub, connect(hub) as slow:
        for _ in range(11):
            await slow.send('{"event":"pusher:ping"}')
        await hub.settle()
        assert slow.closed is not None
        assert (slow.closed.code, [type(fact) for fact in hub.journal][-2:]) == (4100, [SlowConsumer, Disconnected])
        assert [event.event for event in await slow.received()] == ["pusher:pong"] * 10


async def test_bytes_are_bounded_too(policy):
    async with Hub(app(policy, max_backlog=2000, max_backlog_frames=1000)) as hub, connect(hub) as slow:
        await slow.subscribe("orders")
        receipts = [await hub.trigger("orders", f"paid-{number}", PAID) for number in range(50)]
        assert (receipts[0].lost, receipts[-1].lost) == (0, 1)
        assert (await slow.received())[-1].event == "paid-49"


async def test_client_of_a_test_that_stalled_gets_the_newest_when_it_reads_on(policy):
    kit, faults = Kit(app(policy)), Faults()
    client = await kit.connect(faults=faults)
    orders = await client.subscribe("orders")
    faults.stall()
    for number in range(50):
        await kit.hub.trigger("orders", "paid", number)
    faults.resume()
    await kit.settle()
    seen = [event.data for event in orders.queued()]
    assert (seen[-1], seen, client.closed) == (49, sorted(set(seen)), None)
    kit.close()
