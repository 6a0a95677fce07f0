"""Streams of facts: in order, bounded, ended by the hub; a reader may be cancelled and go on."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import anyio
import pytest

from relay import App, FactStream, Hub, UsageError
from relay.facts import (
    ChannelOccupied,
    ChannelVacated,
    Connected,
    Fact,
    MemberAdded,
    MemberRemoved,
    Missed,
    Subscribed,
)
from relay.testing import ManualClock
from tests.unit.client import APP, arrive

pytestmark = pytest.mark.every_loop

OTHER = App(id="2", key="other-key", secret="other-secret")


@pytest.fixture
def hub() -> Hub:
    return Hub(APP, OTHER, clock=ManualClock())


async def take(stream: FactStream[Any], count: int) -> list[Any]:
    return [await anext(stream) for _ in range(count)]


async def test_a_stream_has_the_facts_of_its_types_in_order_from_then_on(hub):
    async with hub:
        socket = await arrive(hub, APP)
        await socket.subscribe("presence-before", "ada")
        async with hub.facts(MemberAdded, MemberRemoved) as stream:
            await socket.subscribe("presence-a", "ada")
            await socket.unsubscribe("presence-a")
            await socket.subscribe("presence-b", "ada")
            facts = await take(stream, 3)
        assert [(type(fact), fact.channel) for fact in facts] == [
            (MemberAdded, "presence-a"),
            (MemberRemoved, "presence-a"),
            (MemberAdded, "presence-b"),
        ]


async def test_a_stream_without_types_has_every_fact_once(hub):
    async with hub, hub.facts() as every, hub.facts(Fact, Connected) as both:
        await (await arrive(hub, APP)).subscribe("a")
        await hub.settle()
        assert await take(every, 3) == await take(both, 3) == list(hub.journal)


async def test_a_stream_has_the_app_and_the_channels_it_asked_for(hub):
    async with hub, hub.facts(ChannelOccupied, app=APP, channel="private-*") as stream:
        for app, channel in ((OTHER, "private-a"), (APP, "a"), (APP, "private-b")):
            await (await arrive(hub, app)).subscribe(channel)
        (fact,) = await take(stream, 1)
        assert (fact.app, fact.channel) == (APP.id, "private-b")


async def test_a_reader_that_waits_is_woken(hub):
    channels: list[str] = []

    async def read(stream: FactStream[ChannelOccupied]) -> None:
        async for fact in stream:
            assert isinstance(fact, ChannelOccupied)
            channels.append(fact.channel)

    async with anyio.create_task_group() as tasks, hub, hub.facts(ChannelOccupied) as stream:
        tasks.start_soon(read, stream)
        await anyio.wait_all_tasks_blocked()
        await (await arrive(hub, APP)).subscribe("a")
        await anyio.wait_all_tasks_blocked()
        assert channels == ["a"]


async def test_what_did_not_find_room_is_told_in_its_place(hub):
    async with hub, hub.facts(ChannelOccupied, limit=2) as stream:
        socket = await arrive(hub, APP)
        for channel in "abcde":
            await socket.subscribe(channel)
        missed, *rest = await take(stream, 3)
        await socket.subscribe("f")
        rest += await take(stream, 1)
        assert (type(missed), missed.count, stream.missed) == (Missed, 3, 3)
        assert [fact.channel for fact in rest] == ["d", "e", "f"]
        assert not any(isinstance(fact, Missed) for fact in hub.journal)  # the reader was told: nobody else has to be


async def test_a_reader_that_is_cancelled_loses_nothing(hub):
    async with hub, hub.facts(ChannelOccupied) as stream:
        socket = await arrive(hub, APP)
        for channel in "abc":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, stream)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            await socket.subscribe(channel)
            assert [fact.channel for fact in await take(stream, 1)] == [channel]


async def test_a_stream_ends_with_the_hub_and_has_what_happened_last(hub):
    async with anyio.create_task_group() as tasks, hub.facts(ChannelVacated) as stream:
        await tasks.start(hub.run)
        await (await arrive(hub, APP)).subscribe("a")
        hub.close()
        assert [fact.channel async for fact in stream if isinstance(fact, ChannelVacated)] == ["a"]


async def test_a_stream_of_a_stepped_hub_ends_with_it(hub):
    async with hub.facts(Connected, Subscribed) as stream:
        hub.step()
        await (await arrive(hub, APP)).subscribe("a")
        hub.close()
        assert [type(fact) async for fact in stream] == [Connected, Subscribed]


async def test_a_stream_is_closed_with_its_block_and_entered_once(hub):
    async with hub:
        async with hub.facts() as stream:
            await arrive(hub, APP)
        await arrive(hub, APP)
        assert [fact async for fact in stream] == []
        with pytest.raises(UsageError, match="entered already"):
            async with stream:
                pass


async def come_and_go(hub: Hub) -> list[weakref.ref[object]]:
    listener = hub.on(Fact, print)
    with anyio.move_on_after(0):
        async with hub.facts() as stream:
            listener()
            await anext(stream)
    return [weakref.ref(listener), weakref.ref(stream)]


async def test_streams_and_callbacks_that_ended_are_not_kept(hub):
    async with hub:
        kept = [ref for _ in range(100) for ref in await come_and_go(hub)]
        await hub.settle()
        gc.collect()
        assert len(kept) == 200
        assert not any(ref() for ref in kept)
