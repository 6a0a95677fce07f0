"""Sending clients away a few at a time."""

from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import Hub
from relay.draining import schedule
from relay.errors import Disconnect, UsageError
from relay.health import Readiness
from relay.testing import ManualClock
from relay_transports.inprocess import InProcessTransport
from tests.unit.client import APP, Socket, arrive

pytestmark = pytest.mark.every_loop


@given(st.integers(0, 100_000), st.floats(0, 3600))
def test_everybody_goes_evenly_and_in_time(count, over):
    sizes = schedule(count, over)
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    assert (len(sizes) - 1) * 0.05 <= over
    assert count < 5 or max(sizes) >= 4  # nobody waits for fewer than 100 a second


def gone(sockets: list[Socket]) -> int:
    return sum(not socket.open for socket in sockets)


async def test_clients_go_evenly_over_the_window_and_get_everything_until_then():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, anyio.create_task_group() as tasks:
        sockets = [await arrive(hub) for _ in range(1000)]
        for socket in sockets:
            await socket.subscribe("orders")
        tasks.start_soon(hub.drain, 5.0)
        await clock.advance(0)
        seen = []
        for _ in range(10):
            seen.append(gone(sockets))
            await clock.advance(0.5)
        assert all(abs(found - 100 * half) <= 10 for half, found in enumerate(seen)), seen
        await clock.advance(0.1)
        assert {socket.close_code for socket in sockets} == {4200}
        assert hub.running


class LateClock(ManualClock):
    """Wakes everybody 20 ms late, as the wheel of the machine's clock may."""

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        await super().wait(event, None if until is None else until + 0.02)

    def attach(self, settle: object, due: object) -> Callable[[], None]:
        return lambda: None


async def test_a_clock_that_is_late_each_time_does_not_stretch_the_window():
    clock = LateClock()
    async with Hub(APP, clock=clock) as hub, anyio.create_task_group() as tasks:
        sockets = [await arrive(hub) for _ in range(1000)]
        tasks.start_soon(hub.drain, 5.0)
        await clock.advance(5.1)
        assert gone(sockets) == 1000


async def test_a_few_go_at_once():
    async with Hub(APP, clock=ManualClock()) as hub:
        sockets = [await arrive(hub) for _ in range(3)]
        await hub.drain(over=3600)
        assert gone(sockets) == 3
        assert (hub.stats().connections, hub.check()) == (0, [])


async def test_nobody_new_is_let_in_and_it_is_said_why():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, anyio.create_task_group() as tasks:
        sockets = [await arrive(hub) for _ in range(100)]
        assert hub.readiness() == Readiness(running=True, draining=False, broker="alone")
        assert hub.readiness().ready
        tasks.start_soon(hub.drain, 1.0)
        await clock.advance(0.2)
        assert 0 < gone(sockets) < 100
        assert hub.readiness() == Readiness(running=True, draining=True, broker="alone")
        assert not hub.readiness().ready
        with pytest.raises(Disconnect) as refused:
            await hub.connect(APP.key, InProcessTransport())
        assert refused.value.code == 4100
        await hub.trigger("orders", "paid", "")  # publishers notice nothing
        await clock.advance(1)
    assert hub.readiness() == Readiness(running=False, draining=False, broker="alone")


async def test_what_was_published_to_one_who_waits_for_its_turn_arrives_before_it_is_closed():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, anyio.create_task_group() as tasks:
        sockets = [await arrive(hub) for _ in range(50)]
        last = sockets[-1]
        await last.subscribe("orders")
        last.frames()
        tasks.start_soon(hub.drain, 1.0)
        await clock.advance(0.1)
        receipt = await hub.trigger("orders", "paid", "")
        assert receipt.delivered == 1
        await clock.advance(1)
        assert (last.events(), last.close_code) == (["paid"], 4200)


async def test_whoever_asks_for_a_drain_once_more_waits_for_the_same():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, anyio.create_task_group() as tasks:
        sockets = [await arrive(hub) for _ in range(100)]
        tasks.start_soon(hub.drain, 1.0)
        await clock.advance(0.2)
        returned = []

        async def drain_again() -> None:
            await hub.drain(0.0)
            returned.append(gone(sockets))

        tasks.start_soon(drain_again)
        await clock.advance(0.2)
        assert (gone(sockets) < 100, returned) == (True, [])
        await clock.advance(1)
    assert returned == [100]


@pytest.mark.parametrize("over", [-1, float("nan")])
async def test_a_window_that_is_none_is_refused(over):
    async with Hub(APP) as hub:
        with pytest.raises(UsageError, match="over should be a number of seconds from 0 on, got"):
            await hub.drain(over)
        assert hub.readiness().ready


async def test_draining_twice_or_without_running_does_nothing():
    hub = Hub(APP)
    await hub.drain()
    async with hub:
        await hub.drain()
        await hub.drain()
        assert not hub.readiness().ready
    async with hub:
        assert hub.readiness().ready
