"""The document of leases: who is alive by NATS's own clock."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay import BrokerError
from relay.cluster.nats.leases import Leases, dump, load

LEASE, AWAY, FORGET = 100, 70, 10_000


def beat(leases: Leases, name: str, now: int) -> Leases:
    """`name` beats, and NATS writes it at `now`."""
    return leases.beaten(name, leases.before if not leases.writer else max(leases.living.values(), default=0)).at(
        now, LEASE, AWAY
    )


def test_who_beats_is_alive_as_of_when_it_was_written():
    leases = Leases().at(0, LEASE, AWAY).beaten("a", 0).at(50, LEASE, AWAY)
    assert leases.living == {"a": 50}
    assert load(dump(leases)) == leases


def test_who_was_not_heard_of_for_a_lease_is_overdue():
    leases = beat(beat(beat(Leases(), "a", 10), "b", 50), "b", 111)
    assert leases.overdue(111, LEASE) == ["a"]
    assert leases.overdue(110, LEASE) == []


def test_the_dead_are_found_once_and_forgotten_in_the_end():
    leases = beat(beat(beat(Leases(), "a", 10), "b", 50), "b", 111).buried(["a"], "b", 111, FORGET).at(112, LEASE, AWAY)
    assert (leases.living, leases.dead) == ({"b": 112}, {"a": 111})
    later = leases.buried([], "b", 111 + FORGET, FORGET)
    assert later.dead == {}


def test_where_nobody_was_heard_of_for_a_lease_everybody_has_one_more():
    leases = beat(beat(Leases(), "a", 10), "b", 50)
    again = leases.beaten("b", 50).at(1000, LEASE, AWAY)
    assert again.overdue(1000, LEASE) == []
    later = again.beaten("b", 1000).at(1050, LEASE, AWAY).beaten("b", 1050).at(1101, LEASE, AWAY)
    assert later.overdue(1101, LEASE) == ["a"]


def test_who_beat_last_before_nats_was_away_for_most_of_a_lease_is_not_overdue_when_it_is_back():
    leases = beat(beat(Leases(), "a", 10), "b", 40)
    assert leases.beaten("b", 40).at(110, LEASE, AWAY).overdue(111, LEASE) == ["a"]  # it was away for no longer than 70
    again = leases.beaten("b", 40).at(111, LEASE, AWAY)
    assert again.overdue(111, LEASE) == []
    assert again.beaten("b", 111).at(212, LEASE, 200).overdue(212, LEASE) == ["a"]


def test_a_name_that_was_given_up_is_kept_for_a_lease():
    leases = beat(Leases(), "old", 10)
    assert leases.beaten("new", 90, keep="old").at(91, LEASE, AWAY).living == {"old": 90, "new": 91}
    assert leases.beaten("new", 90, keep="unknown").at(91, LEASE, AWAY).living == {"old": 10, "new": 91}


def test_who_ends_in_order_is_dead_at_once():
    leases = beat(beat(Leases(), "a", 10), "b", 20)
    assert leases.buried(["b"], "b", 20, FORGET).at(21, LEASE, AWAY).living == {"a": 10}


@given(st.binary(min_size=1))
@example(b"\x90")
@example(b"\x91\x01")
def test_what_is_no_document_of_ours_is_refused(data):
    with pytest.raises(BrokerError, match="the leases in NATS"):
        load(data)
