"""Whatever clients and applications do, one after the other, the hub does what the plainest model of it says: every
event to exactly the right sockets, once, in order; and it knows who is where.
"""

from contextlib import ExitStack
from random import Random

import msgspec
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from relay import Hub
from relay.cluster.directory import Occupancy
from relay.errors import CloseCode
from relay.facts import CacheMissed, ChannelOccupied, ChannelVacated, Fact, MemberAdded, MemberRemoved
from relay.metrics import Stats
from relay.testing import ManualClock
from tests.property.model import OWN, Model, is_own, is_presence
from tests.unit.client import APP, Socket, arrive

MAX_MEMBERS = 2
THE_APP = msgspec.structs.replace(APP, max_members=MAX_MEMBERS, client_event_rate=100_000)
USERS = ["ada", "bob", "eve"]
CHANNELS = ["news", "cache-news", "private-orders", "presence-lobby", "presence-cache-room"]
EDGES: dict[type[Fact], str] = {
    ChannelOccupied: "occupied",
    ChannelVacated: "vacated",
    MemberAdded: "added",
    MemberRemoved: "removed",
    CacheMissed: "missed",
}
NOBODY = "1.1"

users = st.sampled_from(USERS)
channels = st.sampled_from(CHANNELS)
payloads = st.none() | st.integers(0, 99) | st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)


class HubMachine(RuleBasedStateMachine):
    """A hub and its model, side by side."""

    backend = "asyncio"
    sockets: Bundle[Socket] = Bundle("sockets")

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub(THE_APP, clock=ManualClock(), random=Random(1))
        self.model = Model(MAX_MEMBERS)
        self.alive: dict[str, Socket] = {}
        self.whose: dict[str, str] = {}
        self.edges: list[tuple[str, str, str | None]] = []
        self.hub.on(Fact, self.note)
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(start_blocking_portal(self.backend))
        self.stack.enter_context(self.portal.wrap_async_context_manager(self.hub))

    def teardown(self) -> None:
        self.stack.close()

    def note(self, fact: Fact) -> None:
        if type(fact) in EDGES:
            self.edges.append((EDGES[type(fact)], fact.channel, getattr(fact, "user_id", None)))  # type: ignore[attr-defined]

    @rule(target=sockets, user=users)
    def connect(self, user: str) -> Socket:
        socket = self.portal.call(arrive, self.hub)
        self.alive[socket.id] = socket
        self.model.users[socket.id] = self.whose[socket.id] = user
        return socket

    @rule(socket=consumes(sockets))
    def drop(self, socket: Socket) -> None:
        self.portal.call(socket.disconnect)
        self.portal.call(self.hub.settle)
        if self.alive.pop(socket.id, None) is not None:
            self.model.drop(socket.id)

    @rule(user=users)
    def terminate(self, user: str) -> None:
        """Those closed stay in the bundle: whatever they say later, nothing comes of it."""
        theirs = [socket for socket in self.model.signed_in if self.model.users[socket] == user]
        assert self.portal.call(self.hub.terminate_user_connections, user) == len(theirs)
        self.portal.call(self.hub.settle)
        for socket in theirs:
            assert self.alive.pop(socket).close_code == CloseCode.UNAUTHORIZED
            self.model.drop(socket)

    @rule(socket=sockets, channel=channels)
    def subscribe(self, socket: Socket, channel: str) -> None:
        user = self.whose[socket.id]
        member = (user, {"name": user}) if is_presence(channel) else (None, None)
        self.portal.call(socket.subscribe, channel, *member)
        self.model.subscribe(socket.id, channel)

    @rule(socket=sockets, user=users)
    def subscribe_as_user(self, socket: Socket, user: str) -> None:
        self.portal.call(socket.subscribe, OWN + user)
        self.model.subscribe(socket.id, OWN + user)

    @rule(socket=sockets)
    def sign_in(self, socket: Socket) -> None:
        self.portal.call(socket.sign_in, self.whose[socket.id])
        self.model.sign_in(socket.id)

    @rule(user=users)
    def notify(self, user: str) -> None:
        receipt = self.portal.call(self.hub.send_to_user, user, "notice", "hi")
        assert receipt.delivered == len(self.model.places.get(OWN + user, {}))
        self.model.tell(OWN + user, "notice", "hi")

    @rule(socket=sockets, channel=channels)
    def unsubscribe(self, socket: Socket, channel: str) -> None:
        self.portal.call(socket.unsubscribe, channel)
        self.model.unsubscribe(socket.id, channel)

    @rule(socket=sockets, channel=channels, data=payloads.filter(lambda data: data is not None))
    def client_event(self, socket: Socket, channel: str, data: object) -> None:
        self.portal.call(socket.say, "client-typing", data, channel)
        self.model.client_event(socket.id, channel, data)

    @rule(
        names=st.lists(channels, min_size=1, max_size=3), data=payloads, excluded=sockets | st.none() | st.just(NOBODY)
    )
    def publish(self, names: list[str], data: object, excluded: Socket | str | None) -> None:
        but = excluded.id if isinstance(excluded, Socket) else excluded
        receipt = self.portal.call(lambda: self.hub.trigger(names, "paid", data, socket_id=but))
        assert list(receipt.channels) == list(dict.fromkeys(names))
        for name, channel in receipt.channels.items():
            there = self.model.places.get(name, {})
            left_out = int(but in there)
            assert (channel.matched, channel.queued) == (len(there), len(there) - left_out)
            assert (channel.excluded, channel.refused) == (left_out, 0)
            self.model.publish(name, "paid", data, but=but)
        assert receipt.delivered == sum(channel.queued for channel in receipt.channels.values())

    @invariant()
    def every_socket_got_exactly_what_it_should(self) -> None:
        for socket_id, socket in self.alive.items():
            frames = [(frame.event, frame.channel, frame.data, frame.user_id) for frame in socket.frames()]
            assert frames == self.model.due.pop(socket_id, [])
            assert socket.open

    @invariant()
    def channels_and_members_came_and_went_when_they_should(self) -> None:
        assert self.edges == self.model.edges

    @invariant()
    def the_registries_agree(self) -> None:
        places, signed_in = self.model.places, {self.model.users[socket] for socket in self.model.signed_in}
        subscriptions = sum(map(len, places.values()))
        assert self.hub.check() == []
        assert self.hub.stats() == Stats(len(self.alive), len(places), subscriptions, len(signed_in))

    @invariant()
    def questions_are_answered_as_things_are(self) -> None:
        places, members = self.model.places, self.model.members
        occupied, occupancy, users = self.portal.call(self.ask)
        assert occupied == {name for name in places if not is_own(name)}
        assert occupancy == {
            name: Occupancy(len(places.get(name, ())), len(members.get(name, ()))) for name in CHANNELS
        }
        assert users == {name: members.get(name, []) for name in CHANNELS if is_presence(name)}

    async def ask(self) -> tuple[set[str], dict[str, Occupancy], dict[str, list[str]]]:
        occupied = set(await self.hub.channels())
        occupancy = {name: await self.hub.occupancy(name) for name in CHANNELS}
        members = {name: await self.hub.members(name) for name in CHANNELS if is_presence(name)}
        return occupied, occupancy, {name: [member.id for member in those] for name, those in members.items()}


class HubMachineOnTrio(HubMachine):
    """The same on trio."""

    backend = "trio"


few = settings(max_examples=40, stateful_step_count=40)
TestOnAsyncio = HubMachine.TestCase
TestOnAsyncio.settings = few
TestOnTrio = HubMachineOnTrio.TestCase
TestOnTrio.settings = few
