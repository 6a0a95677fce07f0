"""Facts: kept, and told to whoever asked for their type."""

import pytest

from relay.facts import ChannelOccupied, ChannelVacated, Connected, Fact, Journal, MemberAdded

OCCUPIED = ChannelOccupied(app="1", time=1.0, channel="a")
VACATED = ChannelVacated(app="1", time=2.0, channel="a")


def test_a_listener_hears_the_facts_of_its_type_in_order_from_then_on():
    journal = Journal()
    heard: list[Fact] = []
    journal.record(OCCUPIED)
    journal.on(ChannelVacated, heard.append)
    for fact in (VACATED, OCCUPIED, VACATED):
        journal.record(fact)
    assert heard == [VACATED, VACATED]


def test_a_listener_for_facts_hears_all():
    journal = Journal()
    heard: list[Fact] = []
    journal.on(Fact, heard.append)
    for fact in (VACATED, OCCUPIED):
        journal.record(fact)
    assert heard == [VACATED, OCCUPIED]


def test_a_listener_that_unsubscribed_hears_no_more_and_may_do_so_twice():
    journal = Journal()
    heard: list[Fact] = []
    others: list[Fact] = []
    unsubscribe = journal.on(Fact, heard.append)
    journal.on(Fact, others.append)
    unsubscribe()
    unsubscribe()
    journal.record(OCCUPIED)
    assert (heard, others) == ([], [OCCUPIED])


def test_the_same_callback_may_listen_twice_and_one_of_them_stop():
    journal = Journal()
    heard: list[Fact] = []
    stop = journal.on(Fact, heard.append)
    journal.on(Fact, heard.append)
    stop()
    journal.record(OCCUPIED)
    assert heard == [OCCUPIED]


def test_a_listener_may_unsubscribe_while_it_listens():
    journal = Journal()
    heard: list[Fact] = []

    def once(fact: Fact) -> None:
        heard.append(fact)
        stop()

    stop = journal.on(Fact, once)
    journal.record(OCCUPIED)
    journal.record(VACATED)
    assert heard == [OCCUPIED]


def test_the_latest_facts_are_kept_and_the_oldest_forgotten():
    journal = Journal(size=2)
    for fact in (OCCUPIED, VACATED, OCCUPIED):
        journal.record(fact)
    assert list(journal) == [VACATED, OCCUPIED]


def test_facts_may_be_recorded_while_the_journal_is_read():
    journal = Journal()
    journal.record(OCCUPIED)
    for _ in journal:
        journal.record(VACATED)
    assert list(journal) == [OCCUPIED, VACATED]


@pytest.mark.parametrize("fact", [OCCUPIED, MemberAdded(app="1", time=1.0, channel="a", user_id="ada")])
def test_facts_are_frozen(fact):
    with pytest.raises(AttributeError):
        fact.channel = "b"


def test_facts_are_told_apart_by_what_they_say():
    assert Connected(app="1", time=1.0, socket_id="1.1") == Connected(app="1", time=1.0, socket_id="1.1")
    assert Connected(app="1", time=1.0, socket_id="1.1") != Connected(app="1", time=1.0, socket_id="1.2")
