"""Telling what changed in a channel in the order in which it changed, though the directory's answers overtake each
other: who left and came back at once is told as gone first, and then as there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from relay.facts import Fact

Place = tuple[str, str]
"""An App's id and a channel's name."""


class Asked:
    """One question to the directory that changes who is in a channel. What its answer brings is told once."""

    __slots__ = ("_edges", "_number", "_place", "_told")

    def __init__(self, edges: Edges, place: Place, number: int) -> None:
        self._edges = edges
        self._place = place
        self._number = number
        self._told = False

    def tell(self, step: int, facts: Sequence[Fact]) -> None:
        """Its answer is of the directory's ``step``: tell ``facts`` when nothing older can come any more."""
        if not self._told:
            self._told = True
            self._edges.answered(self._place, self._number, step, facts)


class Edges:
    """Facts about channels that wait for older ones. Steps rise with every change of a channel.

    An answer may be of a lower step than one that is there already only if its question was asked before that one
    came. So whatever is told waits for the questions that were open when it came, and for no later ones.
    """

    __slots__ = ("_numbers", "_open", "_record", "_waiting")

    def __init__(self, record: Callable[[Fact], None]) -> None:
        self._record = record
        self._numbers = itertools.count(1)
        self._open: dict[Place, set[int]] = {}
        self._waiting: dict[Place, list[tuple[int, int, Sequence[Fact]]]] = {}
        """Steps, the last question that was open then, and what is to be told."""

    def __bool__(self) -> bool:
        return bool(self._open or self._waiting)

    @contextmanager
    def asking(self, app: str, channel: str) -> Iterator[Asked]:
        """Around a question to the directory, up to telling what came of it."""
        place, number = (app, channel), next(self._numbers)
        self._open.setdefault(place, set()).add(number)
        asked = Asked(self, place, number)
        try:
            yield asked
        finally:
            asked.tell(0, ())

    def tell(self, place: Place, asked: Asked | None, step: int, facts: Sequence[Fact]) -> None:
        """Tell ``facts``, which the answer to ``asked`` brought, or nobody asked for."""
        if asked is None:
            self.answered(place, 0, step, facts)
        else:
            asked.tell(step, facts)

    def answered(self, place: Place, number: int, step: int, facts: Sequence[Fact]) -> None:
        """See :meth:`Asked.tell`."""
        open_here = self._open.get(place, set())
        open_here.discard(number)
        if facts:
            self._waiting.setdefault(place, []).append((step, max(open_here, default=0), facts))
        if not open_here:
            self._open.pop(place, None)
        if place in self._waiting:
            self._release(place, min(open_here, default=None))

    def _release(self, place: Place, oldest: int | None) -> None:
        """Tell what waits for no question any more; ``oldest`` is the first that is open."""
        if oldest is not None and all(bound >= oldest for _, bound, _ in self._waiting[place]):
            return  # as it is most of the time where many come at once
        waiting = sorted(self._waiting[place], key=lambda one: one[0])
        bounds = list(itertools.accumulate((bound for _, bound, _ in reversed(waiting)), min))[::-1]
        ready = sum(1 for _ in itertools.takewhile(lambda bound: oldest is None or bound < oldest, bounds))
        self._waiting[place] = waiting[ready:]
        if not self._waiting[place]:
            del self._waiting[place]
        for _, _, facts in waiting[:ready]:
            for fact in facts:
                self._record(fact)
