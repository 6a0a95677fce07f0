"""How many subscribers channels have, and who has to be told of it when (protocol 5). No clock: times come in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar

import msgspec

C = TypeVar("C")
"""A connection; this module only keeps it."""

LARGE: Final = 100
"""Subscribers above which a channel is told of its count only now and then."""
PAUSE: Final = 5.0
"""Seconds between two counts that a large channel is told."""


class News(msgspec.Struct, Generic[C], frozen=True):
    """What there is to tell of one channel, which has ``count`` subscribers.

    ``everybody`` in it is to be told, and else those who are new. ``ours`` says that the last change happened on this
    node. Where ``step`` is not 0 the other nodes do not know of that change yet.
    """

    count: int
    everybody: bool
    newcomers: Sequence[C]
    ours: bool
    step: int


class _Count(Generic[C]):
    """One channel's count, and what of it was told."""

    __slots__ = ("count", "newcomers", "ours", "said", "step", "told", "told_at", "waiting")

    def __init__(self) -> None:
        self.count = self.step = self.said = 0
        self.ours = self.waiting = False
        self.told: int | None = None
        self.told_at = -math.inf
        self.newcomers: list[C] = []

    def rests_until(self) -> float:
        """Not before then everybody may be told again. What was told counts too: else leaving and entering at the
        border would be told each time.
        """
        return self.told_at + PAUSE if max(self.count, self.told or 0) > LARGE else -math.inf


class Counts(Generic[C]):
    """The counts of one App's channels that this node has something to do with.

    What changes is gathered with ``change`` and ``welcome`` and worked off with ``changed`` and ``look`` at the end of
    the turn: so a turn costs each channel one telling, whatever happened in it.
    """

    __slots__ = ("_changed", "_channels")

    def __init__(self) -> None:
        self._channels: dict[str, _Count[C]] = {}
        self._changed: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._channels))

    def change(self, name: str, count: int, step: int, *, ours: bool) -> bool:
        """Take in that a channel had ``count`` subscribers after ``step`` of the directory.

        What is older than what is known is dropped. Step 0 is of a node that cannot ask the directory: it always
        counts. Returns whether this is the first change of the turn.
        """
        one = self._channels.get(name)
        if one is None:
            one = self._channels[name] = _Count()
        if step and step <= one.step:
            return False
        one.count, one.ours, one.step = count, ours, step or one.step
        return self._note(name)

    def welcome(self, name: str, newcomer: C) -> bool:
        """Somebody was acknowledged, and is to be told how many there are. Returns as ``change``."""
        one = self._channels.get(name)
        if one is None:
            return False
        one.newcomers.append(newcomer)
        return self._note(name)

    def changed(self) -> list[str]:
        """The channels to look at, now that the turn is over."""
        changed, self._changed = list(self._changed), {}
        return changed

    def look(self, name: str, now: float, *, here: bool) -> News[C] | None:
        """What is to be told of a channel now; ``here`` says whether somebody on this node is in it."""
        one = self._channels.get(name)
        if one is None:
            return None
        everybody = one.count != one.told and one.rests_until() <= now
        newcomers, one.newcomers = one.newcomers, []
        step = one.step if one.ours and one.step > one.said else 0
        one.said = one.step
        news = News(one.count, everybody, newcomers, one.ours, step)
        if everybody:
            one.told, one.told_at = one.count, now
        if not here and one.rests_until() <= now:  # nothing is untold then
            del self._channels[name]
        return news if everybody or newcomers or step else None

    def again(self, name: str, now: float, *, here: bool) -> float | None:
        """When to ``look`` at a channel once more, if nobody was told so yet."""
        one = self._channels.get(name)
        if one is None or one.waiting or (here and one.count == one.told):
            return None
        one.waiting = True
        return max(now, one.rests_until())

    def waited(self, name: str) -> None:
        """It is time to ``look`` once more."""
        one = self._channels.get(name)
        if one is not None:
            one.waiting = False

    def problems(self, here: Sequence[str]) -> Iterator[str]:
        """What cannot be: counts of channels that nobody here is in, and that nobody will look at any more."""
        for name, one in self._channels.items():
            if name not in here and not one.waiting and name not in self._changed:
                yield f"the count of {name} is kept though nobody is in it"

    def _note(self, name: str) -> bool:
        first = not self._changed
        self._changed[name] = None
        return first
