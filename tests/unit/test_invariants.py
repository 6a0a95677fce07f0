"""`hub.check()` finds what does not fit together: each registry is bent by hand here, one at a time."""

import pytest

from relay import users
from relay.clock import SystemClock
from relay.cluster.local import LocalBroker, LocalDirectory
from relay.connection import Connection
from relay.invariants import check
from relay.node import Node, Tenant
from relay.protocol.messages import Identity
from relay.seats import Kind as PlaceKind
from relay.seats import Place
from relay_transports.inprocess import InProcessTransport
from tests.unit.client import APP, say


class Bent:
    """A node with one sound connection in one channel, to be bent."""

    def __init__(self) -> None:
        self.directory = LocalDirectory()
        self.node = Node(
            [APP],
            broker=LocalBroker(),
            directory=self.directory,
            clock=SystemClock(),
            random=None,
            max_connections=None,
            debug=False,
        )
        self.tenant: Tenant = self.node.by_id[APP.id]
        self.connection: Connection = self.node.admit(
            APP.key, InProcessTransport(), "7", secure=True, authorize=None, origin=None
        )

    @property
    def id(self) -> str:
        return self.connection.socket_id


@pytest.fixture
async def bent() -> Bent:
    bent = Bent()
    await bent.connection.receive(say("pusher:subscribe", {"channel": "news"}))
    assert check(bent.node) == []
    return bent


def found(bent: Bent) -> list[str]:
    return [problem.removeprefix(f"app {APP.id}: ") for problem in check(bent.node)]


async def test_a_channel_kept_for_nobody(bent):
    bent.tenant.channels.open("empty")
    assert found(bent) == ["channel empty is kept though nobody is in it"]


async def test_a_channel_that_sends_to_one_who_is_not_subscribed(bent):
    bent.connection.session.left("news")
    assert found(bent) == [f"channel news sends to {bent.id}, which is not subscribed"]


async def test_a_channel_that_sends_to_one_who_is_closed_and_still_kept(bent):
    bent.connection.closed = True
    assert found(bent) == [
        f"channel news sends to {bent.id}, which is closed",
        f"connection {bent.id} is kept though it is closed",
    ]


async def test_a_connection_that_believes_to_be_where_it_is_not(bent):
    bent.tenant.channels.remove("news", bent.connection.transport)
    await bent.directory.leave(APP.id, "news", bent.id)
    assert found(bent) == [f"connection {bent.id} believes to be in news"]


async def test_a_directory_that_knows_of_somebody_the_channel_does_not(bent):
    await bent.directory.join(APP.id, "news", "1.1", None, max_members=1)
    assert found(bent) == [f"channel news has {[bent.id]}, the directory {sorted(['1.1', bent.id])}"]


async def test_a_directory_that_knows_of_a_channel_where_nobody_is(bent):
    await bent.directory.join(APP.id, "ghosts", "1.1", None, max_members=1)
    assert found(bent) == ["the directory has ['1.1'] in ghosts, where nobody is"]


async def test_a_user_who_is_not_found_and_one_who_is_kept_for_nobody(bent):
    bent.connection.session.user = Identity("ada")
    bent.tenant.users["bob"] = {}
    assert found(bent) == [
        f"connection {bent.id} is signed in as ada and not found there",
        "user bob is kept without a living connection",
    ]


async def test_a_place_that_is_held_for_ever_or_by_nobody(bent):
    bent.tenant.seats.take("9.9", Place(PlaceKind.PRESENT, "ada"))
    await bent.directory.join(users.namespace(APP.id), "#present-bob", "1.1", None, max_members=1)
    assert sorted(found(bent)) == [
        "connection 9.9 is gone and holds places for ever",
        "place #present-ada has ['9.9'], the directory []",
        "place #present-bob has [], the directory ['1.1']",
    ]


async def test_a_watcher_that_is_closed(bent):
    bent.connection.disconnected()
    bent.tenant.watching.watch(bent.connection, ("ada",))
    assert found(bent) == [f"connection {bent.id} is closed and watches users"]


async def test_the_directory_is_not_judged_while_something_is_under_way(bent):
    await bent.directory.join(APP.id, "ghosts", "1.1", None, max_members=1)
    with bent.node.in_flight:
        assert found(bent) == []
    assert found(bent) != []


async def test_a_channel_that_keeps_what_it_replayed_to_one_who_is_gone(bent):
    channel = bent.tenant.channels.get("news")
    channel.replayed[InProcessTransport()] = 1
    assert found(bent) == ["channel news keeps what it replayed to one who is not in it"]
