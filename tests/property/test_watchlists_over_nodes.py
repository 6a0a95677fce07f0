"""Watchlists when everything happens at once, over one node or two, and the answers of slow engines overtake each
other: nobody is told what it knows, and in the end everybody knows the truth.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay import Hub, users
from relay.facts import Fact, UserOffline, UserOnline
from relay.testing import ManualClock
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.property.story import delays
from tests.unit.client import APP, Socket, arrive

pytestmark = pytest.mark.every_loop
few = settings(max_examples=60)

USERS = ["ada", "bob", "eve"]
NEWS = "pusher_internal:watchlist_events"


@dataclass(frozen=True)
class Step:
    """What a client does next, after `wait` checkpoints; it gives up after `patience` checkpoints where not 0."""

    wait: int
    verb: str
    watchlist: Sequence[str] = ()
    patience: int = 0


@dataclass(frozen=True)
class Script:
    """Client number i is a socket of `whose[i]`, on node i % nodes. Everything happens at the same time."""

    clients: Sequence[tuple[str, Sequence[Step]]]
    terminated: Sequence[tuple[int, str]] = ()
    ticks: Sequence[int] = ()
    before: Sequence[int] = (0,)
    after: Sequence[int] = (0,)
    nodes: int = 1
    grace: float = 2.0


names = st.sampled_from(USERS)
steps = st.builds(
    Step,
    wait=st.integers(0, 8),
    verb=st.sampled_from(["sign in", "sign in", "subscribe", "publish", "drop"]),
    watchlist=st.lists(names, max_size=3, unique=True),
    patience=st.sampled_from([0, 0, 0, 1, 3]),
)
scripts = st.builds(
    Script,
    clients=st.lists(st.tuples(names, st.lists(steps, min_size=1, max_size=4)), min_size=1, max_size=6),
    terminated=st.lists(st.tuples(st.integers(0, 20), names), max_size=2),
    ticks=st.lists(st.integers(0, 10), max_size=4),
    before=delays,
    after=delays,
    nodes=st.integers(1, 2),
    grace=st.sampled_from([0.0, 2.0]),
)


class Watcher:
    """A client that believes what it is told."""

    def __init__(self, socket: Socket, user: str) -> None:
        self.socket, self.user = socket, user
        self.asked: list[Sequence[str]] = []
        self.believes: dict[str, bool] = {}
        self.stale: list[bytes] = []
        """Frames that told it what it knew, or of somebody it does not watch."""
        self.acknowledged = 0

    async def follow(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await checkpoints(step.wait)
            if not self.socket.open:
                return
            async with anyio.create_task_group() as tasks:
                if step.patience:
                    tasks.start_soon(give_up, step.patience, tasks.cancel_scope)
                await self.do(step)
                tasks.cancel_scope.cancel()

    async def do(self, step: Step) -> None:
        match step.verb:
            case "sign in":
                self.asked.append(step.watchlist)
                await self.socket.sign_in(self.user, step.watchlist)
            case "subscribe":
                await self.socket.subscribe("presence-room", self.user)
            case "publish":
                await self.socket.say("client-typing", {}, "presence-room")
            case _:
                self.socket.disconnect()

    def read(self) -> None:
        for frame in self.socket.frames():
            if frame.event == "pusher:signin_success":
                self.acknowledged += 1
            if frame.event != NEWS:
                continue
            told = {user: event["name"] == "online" for event in frame.data["events"] for user in event["user_ids"]}
            if self._first_of_a_list(told):
                self.believes = told
            else:
                if any(self.believes.get(user) in (None, online) for user, online in told.items()):
                    self.stale.append(frame.text)
                self.believes |= told

    def _first_of_a_list(self, told: dict[str, bool]) -> bool:
        """Whether a frame tells of a whole list that it asked for, and not of a change."""
        changed = all(self.believes.get(user) is (not online) for user, online in told.items())
        return not changed and sorted(told) in map(sorted, self.asked)


async def give_up(patience: int, scope: anyio.CancelScope) -> None:
    await checkpoints(patience)
    scope.cancel()


class Story:
    """A script as it went."""

    def __init__(self, script: Script) -> None:
        app = msgspec.structs.replace(APP, watchlists=True, offline_grace=script.grace)
        pace = Pace(script.before, script.after)
        self.script, self.directory, self.wire = script, SlowDirectory(pace), Wire(pace)
        self.clocks = [ManualClock() for _ in range(script.nodes)]
        self.hubs = [Hub(app, broker=self.wire.end(), directory=self.directory, clock=clock) for clock in self.clocks]
        self.facts: list[Fact] = []
        self.watchers: list[Watcher] = []
        self.living: list[Watcher] = []
        for hub in self.hubs:
            hub.on(Fact, self.facts.append)

    async def play(self) -> "Story":
        """Let everything happen, and the grace be over."""
        async with AsyncExitStack() as stack:
            for hub in self.hubs:
                await stack.enter_async_context(hub)
            for number, (user, _) in enumerate(self.script.clients):
                self.watchers.append(Watcher(await arrive(self.hubs[number % len(self.hubs)]), user))
            async with anyio.create_task_group() as tasks:
                for watcher, (_, steps) in zip(self.watchers, self.script.clients, strict=True):
                    tasks.start_soon(watcher.follow, steps)
                for wait, user in self.script.terminated:
                    tasks.start_soon(self.terminate, wait, user)
                for clock in self.clocks:
                    tasks.start_soon(self.tick, clock)
            for seconds in (3, 0):  # what one node finds in its last moment is news to the other
                for clock in self.clocks:
                    await clock.advance(seconds)
            for hub in self.hubs:
                await hub.settle()
            for watcher in self.watchers:
                watcher.read()
            self.living = [watcher for watcher in self.watchers if watcher.socket.open]
            self.signed_in, self.present = self.online(present=False), self.online(present=True)
            self.problems = [problem for hub in self.hubs for problem in hub.check()]
            self.places = self.directory.inner.sockets(users.namespace(APP.id))
            self.subscribed = [{name for name in end.subscribed if name.startswith("#")} for end in self.wire.ends]
        return self

    async def terminate(self, wait: int, user: str) -> None:
        await checkpoints(wait)
        await self.hubs[wait % len(self.hubs)].terminate_user_connections(user)

    async def tick(self, clock: ManualClock) -> None:
        for wait in self.script.ticks:
            await checkpoints(wait)
            await clock.advance(1)

    def online(self, *, present: bool) -> dict[str, set[str]]:
        """Users with the living sockets that are signed in, or in the room too."""
        places: dict[str, set[str]] = {}
        for watcher in self.living:
            session = watcher.socket.connection.session
            if session.user is not None or (present and "presence-room" in session.subscriptions):
                places.setdefault(watcher.user, set()).add(watcher.socket.id)
        return places


@few
@given(scripts)
@example(Script([("ada", [Step(0, "sign in", ["bob"])]), ("bob", [Step(3, "sign in")])], before=(2,), nodes=2))
@example(Script([("ada", [Step(0, "sign in", ["bob"])]), ("bob", [Step(0, "sign in"), Step(0, "drop")])], after=(4, 0)))
async def test_in_the_end_everybody_knows_who_is_online(script):
    story = await Story(script).play()
    truth = story.signed_in
    for watcher in story.living:
        if watcher.asked and watcher.acknowledged:
            for user in watcher.asked[-1]:
                assert watcher.believes[user] is (user in truth)


@few
@given(scripts)
async def test_nobody_is_told_what_it_knows(script):
    story = await Story(script).play()
    assert [watcher.stale for watcher in story.watchers if watcher.stale] == []


@few
@given(scripts)
async def test_hub_and_directory_and_broker_agree_in_the_end(script):
    story = await Story(script).play()
    assert story.problems == []
    assert {watcher.socket.close_code for watcher in story.watchers} <= {1000, 4009, 4200}
    signed_in = {f"#signed-in-{user}": sockets for user, sockets in story.signed_in.items()}
    present = {f"#present-{user}": sockets for user, sockets in story.present.items()}
    assert story.places == signed_in | present
    for hub, subscribed in zip(story.hubs, story.subscribed, strict=True):
        here = [watcher for watcher in story.living if watcher.socket.hub is hub and watcher.acknowledged]
        assert subscribed == {f"#signed-in-{user}" for watcher in here for user in watcher.asked[-1]}


@few
@given(scripts)
@example(Script([("ada", [Step(0, "sign in", (), 1), Step(0, "drop")])], after=(50, 0), grace=0.0))
async def test_users_come_online_once_more_than_they_go_offline_or_as_often(script):
    story = await Story(script).play()
    online = story.present
    for user in USERS:
        edges = [
            type(fact) for fact in story.facts if isinstance(fact, UserOnline | UserOffline) if fact.user_id == user
        ]
        assert edges.count(UserOnline) - edges.count(UserOffline) in (0, 1)
        assert edges.count(UserOnline) >= (user in online)
        if script.nodes == 1:
            assert edges == [UserOnline, UserOffline] * (len(edges) // 2) + [UserOnline] * (len(edges) % 2)


async def test_a_quick_move_to_another_node_makes_no_noise():
    story = Story(Script([], nodes=2))
    here, there = story.hubs
    async with here, there:
        bob, ada = await arrive(there), await arrive(here)
        await bob.sign_in("bob", ["ada"])
        await there.settle()
        await ada.sign_in("ada")
        await here.settle()
        await there.settle()
        ada.disconnect()
        await (await arrive(there)).sign_in("ada")
        for clock in story.clocks:
            await clock.advance(10)
        assert [frame.data["events"] for frame in bob.frames() if frame.event == NEWS] == [
            [{"name": "offline", "user_ids": ["ada"]}],
            [{"name": "online", "user_ids": ["ada"]}],
        ]
        assert [type(fact) for fact in story.facts if isinstance(fact, UserOnline | UserOffline)] == [UserOnline] * 2


async def test_only_the_last_of_two_watchlists_is_told_of():
    story = Story(Script([], before=(3,), after=(1, 5)))
    [hub] = story.hubs
    async with hub:
        bob, eve = await arrive(hub), await arrive(hub)
        await eve.sign_in("eve")
        await bob.sign_in("bob", ["ada"])
        await bob.sign_in("bob", ["ada", "eve"])
        await hub.settle()
        [told] = [frame.data["events"] for frame in bob.frames() if frame.event == NEWS]
        assert told == [{"name": "online", "user_ids": ["eve"]}, {"name": "offline", "user_ids": ["ada"]}]


async def test_everybody_who_left_is_gone_from_the_directory_when_all_nodes_are_closed():
    story = await Story(Script([("ada", [Step(0, "sign in", ["bob"])]), ("bob", [Step(0, "sign in")])], nodes=2)).play()
    assert story.directory.inner.sockets(users.namespace(APP.id)) == {}
    assert [end.subscribed for end in story.wire.ends] == [set(), set()]
