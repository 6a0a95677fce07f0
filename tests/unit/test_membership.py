"""Who is told what about whom, when a step of the directory or the broker is held at one exact point."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.abc
import pytest

from relay import Hub
from relay.cluster.broker import Envelope
from relay.cluster.directory import Full, Joined, Left
from relay.cluster.local import LocalBroker, LocalDirectory
from relay.facts import MemberRemoved
from relay.protocol.messages import Identity
from relay.receipts import Remote
from tests.unit.client import ACK, APP, arrive, count_members

pytestmark = pytest.mark.every_loop

ROOM = "presence-room"


class Holds:
    """Points that can be held: who comes by waits there until the hold is over."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[anyio.Event, anyio.Event]] = {}

    async def come_by(self, point: str) -> None:
        if point in self._held:
            reached, over = self._held.pop(point)
            reached.set()
            await over.wait()

    @asynccontextmanager
    async def hold(self, point: str, act: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
        """Start an act that will come by `point`, and hold it there for the time of the block."""
        reached, over = self._held[point] = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(act)
            with anyio.fail_after(5):
                await reached.wait()
            yield
            over.set()


class HeldDirectory(LocalDirectory):
    """Can be held before a join or leave takes effect, and before it is answered."""

    def __init__(self, holds: Holds) -> None:
        super().__init__()
        self._holds = holds

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        await self._holds.come_by("join")
        joined = await super().join(app, channel, socket_id, member, max_members=max_members)
        await self._holds.come_by("joined")
        return joined

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        await self._holds.come_by("leave")
        left = await super().leave(app, channel, socket_id)
        await self._holds.come_by("left")
        return left


class HeldBroker(LocalBroker):
    """One of two nodes: what it publishes reaches the other, and can be held on the way."""

    def __init__(self, holds: Holds) -> None:
        self.other: HeldBroker | None = None
        self._holds = holds
        self.receive: Callable[[Envelope], None] = list[Envelope]().append

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        self.receive = receive

    async def subscribe(self, app: str, channel: str) -> None:
        await self._holds.come_by("subscribe")

    async def publish(self, envelope: Envelope) -> Remote:
        await self._holds.come_by("publish")
        if self.other is None:
            return "none"
        self.other.receive(envelope)
        return "sent"


@pytest.fixture
def holds() -> Holds:
    return Holds()


@pytest.fixture
def hub(holds: Holds) -> Hub:
    return Hub(APP, broker=HeldBroker(holds), directory=HeldDirectory(holds))


async def test_an_event_published_while_the_broker_subscribes_comes_right_after_the_acknowledgement(hub, holds):
    async with hub:
        socket = await arrive(hub)
        async with holds.hold("subscribe", partial(socket.subscribe, "news")):
            receipt = await hub.trigger("news", "paid", "")
            assert socket.events() == []
        assert socket.events() == [ACK, "paid"]
        assert receipt.delivered == 1


@pytest.mark.parametrize("point", ["join", "joined"])
async def test_an_event_published_while_the_directory_joins_comes_right_after_the_acknowledgement(hub, holds, point):
    async with hub:
        socket = await arrive(hub)
        async with holds.hold(point, partial(socket.subscribe, "news")):
            await hub.trigger("news", "paid", "")
            assert socket.events() == []
        assert socket.events() == [ACK, "paid"]


async def test_the_socket_that_an_event_excludes_does_not_get_it_while_it_joins_either(hub, holds):
    async with hub:
        socket = await arrive(hub)
        async with holds.hold("join", partial(socket.subscribe, "news")):
            receipt = await hub.trigger("news", "paid", "", socket_id=socket.id)
        assert socket.events() == [ACK]
        assert receipt.channels["news"].excluded == 1


async def test_a_member_who_joins_before_the_roster_is_taken_is_told_by_the_roster_alone(hub, holds):
    async with hub:
        ada, bob = await arrive(hub), await arrive(hub)
        async with holds.hold("join", partial(bob.subscribe, ROOM, "bob")):
            await ada.subscribe(ROOM, "ada")
        assert count_members(bob.frames()) == ({"ada", "bob"}, [])


async def test_a_member_who_joins_after_the_roster_is_taken_is_told_after_it(hub, holds):
    async with hub:
        ada, bob = await arrive(hub), await arrive(hub)
        async with holds.hold("joined", partial(bob.subscribe, ROOM, "bob")):
            await ada.subscribe(ROOM, "ada")
        assert count_members(bob.frames()) == ({"ada", "bob"}, [])


@pytest.mark.parametrize("point", ["join", "joined"])
async def test_a_member_who_leaves_while_another_joins_is_counted_out(hub, holds, point):
    async with hub:
        ada, bob = await arrive(hub), await arrive(hub)
        await ada.subscribe(ROOM, "ada")
        async with holds.hold(point, partial(bob.subscribe, ROOM, "bob")):
            await ada.unsubscribe(ROOM)
        assert count_members(bob.frames()) == ({"bob"}, [])


async def test_a_tab_that_opens_while_its_users_last_one_closes_counts_its_own_user_in(hub, holds):
    async with hub:
        old, new = await arrive(hub), await arrive(hub)
        await old.subscribe(ROOM, "ada")
        async with holds.hold("join", partial(new.subscribe, ROOM, "ada")):
            await old.unsubscribe(ROOM)
        assert count_members(new.frames()) == ({"ada"}, [])


async def test_a_user_who_is_back_before_the_leaving_is_answered_stays_counted_in(hub, holds):
    async with hub:
        watcher, old, new = [await arrive(hub) for _ in range(3)]
        await watcher.subscribe(ROOM, "bob")
        await old.subscribe(ROOM, "ada")
        async with holds.hold("left", partial(old.unsubscribe, ROOM)):
            await new.subscribe(ROOM, "ada")
        assert count_members(watcher.frames())[0] == {"ada", "bob"}
        assert count_members(new.frames())[0] == {"ada", "bob"}


async def test_a_member_whose_join_is_answered_late_is_not_told_to_one_who_has_it_in_the_roster(hub, holds):
    async with hub:
        ada, bob = await arrive(hub), await arrive(hub)
        async with holds.hold("joined", partial(ada.subscribe, ROOM, "ada")):
            await bob.subscribe(ROOM, "bob")
        assert count_members(bob.frames()) == ({"ada", "bob"}, [])


async def test_a_client_that_is_gone_before_its_join_is_answered_does_not_stay_in_anybodys_count(hub, holds):
    gone = anyio.Event()
    async with hub:
        watcher, ada = await arrive(hub), await arrive(hub)
        await watcher.subscribe(ROOM, "bob")
        hub.on(MemberRemoved, lambda _: gone.set())
        async with holds.hold("joined", partial(ada.subscribe, ROOM, "ada")):
            ada.disconnect()
            with anyio.move_on_after(0.1):  # a hub may as well wait for the answer before it lets her go
                await gone.wait()
        await hub.settle()
        assert count_members(watcher.frames())[0] == {"bob"}


async def test_a_user_who_moves_to_another_node_stays_counted_in_there(holds):
    here, there, directory = HeldBroker(holds), HeldBroker(holds), HeldDirectory(holds)
    here.other, there.other = there, here
    async with (
        Hub(APP, broker=here, directory=directory) as old_hub,
        Hub(APP, broker=there, directory=directory) as hub,
    ):
        old, watcher, new = await arrive(old_hub), await arrive(hub), await arrive(hub)
        await old.subscribe(ROOM, "ada")
        await watcher.subscribe(ROOM, "bob")
        async with holds.hold("publish", partial(old.unsubscribe, ROOM)):
            await new.subscribe(ROOM, "ada")
        assert count_members(watcher.frames())[0] == {"ada", "bob"}


async def test_a_departure_under_way_when_the_hub_is_cancelled_is_finished_all_the_same(holds):
    directory, life = HeldDirectory(holds), anyio.CancelScope()
    hub = Hub(APP, directory=directory)

    async def live(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        with life:
            await hub.run(task_status=task_status)

    async with anyio.create_task_group() as tasks:
        await tasks.start(live)
        socket = await arrive(hub)
        await socket.subscribe("news")

        async def leave() -> None:
            socket.disconnect()

        async with holds.hold("leave", leave):
            life.cancel()
    assert directory.sockets(APP.id) == {}
