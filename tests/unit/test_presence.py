"""Rosters: users over several connections, and what a new member is told."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relay.presence import Consistent, Roster
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


@given(st.sets(users), st.lists(st.tuples(users, st.booleans()), max_size=30))
def test_a_reader_is_told_exactly_what_changes_its_count(roster, edges):
    consistent, present = Consistent(dict.fromkeys(roster)), set(roster)
    for user, joined in edges:
        assert consistent.tells(user, joined=joined) == ((user in present) != joined)
        (present.add if joined else present.discard)(user)


def test_the_roster_given_is_not_changed():
    roster: dict[str, msgspec.Raw | None] = {"ada": None}
    Consistent(roster).tells("ada", joined=False)
    assert roster == {"ada": None}
