"""What the assertions of `relay.testing` say, and that they wait for work, never for time."""

import asyncio
import re
import threading

import anyio
import anyio.lowlevel
import pytest

from relay import App, UsageError
from relay.client import QueueOverflow, Settings
from relay.testing import Faults


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture
async def orders(relay):
    return await (await relay.connect()).subscribe("orders")


@pytest.fixture
async def waits(anyio_backend, monkeypatch):
    """The seconds that the loop meant to wait for something, one entry each time; of asyncio's own loop."""
    waited: list[float | None] = []
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to see it
    select = selector.select

    def note(timeout: float | None = None) -> object:
        if timeout is None or timeout > 0:
            waited.append(timeout)
        return select(timeout)

    monkeypatch.setattr(selector, "select", note)
    return waited


async def publish_after(hub, turns, event="paid"):
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    await hub.trigger("orders", event, {"id": 7})


# expect


@pytest.mark.every_loop
async def test_expect_takes_the_first_unread_event_of_that_name_and_leaves_the_others(relay, orders):
    for event, data in [("paid", 1), ("packed", 2), ("paid", 3)]:
        await relay.hub.trigger("orders", event, data)
    assert (await orders.expect("packed")).data == 2
    assert [(await orders.expect("paid")).data for _ in range(2)] == [1, 3]
    await orders.expect_nothing()


@pytest.mark.every_loop
async def test_expect_says_what_it_saw_instead_and_where_the_event_went(relay, orders):
    await relay.hub.trigger("orders", "packed", {"id": 7})
    await relay.hub.trigger(["refunds", "audit"], "paid", "")
    with pytest.raises(
        AssertionError,
        match=exactly("expected paid on orders, saw [packed {'id': 7}]; paid was published to audit, refunds"),
    ):
        await orders.expect("paid")


@pytest.mark.every_loop
async def test_expect_says_that_nobody_published(orders):
    with pytest.raises(
        AssertionError, match=exactly("expected paid on orders, saw []; paid was published to no channel")
    ):
        await orders.expect("paid")


@pytest.mark.every_loop
async def test_expect_says_who_was_excluded_by_socket_id(relay, orders):
    payer = await relay.connect()
    mine = await payer.subscribe("orders")
    await relay.hub.trigger("orders", "paid", "", socket_id=payer.socket_id)
    with pytest.raises(
        AssertionError, match=exactly("expected paid on orders, saw []; connection 2 was excluded by socket_id")
    ):
        await mine.expect("paid")


@pytest.mark.every_loop
async def test_expect_says_that_the_client_does_not_read(relay):
    faults = Faults()
    orders = await (await relay.connect(faults=faults)).subscribe("orders")
    faults.stall()
    await relay.hub.trigger("orders", "paid", "")
    with pytest.raises(AssertionError, match=r"saw \[\]; connection 1 does not read: stall\(\)$"):
        await orders.expect("paid")


@pytest.mark.every_loop
async def test_expect_of_a_client_event_does_not_speak_of_publishing(relay):
    ada = await (await relay.connect()).subscribe("private-room")
    with pytest.raises(AssertionError, match=exactly("expected client-typing on private-room, saw []")):
        await ada.expect("client-typing")


# Nothing more can come


@pytest.mark.every_loop
async def test_expect_on_a_channel_that_was_left_says_so(relay, orders):
    await orders.unsubscribe()
    with pytest.raises(AssertionError, match=r"saw \[\] \(no more can come: ended\)"):
        await orders.expect("paid")


@pytest.mark.every_loop
async def test_expect_on_a_closed_connection_says_how_it_was_closed(relay):
    ghost = await relay.connect(answer_pings=False)
    orders = await ghost.subscribe("orders")
    await relay.clock.advance(150)
    with pytest.raises(AssertionError, match=r"saw \[\] \(no more can come: the connection is closed: 4201 .*\)"):
        await orders.expect("paid")


async def test_what_cannot_come_any_more_fails_at_once_however_long_one_would_wait(orders, waits):
    await orders.unsubscribe()
    with pytest.raises(AssertionError):
        await orders.expect("paid", within=60)
    assert waits == []


async def test_no_assertion_waits_for_time(relay, orders, waits):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep, 60)
        with pytest.raises(AssertionError):
            await orders.expect("paid")
        await orders.expect_nothing()
        await relay.clients[0].expect_nothing()
        with pytest.raises(AssertionError):
            await relay.clients[0].expect_closed()
        tasks.cancel_scope.cancel()
    assert waits == []


# Many events


@pytest.mark.every_loop
async def test_of_many_events_the_first_and_last_are_shown_and_those_lost_are_counted(relay, orders):
    await relay.hub.trigger("orders", "paid", 0)
    for number in range(1200):
        await relay.hub.trigger("orders", "tick", number)
    ends = (", ".join(f"tick {n}" for n in numbers) for numbers in (range(200, 205), range(1195, 1200)))
    saw = f"saw [{next(ends)}, ... 990 events ..., {next(ends)}]; 201 more were lost, the queue holds max_queued=1000"
    with pytest.raises(AssertionError, match=exactly(f"expected paid on orders, {saw}")):
        await orders.expect("paid")
    with pytest.raises(AssertionError, match=exactly(f"expected nothing on orders, {saw}")):
        await orders.expect_nothing()


@pytest.mark.every_loop
async def test_long_data_is_cut_in_messages(relay, orders):
    await relay.hub.trigger("orders", "tick", "x" * 5000)
    with pytest.raises(AssertionError, match=r"saw \[tick 'x{299}\.\.\.\]"):
        await orders.expect("paid")


@pytest.mark.every_loop
async def test_nothing_was_lost_where_everything_was_read(relay):
    client = await relay.connect(settings=Settings(max_queued=1, reconnect=None))
    orders = await client.subscribe("orders")
    for number in range(2):
        await relay.hub.trigger("orders", "paid", number)
    assert (await orders.expect("paid")).data == 1
    with pytest.raises(AssertionError, match=r"saw \[\]; 1 more were lost"):
        await orders.expect_nothing()
    with pytest.raises(QueueOverflow):
        await anext(orders)
    await orders.expect_nothing()


# What happens in the protocol


@pytest.mark.every_loop
async def test_members_that_come_and_go_may_be_expected_and_are_no_events(relay):
    ada, bob = await relay.connect(), await relay.connect()
    room = await ada.subscribe("presence-room", user_id="ada")
    await bob.subscribe("presence-room", user_id="bob")
    await room.expect_nothing()
    assert (await room.expect("pusher:member_added")).data.id == "bob"
    with pytest.raises(AssertionError, match=exactly("expected pusher:member_added on presence-room, saw []")):
        await room.expect("pusher:member_added")
    await bob.close()
    assert (await room.expect("pusher:member_removed")).data.id == "bob"
    assert (await room.expect("pusher:subscription_succeeded")).data.count == 1


# Callbacks that fail


def failing(event):
    assert event.data == "right", f"got {event.data}"


async def failing_later(event):
    await anyio.lowlevel.checkpoint()
    failing(event)


def failing_by_pytest(event):
    pytest.fail(f"got {event.data}")


@pytest.mark.every_loop
@pytest.mark.parametrize("callback", [failing, failing_later, failing_by_pytest])
@pytest.mark.parametrize("assertion", ["settle", "expect", "expect_nothing", "expect_closed"])
async def test_what_a_callback_raises_is_raised_by_the_next_assertion(relay, orders, callback, assertion):
    other = await relay.clients[0].subscribe("other")
    orders.bind("paid", callback)
    await relay.hub.trigger("orders", "paid", "wrong")
    await orders.expect("paid") if callback is failing_later else None
    await relay.hub.settle()
    acts = {
        "settle": relay.settle,
        "expect": lambda: other.expect("paid"),
        "expect_nothing": other.expect_nothing,
        "expect_closed": relay.clients[0].expect_closed,
    }
    with pytest.raises((AssertionError, pytest.fail.Exception), match="got wrong") as raised:
        await acts[assertion]()
    assert {"failing", "failing_by_pytest"} & {entry.name for entry in raised.traceback}
    await other.expect_nothing()  # it is told once


@pytest.mark.every_loop
async def test_of_several_failures_the_first_is_raised_and_the_others_are_counted(relay, orders):
    orders.bind("paid", failing)
    for number in range(3):
        await relay.hub.trigger("orders", "paid", number)
    with pytest.raises(AssertionError, match="got 0") as raised:
        await relay.settle()
    [note] = raised.value.__notes__
    assert note.startswith("2 more callbacks failed after this one, the last with AssertionError('got 2")


# The code under test gets its chance


@pytest.mark.every_loop
@pytest.mark.parametrize("turns", [0, 1, 3, 30, 300])
async def test_expect_lets_tasks_of_the_code_under_test_run(relay, orders, turns):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publish_after, relay.hub, turns)
        assert (await orders.expect("paid")).data == {"id": 7}


@pytest.mark.every_loop
@pytest.mark.parametrize("turns", [0, 1, 3, 30, 300])
async def test_expect_nothing_finds_what_a_task_is_about_to_publish(relay, orders, turns):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publish_after, relay.hub, turns)
        with pytest.raises(AssertionError, match=exactly("expected nothing on orders, saw [paid {'id': 7}]")):
            await orders.expect_nothing()


@pytest.mark.every_loop
async def test_expect_lets_one_task_wake_the_next(relay, orders):
    steps = [anyio.Event() for _ in range(20)]

    async def pass_on(number):
        await steps[number].wait()
        if number + 1 < len(steps):
            steps[number + 1].set()
        else:
            await relay.hub.trigger("orders", "paid", "")

    async with anyio.create_task_group() as tasks:
        for number in range(len(steps)):
            tasks.start_soon(pass_on, number)
        steps[0].set()
        await orders.expect("paid")


@pytest.mark.every_loop
async def test_expect_waits_within_for_what_happens_outside_the_loop(relay, orders):
    async with anyio.create_task_group() as tasks:
        ready = threading.Event()

        async def publish():
            await anyio.to_thread.run_sync(ready.wait)
            await relay.hub.trigger("orders", "paid", "")

        tasks.start_soon(publish)
        with pytest.raises(AssertionError):
            await orders.expect("paid")
        ready.set()
        await orders.expect("paid", within=10)


@pytest.mark.every_loop
async def test_a_task_that_never_waits_is_named_instead_of_hanging(relay, orders, monkeypatch):
    monkeypatch.setattr("relay.testing.asserting._PATIENCE", 0.05)

    async def spin():
        while True:
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spin, name="the spinner")
        with pytest.raises(TimeoutError, match=r"a task never waits, .* the spinner"):
            await orders.expect_nothing()
        tasks.cancel_scope.cancel()


# expect_nothing, expect_closed, published


@pytest.mark.every_loop
async def test_expect_nothing_counts_what_was_read_as_read(relay, orders):
    await relay.hub.trigger("orders", "paid", "")
    await anext(orders)
    await orders.expect_nothing()


@pytest.mark.every_loop
async def test_expect_nothing_of_a_client_names_channel_and_connection(relay, orders):
    other = await relay.connect()
    await other.subscribe("refunds")
    await relay.hub.trigger("refunds", "paid", 1)
    await relay.clients[0].expect_nothing()
    with pytest.raises(AssertionError, match=exactly("expected nothing for connection 2, saw [paid 1] on refunds")):
        await other.expect_nothing()


@pytest.mark.every_loop
async def test_expect_closed_tells_code_and_reason(relay):
    ghost = await relay.connect(answer_pings=False)
    with pytest.raises(AssertionError, match=exactly("expected connection 1 to be closed, it is connected")):
        await ghost.expect_closed()
    await relay.clock.advance(150)
    with pytest.raises(
        AssertionError,
        match=exactly("expected connection 1 to be closed with 4009, it was closed with 4201 Pong reply not received"),
    ):
        await ghost.expect_closed(4009)
    assert (await ghost.expect_closed(4201)).reason


@pytest.mark.every_loop
async def test_expect_closed_waits_for_work_under_way(relay):
    client = await relay.connect()
    await client.signin("7")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay.hub.terminate_user_connections, "7")
        await client.expect_closed(4009)


@pytest.mark.every_loop
async def test_published_is_filtered_by_channel_and_event(relay):
    await relay.hub.trigger(["orders", "audit"], "paid", {"id": 7}, socket_id="1.2")
    await relay.hub.trigger("orders", "packed", "plain text")
    assert [(each.event, each.data, each.socket_id) for each in relay.published("orders")] == [
        ("paid", {"id": 7}, "1.2"),
        ("packed", "plain text", None),
    ]
    assert [each.event for each in relay.published(event="packed")] == ["packed"]
    assert relay.published("audit", "packed") == []


@pytest.mark.every_loop
async def test_each_app_has_its_own_publishes(relay_factory):
    shop, bank = App(id="1", key="shop", secret="s"), App(id="2", key="bank", secret="s")
    kit = relay_factory(shop, bank)
    client, other = await kit.connect("shop"), await kit.connect("bank")
    orders, others = await client.subscribe("orders"), await other.subscribe("orders")
    await kit.hub.trigger("orders", "paid", 7, app=shop)
    assert [publish.app for publish in kit.published("orders")] == ["1"]
    assert len(kit.published(app=shop)) == len(kit.published("orders", "paid", app="1")) == 1
    assert kit.published(app=bank) == []
    await orders.expect("paid")
    with pytest.raises(
        AssertionError,
        match=exactly("expected paid on orders, saw []; paid was published for App 1, connection 2 is of App 2"),
    ):
        await others.expect("paid")


@pytest.mark.every_loop
async def test_clients_that_connect_together_have_numbers_of_their_own(relay):
    connecting = [relay.connect() for _ in range(3)]
    clients = [await each for each in connecting]
    assert [client.number for client in clients] == [1, 2, 3]
    assert {entry.connection for entry in relay.transcript} == {1, 2, 3}


@pytest.mark.every_loop
async def test_subscribing_to_presence_without_saying_who_one_is_says_how(relay):
    with pytest.raises(UsageError, match=r"presence-room is a presence channel: pass user_id="):
        await (await relay.connect()).subscribe("presence-room")
