"""Whoever comes, goes, comes back and is thrown out: each watcher is told exactly what a plain book of users says, one
frame a turn, and the Facts say the same.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from random import Random

import msgspec
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relay import Hub
from relay.facts import Fact, UserOffline, UserOnline
from relay.testing import ManualClock
from tests.unit.client import APP, Socket, arrive

GRACE = 2
THE_APP = msgspec.structs.replace(APP, watchlists=True, max_watchlist=3, offline_grace=float(GRACE))
USERS = ["ada", "bob", "eve", "joe"]
NEWS = "pusher_internal:watchlist_events"

News = tuple[frozenset[str], frozenset[str]]
"""Who is online and who is not, in one frame."""


class Book:
    """Users with their living sockets, and until when they count as online without one."""

    def __init__(self) -> None:
        self.sockets: dict[str, set[str]] = {user: set() for user in USERS}
        self.until: dict[str, int] = {}
        self.online: set[str] = set()
        self.edges: list[tuple[str, str]] = []

    def come(self, user: str, socket: str) -> None:
        self.sockets[user].add(socket)
        if user not in self.online:
            self.online.add(user)
            self.edges.append(("on", user))

    def go(self, socket: str, now: int) -> None:
        for user, sockets in self.sockets.items():
            if socket in sockets:
                sockets.discard(socket)
                self.until[user] = now + GRACE

    def look(self, now: int) -> None:
        for user in sorted(self.online):
            if not self.sockets[user] and self.until[user] <= now:
                self.online.discard(user)
                self.edges.append(("off", user))


Op = tuple[str, int, str, Sequence[str]]
"""What happens, to which of the living sockets, to which user, with which watchlist."""
users = st.sampled_from(USERS)
ops = st.tuples(
    st.sampled_from(["come", "come", "again", "enter", "drop", "terminate"]),
    st.integers(0, 9),
    users,
    st.lists(users, max_size=3, unique=True),
)


class WatchMachine(RuleBasedStateMachine):
    """A hub and the books: of those who are signed in, and of those who are in a presence channel too."""

    backend = "asyncio"

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.hub = Hub(THE_APP, clock=self.clock, random=Random(1))
        self.signed_in, self.present, self.now = Book(), Book(), 0
        self.alive: list[tuple[Socket, str]] = []
        self.lists: dict[str, Sequence[str]] = {}
        self.told: dict[str, dict[str, bool]] = {}
        self.due: dict[str, list[News]] = {}
        self.facts: list[tuple[str, str]] = []
        self.hub.on(Fact, self.note)
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(start_blocking_portal(self.backend))
        self.stack.enter_context(self.portal.wrap_async_context_manager(self.hub))

    def teardown(self) -> None:
        self.stack.close()

    def note(self, fact: Fact) -> None:
        if isinstance(fact, UserOnline | UserOffline):
            self.facts.append(("on" if isinstance(fact, UserOnline) else "off", fact.user_id))

    @rule(ops=st.lists(ops, min_size=1, max_size=4))
    def turn(self, ops: list[Op]) -> None:
        """All of these, before anything else can happen."""
        self.portal.call(self.play, ops)
        self.tell()

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.portal.call(self.clock.advance, seconds)
        for _ in range(seconds):
            self.now += 1
            for book in (self.signed_in, self.present):
                book.look(self.now)
            self.tell()

    async def play(self, ops: list[Op]) -> None:
        for verb, number, user, watchlist in ops:
            if verb == "come":
                socket = await arrive(self.hub)
                self.alive.append((socket, user))
                await self.sign_in(socket, user, watchlist)
            elif verb == "terminate":
                closed = [socket for socket, _ in self.alive if socket.id in self.signed_in.sockets[user]]
                assert await self.hub.terminate_user_connections(user) == len(closed)
                for socket in closed:
                    self.forget(socket)
            elif verb == "enter":
                socket = await arrive(self.hub)
                self.alive.append((socket, user))
                await socket.subscribe("presence-room", user)
                self.present.come(user, socket.id)
            elif self.alive:
                socket, whose = self.alive[number % len(self.alive)]
                if verb == "again":
                    await self.sign_in(socket, whose, watchlist)
                else:
                    socket.disconnect()
                    self.forget(socket)
        await self.hub.settle()

    async def sign_in(self, socket: Socket, user: str, watchlist: Sequence[str]) -> None:
        await socket.sign_in(user, watchlist)
        for book in (self.signed_in, self.present):
            book.come(user, socket.id)
        self.lists[socket.id] = watchlist
        online = {one: one in self.signed_in.online for one in watchlist}
        self.told[socket.id] = online
        self.expect(socket.id, online)

    def forget(self, socket: Socket) -> None:
        self.alive = [(one, user) for one, user in self.alive if one is not socket]
        for book in (self.signed_in, self.present):
            book.go(socket.id, self.now)
        self.told.pop(socket.id, None)
        self.due.pop(socket.id, None)

    def expect(self, socket_id: str, news: dict[str, bool]) -> None:
        if news:
            on, off = ({one for one, is_on in news.items() if is_on is wanted} for wanted in (True, False))
            self.due.setdefault(socket_id, []).append((frozenset(on), frozenset(off)))

    def tell(self) -> None:
        """The turn is over."""
        for socket_id, told in self.told.items():
            news = {one: not is_on for one, is_on in told.items() if is_on is not (one in self.signed_in.online)}
            told.update(news)
            self.expect(socket_id, news)

    @invariant()
    def everybody_was_told_what_the_book_says(self) -> None:
        for socket, _ in self.alive:
            frames = [frame for frame in socket.frames() if frame.event == NEWS]
            news = [{event["name"]: event["user_ids"] for event in frame.data["events"]} for frame in frames]
            got = [(frozenset(one.get("online", ())), frozenset(one.get("offline", ()))) for one in news]
            assert got == self.due.pop(socket.id, [])
            assert sum(map(len, (ids for one in news for ids in one.values()))) == sum(
                len(on) + len(off) for on, off in got
            )

    @invariant()
    def the_facts_are_those_of_the_other_book(self) -> None:
        for user in USERS:
            assert [edge for edge in self.facts if edge[1] == user] == [
                edge for edge in self.present.edges if edge[1] == user
            ]

    @invariant()
    def nothing_is_left_over(self) -> None:
        assert self.hub.check() == []
        assert self.portal.call(self.hub.channels).keys() <= {"presence-room"}


class WatchMachineOnTrio(WatchMachine):
    """The same on trio."""

    backend = "trio"


few = settings(max_examples=40, stateful_step_count=30)
TestOnAsyncio = WatchMachine.TestCase
TestOnAsyncio.settings = few
TestOnTrio = WatchMachineOnTrio.TestCase
TestOnTrio.settings = few
