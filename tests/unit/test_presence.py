"""Rosters: users over several connections, and what a new member is told."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relay.presence import Edge, Roster, Told
from relay.protocol.messages import Identity

ADA, OTHER_ADA, BOB = (
    Identity("ada", msgspec.Raw(b'{"tab":1}')),
    Identity("ada", msgspec.Raw(b'{"tab":2}')),
    Identity("bob"),
)


def test_a_user_is_added_with_its_first_connection_and_removed_with_its_last():
    roster = Roster()
    assert [roster.add(ADA, "1.1"), roster.add(ADA, "1.2")] == [True, False]
    assert [roster.remove("ada", "1.1"), roster.remove("ada", "1.2")] == [False, True]
    assert "ada" not in roster


def test_the_first_connections_info_stands_until_the_last_one_leaves():
    roster = Roster()
    roster.add(ADA, "1.1")
    roster.add(OTHER_ADA, "1.2")
    roster.remove("ada", "1.1")
    assert roster.snapshot() == {"ada": ADA.info}
    roster.remove("ada", "1.2")
    roster.add(OTHER_ADA, "1.3")
    assert roster.snapshot() == {"ada": OTHER_ADA.info}


def test_a_connection_counts_once_however_often_it_is_added_or_removed():
    roster = Roster()
    assert [roster.add(ADA, "1.1"), roster.add(ADA, "1.1"), roster.add(ADA, "1.2")] == [True, False, False]
    assert [roster.remove("ada", "1.1"), roster.remove("ada", "1.1")] == [False, False]
    assert "ada" in roster


def test_removing_who_is_not_there_changes_nothing():
    roster = Roster()
    roster.add(ADA, "1.1")
    assert [roster.remove("bob", "1.1"), roster.remove("ada", "9.9")] == [False, False]
    assert (len(roster), roster.snapshot()) == (1, {"ada": ADA.info})


def test_users_stand_in_the_order_they_joined_and_a_snapshot_stays_as_it_was():
    roster = Roster()
    roster.add(BOB, "1.1")
    roster.add(ADA, "1.2")
    before = roster.snapshot()
    roster.remove("bob", "1.1")
    roster.add(BOB, "1.3")
    assert list(before) == ["bob", "ada"]
    assert list(roster.snapshot()) == ["ada", "bob"]


users = st.sampled_from(["ada", "bob", "eve"])


@given(st.lists(st.tuples(st.booleans(), users, st.integers(0, 3)), max_size=60))
def test_a_roster_is_the_set_of_users_with_a_connection(steps):
    roster = Roster()
    sockets: set[tuple[str, int]] = set()
    for adds, user, number in steps:
        had = {known for known, _ in sockets}
        (sockets.add if adds else sockets.discard)((user, number))
        has = {known for known, _ in sockets}
        edge = roster.add(Identity(user), str(number)) if adds else roster.remove(user, str(number))
        assert edge == (had != has)
        assert (set(roster.snapshot()), len(roster)) == (has, len(has))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[Edge, dict[str, msgspec.Raw | None]]], set[str]]:
    """Every edge of a channel in its true order, each with the roster after it; and who was there before them."""
    before = draw(st.sets(users))
    members: dict[str, msgspec.Raw | None] = dict.fromkeys(before)
    history = []
    for step, user in enumerate(draw(st.lists(users, max_size=20)), start=2):
        edge = Edge(user, user not in members, step)
        if edge.joined:
            members[user] = None
        else:
            del members[user]
        history.append((edge, dict(members)))
    return history, before


@given(histories(), st.randoms(use_true_random=False))
def test_whatever_order_edges_and_rosters_come_in_what_was_told_makes_sense_and_ends_true(story, random):
    history, before = story
    told = Told()
    told.roster(dict.fromkeys(before), 1)
    known = set(before)
    news: list[tuple[Edge, dict[str, msgspec.Raw | None] | None]] = [(edge, None) for edge, _ in history]
    news += [one for one in history if random.random() < 0.3]
    random.shuffle(news)
    for edge, roster in news:
        edges = [edge] * told.edge(edge) if roster is None else told.roster(roster, edge.step)
        for one in edges:
            assert one.joined == (one.user_id not in known)
            (known.add if one.joined else known.discard)(one.user_id)
        assert known == set(told.members)
    assert known == set(history[-1][1] if history else before)


def test_a_roster_tells_who_came_and_who_went():
    told = Told()
    told.roster({"ada": None, "bob": None}, 5)
    assert told.roster({"bob": None, "eve": ADA.info}, 8) == [
        Edge("ada", False, 8),
        Edge("eve", True, 8, ADA.info),
    ]
    assert told.members == {"bob": None, "eve": ADA.info}


def test_an_older_roster_teaches_nothing():
    told = Told()
    told.roster({"ada": None}, 5)
    assert told.roster({"bob": None}, 4) == []
    assert told.members == {"ada": None}


def test_what_is_known_is_as_of_the_latest_step():
    told = Told()
    told.roster({}, 5)
    assert told.step == 5
    told.edge(Edge("ada", True, 9))
    told.edge(Edge("bob", True, 7))
    assert told.step == 9


def test_of_those_who_are_gone_only_so_many_are_remembered():
    told = Told()
    for number in range(5000):
        told.edge(Edge(str(number), True, 2 * number + 1))
        told.edge(Edge(str(number), False, 2 * number + 2))
    assert not told.edge(Edge("4999", True, 9999))
    assert not told.edge(Edge("4000", True, 8001))
    assert told.edge(Edge("0", True, 1))  # forgotten: the price of the bound


def test_the_roster_given_is_not_changed():
    roster: dict[str, msgspec.Raw | None] = {"ada": None}
    told = Told()
    told.roster(roster, 1)
    told.edge(Edge("ada", False, 2))
    assert roster == {"ada": None}
