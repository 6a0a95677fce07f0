"""Callbacks: told in order, one at a time, filtered; bounded; and what one does wrong stays its own affair."""

from __future__ import annotations

import logging
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from relay import App, Hub, Listener, UsageError
from relay.facts import (
    ChannelOccupied,
    ChannelVacated,
    Connected,
    Fact,
    MemberAdded,
    MemberRemoved,
    Missed,
    Published,
    Subscribed,
    UserOffline,
    UserOnline,
)
from relay.testing import ManualClock
from tests.unit.client import APP, arrive

pytestmark = pytest.mark.every_loop

OTHER = App(id="2", key="other-key", secret="other-secret")


@pytest.fixture
def hub() -> Hub:
    return Hub(APP, OTHER, clock=ManualClock())


async def occupy(hub: Hub, *channels: str, app: App = APP) -> None:
    socket = await arrive(hub, app)
    for channel in channels:
        await socket.subscribe(channel, "ada" if channel.startswith("presence-") else None)


async def test_an_async_callback_is_done_when_the_hub_has_settled(hub):
    done: list[str] = []

    async def slowly(fact: ChannelOccupied) -> None:
        await anyio.lowlevel.checkpoint()
        done.append(fact.channel)

    hub.on(ChannelOccupied, slowly)  # before the hub runs
    async with hub:
        await occupy(hub, "a", "b")
        await hub.settle()
        assert done == ["a", "b"]


async def test_an_async_callback_works_in_a_stepped_hub(hub):
    done: list[str] = []

    async def slowly(fact: ChannelOccupied) -> None:
        await anyio.lowlevel.checkpoint()
        done.append(fact.channel)

    hub.on(ChannelOccupied, slowly)
    hub.step()
    await occupy(hub, "a", "b")
    assert done == []
    await hub.settle()
    hub.close()
    assert done == ["a", "b"]


async def test_one_call_of_an_async_callback_ends_before_the_next_begins(hub):
    running, story = [0], []

    async def slowly(fact: Fact) -> None:
        running[0] += 1
        story.append((type(fact), running[0]))
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running[0] -= 1

    hub.on(Fact, slowly)
    async with hub:
        await occupy(hub, "a")
        await hub.settle()
        assert story == [(Connected, 1), (Subscribed, 1), (ChannelOccupied, 1)]


async def test_what_a_plain_function_returns_is_awaited_too(hub):
    done: list[str] = []

    async def note(prefix: str, fact: ChannelOccupied) -> None:
        done.append(prefix + fact.channel)

    hub.on(ChannelOccupied, partial(note, "by partial: "))
    hub.on(ChannelOccupied, lambda fact: note("by lambda: ", fact))
    async with hub:
        await occupy(hub, "a")
        await hub.settle()
        assert sorted(done) == ["by lambda: a", "by partial: a"]


@pytest.mark.parametrize(
    ("app", "channel", "heard"),
    [
        (None, None, ["a", "private-a", "private-b", "a"]),
        (APP, None, ["a", "private-a", "private-b"]),
        ("2", None, ["a"]),
        (None, "private-*", ["private-a", "private-b"]),
        (APP, "a", ["a"]),
        (OTHER, "private-*", []),
    ],
)
async def test_a_callback_hears_of_the_app_and_the_channels_it_asked_for(hub, app, channel, heard):
    names: list[str] = []
    hub.on(ChannelOccupied, lambda fact: names.append(fact.channel), app=app, channel=channel)
    async with hub:
        await occupy(hub, "a", "private-a", "private-b")
        await occupy(hub, "a", app=OTHER)
        assert names == heard


async def test_a_publish_to_several_channels_is_heard_if_one_of_them_is_meant(hub):
    heard: list[str] = []
    hub.on(Published, lambda fact: heard.append(fact.event), channel="private-*")
    async with hub:
        await hub.trigger(["a", "private-a"], "both", "", app=APP)
        await hub.trigger(["a", "b"], "neither", "", app=APP)
        assert heard == ["both"]


async def test_a_fact_about_every_app_reaches_those_who_asked_for_one(hub):
    heard: list[Fact] = []
    hub.on(Missed, heard.append, app=APP)
    fact = Missed(app="", time=0.0, listener="somebody", count=1)
    hub.journal.record(fact)
    hub.journal.record(Missed(app="2", time=0.0, listener="somebody", count=1))
    assert heard == [fact]


@pytest.mark.parametrize("limit", [0, -1])
async def test_what_could_never_be_heard_is_refused(hub, limit):
    with pytest.raises(UsageError, match="UserOffline is about no channel"):
        hub.on(UserOffline, print, channel="private-*")
    with pytest.raises(UsageError, match="no App with id '3' in this hub, only 1001, 2"):
        hub.on(UserOffline, print, app="3")
    with pytest.raises(UsageError, match=f"limit must be a whole number above 0, got {limit}"):
        hub.on(UserOffline, print, limit=limit)


async def test_decorators_say_what_they_hear(hub):
    told: list[tuple[str, str]] = []

    @hub.on_user_online
    async def online(fact: UserOnline) -> None:
        told.append(("online", fact.user_id))

    @hub.on_user_offline
    async def offline(fact: UserOffline) -> None:
        told.append(("offline", fact.user_id))

    @hub.on_member_added
    def added(fact: MemberAdded) -> None:
        told.append(("added", fact.channel))

    @hub.on_member_removed
    def removed(fact: MemberRemoved) -> None:
        told.append(("removed", fact.channel))

    @hub.on(ChannelVacated, channel="presence-*")
    def vacated(fact: ChannelVacated) -> None:
        told.append(("vacated", fact.channel))

    async with hub:
        socket = await arrive(hub, APP)
        await socket.subscribe("presence-room", "ada")
        await hub.settle()
        assert sorted(told) == [("added", "presence-room"), ("online", "ada")]
        told.clear()
        socket.disconnect()
        await hub.settle()
        assert told == [("removed", "presence-room"), ("vacated", "presence-room")]
        await hub.clock.advance(APP.offline_grace)
        assert told[2:] == [("offline", "ada")]


async def test_a_callback_that_raises_is_logged_and_neither_the_client_nor_other_callbacks_notice(hub, caplog):
    heard: list[Subscribed] = []

    def fails(fact: Subscribed) -> None:
        raise ValueError("a mistake")

    async def fails_later(fact: Subscribed) -> None:
        await anyio.lowlevel.checkpoint()
        raise ValueError("another mistake")

    hub.on(Subscribed, fails)
    hub.on(Subscribed, fails_later)
    hub.on(Subscribed, heard.append)
    async with hub:
        await occupy(hub, "a", "b")
        await hub.settle()
        assert ([fact.channel for fact in heard], hub.check()) == (["a", "b"], [])
    records = [record for record in caplog.records if record.name == "relay.listeners"]
    assert [record.fact for record in records] == ["Subscribed"] * 4
    assert {record.listener.rpartition(".")[2] for record in records} == {"fails", "fails_later"}
    assert not any("channel" in str(vars(record)) and record.levelno < logging.ERROR for record in records)


async def test_each_hears_everything_in_order_though_a_callback_makes_things_happen(hub):
    first: list[type[Fact]] = []
    second: list[type[Fact]] = []
    async with hub:
        socket = await arrive(hub, APP)
        hub.on(Fact, lambda fact: first.append(type(fact)))
        hub.on(Subscribed, lambda _: socket.disconnect())
        hub.on(Fact, lambda fact: second.append(type(fact)))
        await socket.subscribe("a")
        await hub.settle()
        assert first == second
        assert first[0] is Subscribed


async def test_a_callback_that_stopped_hears_nothing_that_is_still_to_be_told(hub):
    heard: list[Connected] = []
    listeners: list[Listener[Connected]] = []
    hub.on(Connected, lambda _: listeners[0]())
    listeners.append(hub.on(Connected, heard.append))
    async with hub:
        await arrive(hub, APP)
        assert heard == []


async def test_a_callback_that_is_stopped_ends_the_call_it_is_in_and_no_more_begin(hub):
    begun: list[str] = []
    ended: list[str] = []

    async def once(fact: ChannelOccupied) -> None:
        begun.append(fact.channel)
        stop()
        await anyio.lowlevel.checkpoint()
        ended.append(fact.channel)

    stop = hub.on(ChannelOccupied, once)
    async with hub:
        await occupy(hub, "a", "b", "c")
        await hub.settle()
        assert (begun, ended) == (["a"], ["a"])


async def test_a_callback_that_lags_is_told_how_much_it_missed_and_gets_the_newest(hub, caplog):
    done: list[str] = []
    missed: list[Missed] = []

    async def slowly(fact: ChannelOccupied) -> None:
        done.append(fact.channel)

    listener = hub.on(ChannelOccupied, slowly, limit=2)
    hub.on(Missed, missed.append)
    hub.step()  # nothing runs until it settles
    await occupy(hub, *"abcde")
    await hub.settle()
    hub.close()
    assert (done, listener.missed) == (["d", "e"], 3)
    assert [(fact.app, fact.count) for fact in missed] == [("", 3)]
    assert missed[0].listener.endswith("slowly")
    assert "a listener is too slow and missed facts" in caplog.text


async def test_callbacks_that_lag_behind_each_others_losses_come_to_an_end(hub):
    async def slowly(fact: Fact) -> None:
        await anyio.lowlevel.checkpoint()

    listeners = [hub.on(Fact, slowly, limit=1) for _ in range(2)]
    hub.step()
    await occupy(hub, *"abc")
    await hub.settle()
    hub.close()
    assert all(listener.missed for listener in listeners)


async def test_a_callback_that_waits_slows_nobody(hub):
    go_on = anyio.Event()
    begun: list[str] = []

    async def waits(fact: ChannelOccupied) -> None:
        begun.append(fact.channel)
        await go_on.wait()

    hub.on(ChannelOccupied, waits)
    async with hub:
        socket = await arrive(hub, APP)
        await socket.subscribe("a")
        for number in range(3):
            await hub.trigger("a", "paid", str(number), app=APP)
        assert [frame.data for frame in socket.frames()][1:] == [0, 1, 2]
        go_on.set()
        await hub.settle()
        assert begun == ["a"]


async def test_callbacks_hear_of_the_end_though_the_hub_is_cancelled(hub):
    heard: list[str] = []

    async def slowly(fact: ChannelVacated) -> None:
        await anyio.lowlevel.checkpoint()
        heard.append(fact.channel)

    hub.on(ChannelVacated, slowly)
    for _ in range(2):  # a hub may run again
        async with anyio.create_task_group() as tasks:
            await tasks.start(hub.run)
            await occupy(hub, "a")
            tasks.cancel_scope.cancel()
    assert heard == ["a", "a"]
    assert hub.check() == []


async def test_an_async_callback_that_never_comes_to_its_turn_leaves_no_warning_behind(hub):
    async def never(fact: Fact) -> None:
        raise AssertionError("nobody settled this hub")

    hub.on(Fact, never)
    hub.step()
    await occupy(hub, "a")
    hub.close()
    assert not hub.running


async def test_a_callback_that_hangs_does_not_outlive_a_hub_that_is_cancelled(hub):
    begun: list[str] = []

    async def hangs(fact: ChannelOccupied) -> None:
        begun.append(fact.channel)
        await anyio.sleep_forever()

    stop = hub.on(ChannelOccupied, hangs)
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        await occupy(hub, "a", "b", "c")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert begun == ["a"]
    stop()

    heard: list[str] = []
    hub.on(ChannelOccupied, lambda fact: heard.append(fact.channel))
    async with hub:  # it may run again
        await occupy(hub, "d")
        await hub.settle()
    assert (heard, begun) == (["d"], ["a"])


async def test_a_call_that_ends_by_itself_as_cancelled_stops_no_other(hub):
    done: list[str] = []

    async def gives_up(fact: ChannelOccupied) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        done.append(fact.channel)

    hub.on(ChannelOccupied, gives_up)
    async with hub:
        await occupy(hub, "a", "b")
        await hub.settle()
        assert done == ["a", "b"]
