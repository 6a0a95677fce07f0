"""Clocks: the machine's, and the one that tests move."""

from functools import partial

import anyio
import pytest

from relay import App, Hub
from relay.clock import SystemClock
from relay.testing import ManualClock

APP = App(id="1", key="k", secret="s")


def test_a_manual_clock_stands_still():
    clock = ManualClock(unix=1000.0)
    assert (clock.now(), clock.time()) == (0.0, 1000.0)
    assert (clock.now(), clock.time()) == (0.0, 1000.0)


@pytest.mark.every_loop
async def test_advancing_moves_both_times_by_the_seconds_given():
    clock = ManualClock(unix=1000.0)
    await clock.advance(2.5)
    await clock.advance(0)
    assert (clock.now(), clock.time()) == (2.5, 1002.5)


@pytest.mark.every_loop
async def test_time_does_not_go_back():
    clock = ManualClock()
    with pytest.raises(ValueError, match="time does not go back"):
        await clock.advance(-1)
    assert clock.now() == 0.0


@pytest.mark.every_loop
async def test_what_is_due_on_the_way_happens_in_order_each_at_its_own_time():
    clock = ManualClock()
    happened: list[object] = []
    async with Hub(APP, clock=clock) as hub:
        for when in (30.0, 10.0, 20.0, 10.0, 50.0):
            hub.call_at(when, lambda when=when: happened.append((when, clock.now())))  # type: ignore[misc]
        await clock.advance(40)
        assert happened == [(10.0, 10.0), (10.0, 10.0), (20.0, 20.0), (30.0, 30.0)]
        assert clock.now() == 40.0
        await clock.advance(10)
        assert happened[-1] == (50.0, 50.0)


@pytest.mark.every_loop
async def test_what_is_set_up_on_the_way_happens_on_the_same_way_if_it_is_due():
    clock = ManualClock()
    happened: list[object] = []
    async with Hub(APP, clock=clock) as hub:

        def again() -> None:
            happened.append(clock.now())
            hub.call_at(clock.now() + 10, again)

        hub.call_at(10, again)
        await clock.advance(35)
        assert happened == [10.0, 20.0, 30.0]


@pytest.mark.every_loop
async def test_what_was_taken_back_does_not_happen():
    clock = ManualClock()
    happened: list[object] = []
    async with Hub(APP, clock=clock) as hub:
        take_back = hub.call_at(10, lambda: happened.append("no"))
        take_back()
        take_back()
        await clock.advance(20)
        assert happened == []


@pytest.mark.every_loop
async def test_two_hubs_on_one_clock_share_its_time_in_order():
    clock = ManualClock()
    happened: list[object] = []
    async with Hub(APP, clock=clock) as one, Hub(APP, clock=clock) as two:
        for hub, when in ((one, 30.0), (two, 20.0), (one, 10.0)):
            hub.call_at(when, partial(happened.append, when))
        await clock.advance(30)
        assert happened == [10.0, 20.0, 30.0]


@pytest.mark.every_loop
async def test_a_hub_that_stopped_is_waited_for_no_more():
    clock = ManualClock()
    happened: list[object] = []
    async with Hub(APP, clock=clock) as hub:
        hub.call_at(10, lambda: happened.append("no"))
    with anyio.fail_after(5):
        await clock.advance(20)
    assert happened == []


@pytest.mark.every_loop
@pytest.mark.parametrize("clock", [ManualClock(), SystemClock()])
async def test_waiting_ends_at_once_when_the_time_has_come_or_the_event_is_set(clock):
    with anyio.fail_after(5):
        await clock.wait(anyio.Event(), clock.now())
        event = anyio.Event()
        event.set()
        await clock.wait(event, None)
        await clock.wait(event, clock.now() + 1000)


def test_the_machines_clock_never_goes_back_and_knows_the_date():
    clock = SystemClock()
    assert clock.now() <= clock.now()
    assert clock.time() > 1_700_000_000
