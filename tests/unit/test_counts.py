"""How many subscribers channels have, and who is to be told of it when: no hub, no clock."""

from relay.counts import Counts, News


def counts_of(*changes: tuple[int, int]) -> Counts[str]:
    """One channel with these counts and steps, each looked at 10 seconds after the one before."""
    counts: Counts[str] = Counts()
    for number, (count, step) in enumerate(changes):
        counts.change("orders", count, step, ours=True)
        counts.changed()
        counts.look("orders", number * 10.0, here=True)
    return counts


def test_the_first_change_of_a_turn_asks_for_a_look_and_the_others_go_along():
    counts: Counts[str] = Counts()
    assert counts.change("orders", 1, 1, ours=True)
    assert not counts.change("orders", 2, 2, ours=True)
    assert not counts.change("news", 1, 3, ours=True)
    assert counts.changed() == ["orders", "news"]
    assert counts.change("orders", 3, 4, ours=True)


def test_what_is_older_than_what_is_known_is_no_change():
    counts = counts_of((5, 7))
    assert not counts.change("orders", 4, 7, ours=False)
    assert not counts.change("orders", 3, 6, ours=False)
    assert counts.look("orders", 100.0, here=True) is None


def test_a_node_that_knows_no_step_is_believed_and_what_came_before_stays_older():
    counts = counts_of((5, 7), (2, 0))
    assert not counts.change("orders", 4, 6, ours=False)
    assert counts.change("orders", 6, 8, ours=False)
    assert counts.look("orders", 100.0, here=True) == News(6, True, [], False, 0)


def test_newcomers_are_told_while_the_others_wait_and_the_other_nodes_know_at_once():
    counts = counts_of((150, 1))
    counts.change("orders", 151, 2, ours=True)
    counts.welcome("orders", "ada")
    assert counts.look("orders", 1.0, here=True) == News(151, False, ["ada"], True, 2)
    assert counts.look("orders", 2.0, here=True) is None
    assert counts.look("orders", 5.0, here=True) == News(151, True, [], True, 0)


def test_one_more_look_is_asked_for_once_until_it_was_taken():
    counts = counts_of((150, 1))
    counts.change("orders", 151, 2, ours=True)
    counts.look("orders", 1.0, here=True)
    assert [counts.again("orders", 1.0, here=True) for _ in range(3)] == [5.0, None, None]
    counts.waited("orders")
    assert counts.again("orders", 2.0, here=True) == 5.0


def test_what_was_told_asks_for_no_further_look():
    assert counts_of((150, 1)).again("orders", 0.0, here=True) is None


def test_a_channel_is_forgotten_once_nobody_is_here_and_it_does_not_rest():
    counts = counts_of((150, 1))
    counts.change("orders", 149, 2, ours=True)
    counts.look("orders", 1.0, here=False)
    assert list(counts) == ["orders"]
    assert counts.again("orders", 1.0, here=False) == 5.0
    counts.look("orders", 5.0, here=False)
    assert list(counts) == ["orders"]  # it was told just now, and rests
    counts.look("orders", 10.0, here=False)
    assert list(counts) == []
    assert counts.again("orders", 10.0, here=False) is None


def test_a_small_channel_is_forgotten_with_its_last_subscriber_here():
    counts = counts_of((2, 1))
    counts.change("orders", 1, 2, ours=True)
    assert counts.look("orders", 0.0, here=False) == News(1, True, [], True, 2)
    assert list(counts) == []


def test_nobody_is_welcomed_to_a_channel_that_is_not_counted():
    assert not Counts[str]().welcome("orders", "ada")


def test_a_count_that_nobody_will_look_at_again_is_a_problem():
    counts = counts_of((2, 1))
    assert list(counts.problems(["orders"])) == []
    assert list(counts.problems([])) == ["the count of orders is kept though nobody is in it"]
