"""Many who leave at once: an engine that takes its time is asked about them together, not about one after the other."""

import asyncio

import anyio
import pytest
import sniffio
import trio

from relay import App, Hub
from relay.cluster.directory import Left
from relay.cluster.local import LocalBroker, LocalDirectory
from relay.departures import AT_ONCE
from relay.testing import ManualClock
from tests.unit.client import Socket, arrive

pytestmark = pytest.mark.every_loop

APP = App(id="1", key="k", secret="s")
ROOM = "presence-room"


class OtherBroker(LocalBroker):
    """One that a hub does not know to be alone."""


class SlowDirectory(LocalDirectory):
    """Answers who leaves when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.answer = anyio.Event()

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        if channel == ROOM:
            self.asked.append(socket_id)
        await self.answer.wait()
        return await super().leave(app, channel, socket_id)


@pytest.fixture
async def directory() -> SlowDirectory:  # async: its event belongs to a loop
    return SlowDirectory()


async def crowd(hub: Hub) -> list[Socket]:
    """More clients in one room than may leave at once, each another user."""
    clients = [await arrive(hub) for _ in range(AT_ONCE + 10)]
    for number, client in enumerate(clients):
        await client.subscribe(ROOM, f"user {number}")
    return clients


async def test_the_directory_is_asked_about_many_at_once_first_come_first_served(directory):
    async with Hub(APP, broker=OtherBroker(), directory=directory, clock=ManualClock()) as hub:
        watcher, *leaving = await crowd(hub)
        ids = [client.id for client in leaving]
        watcher.frames()
        for client in leaving:
            client.disconnect()
        await anyio.wait_all_tasks_blocked()
        assert set(directory.asked) == set(ids[:AT_ONCE])
        directory.answer.set()
        await hub.settle()
        assert sorted(directory.asked) == sorted(ids)
        removed = sorted(frame.data["user_id"] for frame in watcher.frames())
        assert removed == sorted(f"user {number}" for number in range(1, len(ids) + 1))
        assert [member.id for member in await hub.members(ROOM)] == ["user 0"]


async def test_a_hub_that_is_cancelled_tells_the_directory_of_everybody_all_the_same(directory):
    hub = Hub(APP, broker=OtherBroker(), directory=directory, clock=ManualClock())
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        await crowd(hub)
        directory.answer.set()
        tasks.cancel_scope.cancel()
    assert len(set(directory.asked)) == AT_ONCE + 10
    assert directory.sockets("1") == {}
    async with hub:  # and may be run again
        (await arrive(hub)).disconnect()
        await hub.settle()
        assert hub.stats().connections == 0


async def test_a_connection_may_be_lost_where_no_task_is(directory):
    directory.answer.set()
    async with Hub(APP, broker=OtherBroker(), directory=directory, clock=ManualClock()) as hub:
        client = await arrive(hub)
        await client.subscribe(ROOM, "ada")
        lost = anyio.Event()

        def lose() -> None:
            client.disconnect()
            lost.set()

        if sniffio.current_async_library() == "trio":
            trio.lowlevel.current_trio_token().run_sync_soon(lose)
        else:
            asyncio.get_running_loop().call_soon(lose)
        await lost.wait()
        await hub.settle()
        assert directory.asked == [client.id]
