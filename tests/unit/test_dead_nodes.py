"""What dead nodes left is told of in portions, and the beat waits for none of it, nor ends with a wrong engine."""

import logging
import math
from collections import Counter
from collections.abc import Collection

import anyio
import pytest

from relay import App, Hub
from relay.clock import SystemClock
from relay.cluster.broker import Envelope
from relay.cluster.directory import Abandoned, Beat, Left
from relay.cluster.local import LocalBroker, LocalDirectory
from relay.facts import MemberRemoved
from relay.receipts import Remote
from relay.testing import ManualClock, cluster
from tests.unit.client import ACK, APP, REMOVED, arrive

pytestmark = pytest.mark.every_loop
ROOM = "presence-room"
LEFT = [f"u{number}" for number in range(250)]


async def test_each_of_the_many_members_of_a_dead_node_leaves_once():
    async with cluster(App(id="1", key="k", secret="s", max_members=1000), nodes=3) as nodes:
        for user in LEFT:
            client = await nodes[0].connect()
            await client.subscribe(ROOM, user_id=user)
        watchers = [await (await nodes[number].connect()).subscribe(ROOM, user_id=f"w{number}") for number in (1, 2)]
        removed: list[str] = []
        for number in (1, 2):
            nodes[number].hub.on(MemberRemoved, lambda fact: removed.append(fact.user_id))
        nodes.kill(0)
        await nodes.advance(14)
        assert Counter(removed) == Counter(LEFT)
        assert [{member.id for member in watcher.members} for watcher in watchers] == [{"w1", "w2"}] * 2
        assert nodes.check() == []


class Graveyard(LocalDirectory):
    """Somebody died, and left `LEFT`; a portion of ten is found at once. It notes what each beat asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.left = list(LEFT)
        self.asked: list[Collection[str]] = []

    async def beat(self, apps: Collection[str]) -> Beat:
        self.asked.append(apps)
        some = self.left[:10] if apps else []
        del self.left[: len(some)]
        gone = [Abandoned(APP.id, ROOM, f"9.{user}", user, Left(last_for_user=True, step=1)) for user in some]
        return Beat(gone, again=1.0, more=bool(self.left and apps))


class Ticking(SystemClock):
    """It goes on by a tick, which waits for nothing that is under way."""

    def __init__(self) -> None:
        self._now = 0.0
        self._waiting: dict[anyio.CancelScope, float] = {}

    def now(self) -> float:
        return self._now

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        with anyio.CancelScope() as scope:
            self._waiting[scope] = math.inf if until is None else until
            try:
                if self._waiting[scope] > self._now:
                    await event.wait()
            finally:
                del self._waiting[scope]

    async def tick(self, seconds: float) -> None:
        self._now += seconds
        for scope in [scope for scope, until in self._waiting.items() if until <= self._now]:
            scope.cancel()
        await anyio.wait_all_tasks_blocked()


class Stuck(LocalBroker):
    """It publishes nothing before it may."""

    def __init__(self) -> None:
        self.may = anyio.Event()

    async def publish(self, envelope: Envelope) -> Remote:
        await self.may.wait()
        return "sent"


async def test_the_next_portion_is_found_as_soon_as_the_one_before_was_told():
    directory, clock = Graveyard(), ManualClock()
    async with Hub(APP, directory=directory, broker=LocalBroker(), clock=clock) as hub:
        removed: list[str] = []
        hub.on(MemberRemoved, lambda fact: removed.append(fact.user_id))
        await clock.advance(0.5)
        assert (Counter(removed), directory.left) == (Counter(LEFT), [])


async def test_no_beat_waits_for_the_telling_and_none_finds_more_before_that_is_done():
    directory, broker, clock = Graveyard(), Stuck(), Ticking()
    async with Hub(APP, directory=directory, broker=broker, clock=clock) as hub:
        await anyio.wait_all_tasks_blocked()
        for _ in range(5):
            await clock.tick(1.0)
        finding = [apps for apps in directory.asked if apps]
        assert (len(finding), len(directory.left)) == (1, len(LEFT) - 10)
        assert len(directory.asked) >= 5
        broker.may.set()
        await hub.settle()
        assert directory.left == []


class Wrong(LocalDirectory):
    """An engine with a mistake in it."""

    wrong = True

    async def beat(self, apps: Collection[str]) -> Beat:
        if self.wrong and apps:
            raise RuntimeError("no such row")
        return Beat(again=1.0)


async def test_an_engine_that_fails_unexpectedly_at_a_beat_is_logged_once_and_taken_for_one_that_is_away(caplog):
    directory, clock = Wrong(), ManualClock()
    caplog.set_level(logging.INFO)
    async with Hub(APP, directory=directory, broker=LocalBroker(), clock=clock) as hub:
        ada, bob = await arrive(hub), await arrive(hub)
        for socket, user in ((ada, "ada"), (bob, "bob")):
            await socket.subscribe(ROOM, user)
        await clock.advance(5)
        bob.disconnect()
        await hub.settle()
        assert (hub.running, hub.readiness().ready) == (True, False)
        assert ada.events() == [ACK, "pusher_internal:member_added", REMOVED]
        directory.wrong = False
        await clock.advance(5)
        assert hub.readiness().ready
        told = [record for record in caplog.records if "directory" in record.getMessage()]
        assert [record.getMessage().partition(" that")[0] for record in told] == [
            "the directory does not hear",
            "the directory hears again",
        ]
        assert told[0].exc_info
