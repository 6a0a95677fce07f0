"""One queue for all timers."""

from hypothesis import given
from hypothesis import strategies as st

from relay.deadlines import Deadlines


def test_what_is_due_comes_earliest_first_and_once():
    deadlines: Deadlines[str] = Deadlines()
    for item, due in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        deadlines.set(item, due)
    assert deadlines.next() == 1.0
    assert deadlines.pop_due(2.0) == ["a", "b"]
    assert deadlines.pop_due(2.0) == []
    assert (len(deadlines), deadlines.next()) == (1, 3.0)


def test_items_due_at_the_same_time_come_in_the_order_they_were_set():
    deadlines: Deadlines[str] = Deadlines()
    for item in "cab":
        deadlines.set(item, 1.0)
    deadlines.set("c", 1.0)
    assert deadlines.pop_due(1.0) == ["a", "b", "c"]


def test_setting_an_item_again_puts_it_off_or_brings_it_forward():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("a", 5.0)
    assert deadlines.pop_due(4.0) == []
    deadlines.set("a", 2.0)
    assert (len(deadlines), deadlines.pop_due(4.0), deadlines.next()) == (1, ["a"], None)


def test_a_discarded_item_is_not_due_and_an_unknown_one_may_be_discarded():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.discard("a")
    deadlines.discard("b")
    assert (len(deadlines), deadlines.next(), deadlines.pop_due(9.0)) == (0, None, [])


def test_an_item_may_be_set_again_after_it_was_due():
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    assert deadlines.pop_due(1.0) == ["a"]
    deadlines.set("a", 1.0)
    assert deadlines.pop_due(1.0) == ["a"]


def test_items_that_cannot_be_compared_may_be_due_at_the_same_time():
    deadlines: Deadlines[object] = Deadlines()
    items = [object() for _ in range(3)]
    for item in items:
        deadlines.set(item, 1.0)
    assert deadlines.pop_due(1.0) == items


items = st.integers(0, 5)
times = st.integers(0, 9).map(float)
steps = st.lists(
    st.tuples(st.just("set"), items, times) | st.tuples(st.sampled_from(["discard", "pop"]), items | times, times),
    max_size=400,
)


@given(steps)
def test_it_does_what_a_sorted_list_does(steps):
    deadlines: Deadlines[int] = Deadlines()
    naive: list[tuple[float, int, int]] = []
    for order, (verb, item, when) in enumerate(steps):
        if verb == "pop":
            assert deadlines.pop_due(when) == [item for due, _, item in sorted(naive) if due <= when]
            naive = [entry for entry in naive if entry[0] > when]
        else:
            naive = [entry for entry in naive if entry[2] != item]
            deadlines.discard(int(item))
            if verb == "set":
                naive.append((when, order, int(item)))
                deadlines.set(int(item), when)
        assert (len(deadlines), deadlines.next()) == (len(naive), min(naive)[0] if naive else None)


def test_setting_one_item_over_and_over_does_not_fill_the_memory():
    deadlines: Deadlines[str] = Deadlines()
    for due in range(10_000):
        deadlines.set("a", float(due))
    assert len(deadlines._heap) < 200  # noqa: SLF001 - nothing else shows it
    assert deadlines.pop_due(9_998.0) == []
    assert deadlines.pop_due(9_999.0) == ["a"]
