"""The document of one channel says what a directory in memory says, whatever happens, and reloaded at each step."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import BrokerError
from relay.cluster.directory import Full, Joined, Left
from relay.cluster.local import LocalDirectory
from relay.cluster.nats.place import Join, Leave, Place, Sweep
from relay.protocol.messages import Identity

SOCKETS = st.sampled_from(["1.1", "1.2", "2.1", "2.2"])
NODES = st.sampled_from(["n1", "n2"])
MEMBERS = st.sampled_from([Identity("ada"), Identity("bob", msgspec.Raw(b'{"n":1}')), Identity("eve")])
JOINS = st.tuples(st.just("join"), NODES, SOCKETS, MEMBERS)
PLAIN = st.tuples(st.just("join"), NODES, SOCKETS, st.none())
LEAVES = st.tuples(st.just("leave"), NODES, SOCKETS, st.none())
MOST = 2


async def in_memory(directory: LocalDirectory, kind: str, socket_id: str, member: Identity | None) -> object:
    if kind == "join":
        return await directory.join("1", "room", socket_id, member, max_members=MOST)
    return await directory.leave("1", "room", socket_id)


def numberless(answer: object) -> object:
    return answer if isinstance(answer, Full) else msgspec.structs.replace(answer, step=0)  # type: ignore[type-var]


@given(st.one_of(*(st.lists(st.one_of(joins, LEAVES), max_size=30) for joins in (JOINS, PLAIN))))
async def test_it_is_what_a_directory_in_memory_has(story):
    directory, data, steps = LocalDirectory(), b"", itertools.count(1)
    joined: dict[str, Identity | None] = {}
    for kind, node, socket_id, chosen in story:
        member = joined.get(socket_id, chosen)  # a connection that joins again is the same user
        place = Place.load(data)
        act = Join(socket_id, member, MOST) if kind == "join" else Leave(socket_id)
        answer = act.on(place, node)
        given_answer = act.idle(place) if answer is None else answer(steps)
        expected = await in_memory(directory, kind, socket_id, member)
        if isinstance(expected, Joined) and socket_id in joined:  # who is in already is not the first to come
            expected = msgspec.structs.replace(expected, first_in_channel=False)
        assert numberless(given_answer) == numberless(expected)
        data = place.dump()
        if kind == "leave":
            joined.pop(socket_id, None)
        elif not isinstance(given_answer, Full):
            joined[socket_id] = member
        occupancy = await directory.occupancy("1", "room")
        assert (Place.load(data).count, Place.load(data).users) == (occupancy.subscriptions, occupancy.users)
        assert list(Place.load(data).roster()) == list(await directory.roster("1", "room"))


@given(st.lists(JOINS, max_size=30))
def test_a_sweep_takes_exactly_what_the_dead_node_owned_last(story):
    place, owners, steps = Place.load(b""), dict[str, str](), itertools.count(1)
    for _, node, socket_id, member in story:
        if Join(socket_id, member, 100).on(place, node) is not None:
            owners[socket_id] = node
    sweep = Sweep("n1")
    answer = sweep.on(place, "n2")
    gone = [] if answer is None else answer(steps)
    assert isinstance(gone, list)
    assert sorted(socket_id for socket_id, _, _ in gone) == sorted(one for one in owners if owners[one] == "n1")
    assert place.count == sum(node == "n2" for node in owners.values())
    lefts = [left for _, _, left in gone]
    assert all(isinstance(left, Left) for left in lefts)
    assert [left.last_in_channel for left in lefts] == [left.count == 0 for left in lefts]
    assert sweep.on(place, "n2") is None


@given(st.binary(min_size=1))
def test_what_is_no_document_of_ours_is_refused(data):
    with pytest.raises(BrokerError, match="what NATS has of a channel"):
        Place.load(data)
