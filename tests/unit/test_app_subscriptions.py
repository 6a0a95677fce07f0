"""Application code as a subscriber: it sees what clients see, counts as nobody, and slows nobody."""

from __future__ import annotations

import gc
import weakref

import anyio
import msgspec
import pytest

from relay import App, EventStream, FellBehind, Hub, HubClosed, UsageError
from relay.backlog import Policy
from relay.facts import ChannelOccupied, Missed
from relay.metrics import Stats
from relay.testing import ManualClock
from tests.unit.client import APP, arrive
from tests.unit.test_nodes import two_nodes

pytestmark = pytest.mark.every_loop

KEY = "dGVzdC1tYXN0ZXIta2V5LXRlc3QtbWFzdGVyLWtleSE="


@pytest.fixture
def hub() -> Hub:
    return Hub(APP, clock=ManualClock())


def slow(policy: Policy, *, frames: int = 4, size: int = 1000) -> Hub:
    app = App(id="1", key="k", secret="s", slow_consumers=policy, max_backlog=size, max_backlog_frames=frames)
    return Hub(app, clock=ManualClock())


async def take(events: EventStream, count: int) -> list[object]:
    return [(await anext(events)).data for _ in range(count)]


async def publish(hub: Hub, count: int, channel: str = "orders") -> None:
    for number in range(count):
        await hub.trigger(channel, "paid", number)


class Order(msgspec.Struct):
    id: int
    note: str = ""


async def test_it_sees_every_event_of_its_channels_in_order(hub):
    async with hub, hub.subscribe("orders", "news") as events:
        await hub.trigger(["orders", "elsewhere", "news"], "paid", {"id": 7})
        await hub.trigger("news", "told", "plain")
        seen = [await anext(events) for _ in range(3)]
        assert [(event.channel, event.event, event.data) for event in seen] == [
            ("orders", "paid", {"id": 7}),
            ("news", "paid", {"id": 7}),
            ("news", "told", "plain"),
        ]
        assert seen[0].decode(Order) == Order(7)
        with pytest.raises(msgspec.ValidationError):
            seen[2].decode(Order)


async def test_a_pattern_matches_channels_that_are_there_and_those_to_come(hub):
    async with hub:
        await (await arrive(hub)).subscribe("private-old")
        async with hub.subscribe("private-*", "private-new", "order?") as events:
            for channel in ("private-old", "private-new", "orders", "orderly", "private-new", "#server-to-user-1"):
                await hub.trigger(channel, "paid", channel)
            assert await take(events, 4) == ["private-old", "private-new", "orders", "private-new"]
            await hub.send_to_user("1", "paid", "")
            await hub.trigger("orders", "last", "")
            assert (await anext(events)).event == "last"


async def test_it_sees_client_events_and_who_sent_them(hub):
    async with hub, hub.subscribe("presence-room") as events:
        socket = await arrive(hub)
        await socket.subscribe("presence-room", "ada")
        await socket.say("client-typing", {"n": 1}, "presence-room")
        event = await anext(events)
        assert (event.event, event.data, event.user_id) == ("client-typing", {"n": 1}, "ada")


async def test_what_a_socket_is_excluded_from_it_sees(hub):
    async with hub, hub.subscribe("orders") as events:
        socket = await arrive(hub)
        await socket.subscribe("orders")
        await hub.trigger("orders", "paid", 1, socket_id=socket.id)
        assert await take(events, 1) == [1]


async def test_encrypted_data_comes_decrypted():
    pytest.importorskip("nacl")
    app = App(id="1", key="k", secret="s", encryption_master_key=KEY)
    async with Hub(app) as hub, hub.subscribe("private-encrypted-*") as events:
        await hub.trigger("private-encrypted-a", "paid", {"id": 7})
        event = await anext(events)
        assert (event.decode(Order), b"ciphertext" in event.text) == (Order(7), True)


async def test_it_counts_as_nobody(hub):
    async with hub, hub.subscribe("orders", "presence-room", "*"):
        receipt = await hub.trigger("orders", "paid", "", info=["subscription_count"])
        assert (receipt.delivered, receipt.channels["orders"].matched) == (0, 0)
        assert receipt.info == {"orders": {"subscription_count": 0}}
        assert (await hub.channels(), await hub.members("presence-room")) == ({}, [])
        assert (hub.stats(), hub.check()) == (Stats(), [])
        assert not any(isinstance(fact, ChannelOccupied) for fact in hub.journal)


async def test_several_have_each_its_own_events(hub):
    async with hub, hub.subscribe("orders") as one, hub.subscribe("*") as other:
        await publish(hub, 2)
        assert (await take(one, 2), await take(other, 2)) == ([0, 1], [0, 1])


@pytest.mark.parametrize("channels", [(), ("not a channel",), ("",), ("orders", "b/c")])
async def test_what_is_no_channel_is_refused(hub, channels):
    async with hub:
        with pytest.raises(UsageError, match="channel"):
            async with hub.subscribe(*channels):
                pass


async def test_a_hub_that_does_not_run_has_no_subscribers(hub):
    with pytest.raises(HubClosed):
        async with hub.subscribe("orders"):
            pass


async def test_the_iteration_ends_with_the_hub_after_what_waits(hub):
    seen: list[object] = []
    async with hub, hub.subscribe("orders") as events:
        await publish(hub, 2)
        hub.close()
        seen += [event.data async for event in events]
    assert seen == [0, 1]


async def test_a_reader_that_is_cancelled_loses_nothing(hub):
    async with hub, hub.subscribe("orders") as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, events)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        await publish(hub, 1)
        assert await take(events, 1) == [0]


async def come_and_go(hub: Hub) -> weakref.ref[EventStream]:
    async with hub.subscribe("orders", "o*") as events:
        await hub.trigger("orders", "paid", "")
        with anyio.move_on_after(0):
            await take(events, 2)
    return weakref.ref(events)


async def test_subscriptions_that_ended_are_not_kept(hub):
    async with hub:
        kept = [await come_and_go(hub) for _ in range(100)]
        await hub.settle()
        gc.collect()
        assert not any(ref() for ref in kept)


# Readers that are too slow


async def test_with_disconnect_a_slow_reader_gets_what_waited_and_an_error_that_says_what_was_lost():
    async with slow("disconnect") as hub, hub.subscribe("orders") as events:
        await publish(hub, 10)
        assert await take(events, 4) == [0, 1, 2, 3]
        with pytest.raises(FellBehind, match="reader of orders fell behind and lost 6 events") as caught:
            await anext(events)
        assert (caught.value.lost, caught.value.channels) == (6, "orders")
        await publish(hub, 1)
        assert [event async for event in events] == []


async def test_the_bound_in_bytes_holds_too():
    async with slow("disconnect", frames=1000, size=200) as hub, hub.subscribe("orders") as events:
        await hub.trigger("orders", "paid", "x" * 100)
        await hub.trigger("orders", "paid", "x" * 100)
        assert await take(events, 1) == ["x" * 100]
        with pytest.raises(FellBehind):
            await anext(events)


async def test_with_drop_oldest_a_slow_reader_gets_the_newest_and_goes_on():
    async with slow("drop_oldest") as hub, hub.subscribe("orders") as events:
        await publish(hub, 10)
        assert await take(events, 4) == [0, 1, 8, 9]  # half of what may wait is handed on already
        await publish(hub, 1)
        assert (await take(events, 1), events.lost) == ([0], 6)


async def test_with_latest_only_a_slow_reader_gets_the_newest_of_each_name():
    async with slow("latest_only") as hub, hub.subscribe("orders") as events:
        for number in range(10):
            await hub.trigger("orders", f"kind-{number % 2}", number)
        assert (await take(events, 4), events.lost) == ([0, 1, 8, 9], 6)


@pytest.mark.parametrize(("policy", "lost"), [("disconnect", 6), ("drop_oldest", 6), ("latest_only", 7)])
async def test_losses_are_facts_and_counted_and_no_clients(policy, lost):
    async with slow(policy) as hub, hub.subscribe("orders", "o*"):
        client = await arrive(hub)
        await client.subscribe("orders")
        receipts = []
        for number in range(10):
            receipts.append(await hub.trigger("orders", "paid", number))
            assert client.events()[-1] == "paid"
        await hub.settle()
        (fact,) = [fact for fact in hub.journal if isinstance(fact, Missed)]
        assert (fact.app, fact.count, fact.listener) == ("1", lost, "a subscription to orders, o*")
        assert hub.stats().lost == lost
        assert sum(receipt.lost for receipt in receipts) == 0


async def test_a_reader_that_is_given_up_is_told_of_once():
    async with slow("disconnect") as hub, hub.subscribe("orders"):
        for _ in range(3):
            await publish(hub, 5)
            await hub.settle()
        assert [fact.count for fact in hub.journal if isinstance(fact, Missed)] == [1]
        assert hub.stats().lost == 11


# Several nodes


async def test_what_another_node_publishes_to_a_channel_that_is_named_is_seen():
    async with two_nodes() as (here, there), here.subscribe("orders") as events:
        await publish(there, 3)
        assert await take(events, 3) == [0, 1, 2]


async def test_a_pattern_sees_what_its_node_hears_anyway():
    async with two_nodes() as (here, there), here.subscribe("*") as events:
        await there.trigger("orders", "paid", "unheard")
        socket = await arrive(here)
        await socket.subscribe("orders")
        await there.trigger("orders", "paid", "heard")
        await here.trigger("news", "paid", "our own")
        assert await take(events, 2) == ["heard", "our own"]


async def test_the_last_client_that_leaves_does_not_take_the_channel_from_application_code():
    async with two_nodes() as (here, there), here.subscribe("orders") as events:
        socket = await arrive(here)
        await socket.subscribe("orders")
        await socket.unsubscribe("orders")
        await here.settle()
        await publish(there, 1)
        assert await take(events, 1) == [0]


async def test_application_code_that_leaves_does_not_take_the_channel_from_a_client():
    async with two_nodes() as (here, there):
        socket = await arrive(here)
        async with here.subscribe("orders", "news"):
            await socket.subscribe("orders")
        await here.settle()
        await publish(there, 1)
        assert socket.events()[-1] == "paid"
