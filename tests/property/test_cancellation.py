"""Giving up at any await, by a cancel scope or by asyncio's own `Task.cancel()`: a subscribe is done or undone, with
nothing in between; leaving and publishing are done all the same.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio
import pytest

from relay import Hub
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.property.giving_up import GiveUp, cancel_task, leave_scope
from tests.property.story import NEWS, ROOM
from tests.unit.client import ACK, APP, Socket, arrive, count_members

EVERY_AWAIT = range(30)
"""Checkpoints after which to give up, from before the first await of an act to after its last."""


@dataclass
class Scene:
    """A hub on slow engines, somebody who watches a channel, and somebody who gives up."""

    hub: Hub
    directory: SlowDirectory
    channel: str
    watcher: Socket
    actor: Socket

    async def subscribe(self) -> None:
        await self.actor.subscribe(self.channel, "actor" if self.channel == ROOM else None)

    async def unsubscribe(self) -> None:
        await self.actor.unsubscribe(self.channel)

    async def actor_is_in(self) -> bool:
        """Once all is quiet and sound: what the directory says."""
        with anyio.fail_after(5):
            await self.hub.settle()
        assert self.hub.check() == []
        return self.actor.id in self.directory.inner.sockets(APP.id).get(self.channel, ())

    def watched(self) -> tuple[set[str], list[bytes]]:
        """The members that the watcher counts, and what it was told that was no news."""
        return count_members(self.watcher.frames())


@asynccontextmanager
async def scene(channel: str, *, watched: bool = True) -> AsyncIterator[Scene]:
    pace = Pace(before=(2,), after=(2,))
    directory = SlowDirectory(pace)
    async with Hub(APP, broker=Wire(pace).end(), directory=directory) as hub:
        watcher, actor = await arrive(hub), await arrive(hub)
        if watched:
            await watcher.subscribe(channel, "watcher" if channel == ROOM else None)
        yield Scene(hub, directory, channel, watcher, actor)


async def check_subscribe(channel: str, give_up: GiveUp) -> None:
    outcomes = []
    for after in EVERY_AWAIT:
        async with scene(channel, watched=False) as here:
            await give_up(here.subscribe, after)
            outcomes.append(await here.actor_is_in())
            assert here.actor.events() == [ACK] * outcomes[-1]
    assert True in outcomes


@pytest.mark.every_loop
@pytest.mark.parametrize("channel", [ROOM, NEWS])
async def test_a_subscribe_left_by_its_scope_is_done_and_acknowledged_or_leaves_no_trace(channel):
    await check_subscribe(channel, leave_scope)


@pytest.mark.parametrize("channel", [ROOM, NEWS])
async def test_a_subscribe_whose_task_is_cancelled_is_done_and_acknowledged_or_leaves_no_trace(channel):
    await check_subscribe(channel, cancel_task)


async def check_members(give_up: GiveUp) -> None:
    for after in EVERY_AWAIT:
        async with scene(ROOM) as here:
            await give_up(here.subscribe, after)
            members = {"watcher", "actor"} if await here.actor_is_in() else {"watcher"}
            assert here.watched() == (members, [])


@pytest.mark.every_loop
async def test_others_are_told_of_no_half_member_when_a_scope_is_left():
    await check_members(leave_scope)


async def test_others_are_told_of_no_half_member_when_a_task_is_cancelled():
    await check_members(cancel_task)


async def check_unsubscribe(give_up: GiveUp) -> None:
    for after in EVERY_AWAIT[1:]:  # at 0 the act has not begun
        async with scene(ROOM) as here:
            await here.subscribe()
            await give_up(here.unsubscribe, after)
            assert not await here.actor_is_in()
            assert here.watched() == ({"watcher"}, [])


@pytest.mark.every_loop
async def test_an_unsubscribe_left_by_its_scope_is_done_all_the_same():
    await check_unsubscribe(leave_scope)


async def test_an_unsubscribe_whose_task_is_cancelled_is_done_all_the_same():
    await check_unsubscribe(cancel_task)


@pytest.mark.every_loop
async def test_a_publish_that_was_given_up_reaches_local_subscribers_once_or_not_at_all():
    for after in EVERY_AWAIT:
        async with scene(NEWS) as here:
            await leave_scope(lambda: here.hub.trigger(NEWS, "paid", ""), after)
            assert not await here.actor_is_in()
            assert here.watcher.events() in ([ACK], [ACK, "paid"])


@pytest.mark.every_loop
@pytest.mark.parametrize("channel", [ROOM, NEWS])
async def test_a_client_that_is_gone_in_the_middle_of_its_subscribe_leaves_no_ghost(channel):
    for after in EVERY_AWAIT:
        async with scene(channel) as here, anyio.create_task_group() as tasks:
            tasks.start_soon(here.subscribe)
            await checkpoints(after)
            here.actor.disconnect()
            assert not await here.actor_is_in()


@pytest.mark.every_loop
async def test_others_count_right_when_a_client_is_gone_in_the_middle_of_its_subscribe():
    for after in EVERY_AWAIT:
        async with scene(ROOM) as here, anyio.create_task_group() as tasks:
            tasks.start_soon(here.subscribe)
            await checkpoints(after)
            here.actor.disconnect()
            assert not await here.actor_is_in()
            assert here.watched() == ({"watcher"}, [])


async def check_asking(give_up: GiveUp) -> None:
    asked: list[str] = []

    async def authorize(channel: str) -> bool:
        asked.append(channel)
        await anyio.sleep_forever()
        return True

    async with Hub(APP) as hub:
        socket = await arrive(hub, authorize=authorize)
        for after in EVERY_AWAIT[:10]:
            await give_up(partial(socket.say, "pusher:subscribe", {"channel": "private-orders"}), after)
            await hub.settle()
            assert (hub.stats().channels, hub.check(), socket.events()) == (0, [], [])
            assert socket.connection.session.subscriptions == {}
    assert asked


@pytest.mark.every_loop
async def test_a_subscribe_left_by_its_scope_while_the_authorizer_is_asked_leaves_no_trace():
    await check_asking(leave_scope)


async def test_a_subscribe_whose_task_is_cancelled_while_the_authorizer_is_asked_leaves_no_trace():
    await check_asking(cancel_task)


@pytest.mark.every_loop
async def test_closing_a_client_whose_authorizer_still_thinks_ends_its_subscribe_in_peace():
    thinking, decided = anyio.Event(), anyio.Event()

    async def authorize(channel: str) -> bool:
        thinking.set()
        await decided.wait()
        return True

    async with Hub(APP) as hub, anyio.create_task_group() as tasks:
        socket = await arrive(hub, authorize=authorize)
        tasks.start_soon(socket.say, "pusher:subscribe", {"channel": "private-orders"})
        await thinking.wait()
        socket.connection.close(4200, "Please reconnect immediately")
        decided.set()
        await hub.settle()
        assert hub.stats().channels == 0
