"""What changed in a channel is told in order, though the directory's answers overtake each other."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from relay.edges import Asked, Edges
from relay.facts import ChannelOccupied, ChannelVacated, Fact

ROOM = ("1", "room")


def fact(step: int, channel: str = "room") -> Fact:
    """A fact that says which step it is of."""
    return (ChannelOccupied if step % 2 else ChannelVacated)(app="1", time=step, channel=channel)


class Story:
    """Questions by name, and what was told."""

    def __init__(self) -> None:
        self.told: list[float] = []
        self.edges = Edges(lambda fact: self.told.append(fact.time))
        self.stack = ExitStack()
        self.open: dict[str, tuple[ExitStack, Asked]] = {}

    def ask(self, *names: str, channel: str = "room") -> None:
        for name in names:
            stack = ExitStack()
            self.open[name] = stack, stack.enter_context(self.edges.asking("1", channel))

    def answer(self, name: str, step: int, channel: str = "room") -> list[float]:
        stack, asked = self.open.pop(name)
        with stack:
            asked.tell(step, [fact(step, channel)])
        return self.told

    def end(self, name: str) -> list[float]:
        self.open.pop(name)[0].close()
        return self.told


def test_what_nobody_else_asked_about_is_told_at_once():
    story = Story()
    story.ask("a")
    assert story.answer("a", 1) == [1]
    assert not story.edges


def test_an_answer_waits_for_a_question_that_was_open_when_it_came():
    story = Story()
    story.ask("a", "b")
    assert story.answer("b", 2) == []
    assert story.answer("a", 1) == [1, 2]
    assert not story.edges


def test_an_answer_does_not_wait_for_what_is_asked_later():
    story = Story()
    story.ask("a", "b")
    story.answer("b", 2)
    story.ask("c")
    assert story.answer("a", 1) == [1, 2]
    assert story.answer("c", 3) == [1, 2, 3]


def test_an_older_answer_that_comes_last_does_not_wait_for_what_is_newer_than_a_younger_one():
    story = Story()
    story.ask("a", "b")
    story.answer("b", 2)
    story.ask("c")
    assert story.answer("a", 1) == [1, 2]


def test_a_question_that_fails_holds_nobody_up():
    story = Story()
    story.ask("a", "b")
    story.answer("b", 2)
    assert story.end("a") == [2]
    assert not story.edges


def test_channels_do_not_wait_for_each_other():
    story = Story()
    story.ask("a")
    story.ask("b", channel="other")
    assert story.answer("b", 2, "other") == [2]


def test_what_nobody_asked_for_waits_too():
    story = Story()
    story.ask("a")
    story.edges.tell(ROOM, None, 2, [fact(2)])
    assert story.told == []
    assert story.answer("a", 1) == [1, 2]


@given(st.data())
def test_all_is_told_once_and_in_order(data):
    """Questions are asked and answered in any order; a step is done at some time while its question is open."""
    story, steps = Story(), 0
    done: dict[str, int | None] = {}
    waiting: list[tuple[int, str]] = []
    for number in range(data.draw(st.integers(1, 12))):
        while waiting and data.draw(st.booleans()):
            step_of, name = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            story.answer(name, step_of)
        name = str(number)
        story.ask(name)
        done[name] = None
        for pending in data.draw(st.permutations([one for one, step in done.items() if step is None])):
            if data.draw(st.booleans()):
                steps += 1
                done[pending] = steps
                waiting.append((steps, pending))
    for pending in [one for one, step in done.items() if step is None]:
        steps += 1
        waiting.append((steps, pending))
    for step_of, name in data.draw(st.permutations(waiting)):
        story.answer(name, step_of)
    assert story.told == list(range(1, steps + 1))
    assert not story.edges
