"""How much of what dead nodes left is taken out in one beat: a part, so that no beat comes late for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relay.cluster.directory import Abandoned

_SHARE: Final = 0.25
"""Of the time between two beats."""
_MOST: Final = 1000
"""Whoever tells of them has to keep up."""


class Portion:
    """What is taken out of one engine in one beat. It is ``over`` after a part of the ``beat`` seconds between two, by
    ``clock``, or when it is large; but never before something was ``asked``, so the whole has an end, however slow.
    """

    __slots__ = ("_clock", "_until", "asked", "gone")

    def __init__(self, beat: float, clock: Callable[[], float]) -> None:
        self._clock, self._until = clock, clock() + beat * _SHARE
        self.asked = False
        self.gone: list[Abandoned] = []

    @property
    def over(self) -> bool:
        """Whether to leave the rest for the next one."""
        return self.asked and (len(self.gone) >= _MOST or self._clock() >= self._until)
