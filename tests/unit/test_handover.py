"""Events go to the broker side by side for several channels, and in the order of the calls for each of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest

from relay import BrokerUnavailable, Event, Hub
from relay.cluster.broker import Envelope
from relay.cluster.local import LocalBroker
from relay.receipts import Remote
from relay.testing import ManualClock
from tests.unit.client import APP, arrive

pytestmark = pytest.mark.every_loop

CHANNELS = [f"c{number}" for number in range(20)]
Broken = dict[str, Exception]


class Slow(LocalBroker):
    """Answers when it is told to, and keeps the order of its calls for each channel."""

    def __init__(self) -> None:
        self.called: dict[str, list[int]] = defaultdict(list)
        self.waiting = 0
        self.open = anyio.Event()
        self.broken: Broken = {}

    async def publish(self, envelope: Envelope) -> Remote:
        self.called[envelope.channel].append(int(json.loads(envelope.text)["data"]))
        self.waiting += 1
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        if envelope.channel in self.broken:
            raise self.broken[envelope.channel]
        return "sent"


@pytest.fixture
def broker() -> Slow:
    return Slow()


@pytest.fixture
def hub(broker: Slow) -> Hub:
    return Hub(APP, broker=broker, clock=ManualClock())


async def until_called(broker: Slow, calls: int) -> None:
    """Return when the broker was called so often."""
    with anyio.fail_after(5):
        while sum(map(len, broker.called.values())) < calls:
            await anyio.lowlevel.checkpoint()


async def test_an_event_to_many_channels_takes_as_long_as_one_to_one(hub, broker):
    async with hub, anyio.create_task_group() as tasks:
        tasks.start_soon(hub.trigger, CHANNELS, "paid", "1")
        await until_called(broker, len(CHANNELS))
        assert broker.waiting == len(CHANNELS)
        broker.open.set()


async def test_the_worst_of_several_is_told(hub, broker):
    broker.open.set()
    broker.broken = {"c3": BrokerUnavailable("away")}
    async with hub:
        assert (await hub.trigger(CHANNELS, "paid", "1")).remote == "unavailable"
        batch = [Event(name, "paid", "2") for name in CHANNELS[:10]]
        told = [receipt.remote for receipt in await hub.trigger_batch(batch)]
        assert told == ["sent"] * 3 + ["unavailable"] + ["sent"] * 6


async def test_calls_of_several_tasks_keep_their_order_on_each_channel(hub, broker):
    numbers: dict[str, list[int]] = defaultdict(list)

    async def trigger(channels: Sequence[str]) -> None:
        """Publish the next number; everything up to the broker is done in the order in which this is called."""
        number = len(numbers[""])
        numbers[""].append(number)
        for name in channels:
            numbers[name].append(number)
        await hub.trigger(channels, "paid", str(number))

    async with hub, anyio.create_task_group() as tasks:
        for _ in range(10):
            for channels in (["c1", "c2", "c3"], ["c2"], ["c3", "c4"], ["c4"], ["c1"], ["c2", "c4"]):
                tasks.start_soon(trigger, channels)
        await until_called(broker, 100)
        broker.open.set()
    del numbers[""]
    assert broker.called == numbers


async def test_the_events_of_a_batch_go_side_by_side_and_in_order_on_each_channel(hub, broker):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("c1")
        async with anyio.create_task_group() as tasks:
            batch = [Event(["c1", "c2"] if number % 2 else "c1", "paid", str(number)) for number in range(10)]
            tasks.start_soon(hub.trigger_batch, batch)
            await until_called(broker, 15)
            assert broker.waiting == 15
            broker.open.set()
        assert broker.called == {"c1": list(range(10)), "c2": [1, 3, 5, 7, 9]}
        assert [frame.data for frame in socket.frames()[1:]] == list(range(10))


async def test_a_caller_who_gives_up_is_in_nobodys_way(hub, broker):
    async with hub:
        for _ in range(3):
            with anyio.move_on_after(0) as scope:
                await hub.trigger(CHANNELS, "paid", "1")
            assert scope.cancelled_caught
        with anyio.fail_after(5):
            broker.open.set()
            assert (await hub.trigger("c1", "paid", "2")).remote == "sent"
            assert (await hub.trigger(CHANNELS, "paid", "3")).remote == "sent"
        assert [numbers[-1] for numbers in broker.called.values()] == [3] * len(CHANNELS)


async def test_a_broker_that_breaks_its_word_about_one_channel_is_heard_of_and_the_others_are_told(hub, broker):
    broker.open.set()
    broker.broken = {"c3": ZeroDivisionError()}
    async with hub:
        with pytest.raises(ZeroDivisionError):
            await hub.trigger(CHANNELS, "paid", "1")
        assert broker.called == {name: [1] for name in CHANNELS}
