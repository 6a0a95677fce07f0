"""What is due when: one queue for all timers of a hub, instead of a timer task for each connection."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Timer:
    """A callback to be called once, when ``expire`` is."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def expire(self, now: float) -> None:
        """Its time has come."""
        self._callback()


class Deadlines(Generic[T]):
    """At most one deadline for each item; setting it again replaces it, in O(log n).

    Times are seconds of the caller's clock. Items due at the same time come in the order they were set.
    """

    __slots__ = ("_due", "_heap", "_order")

    def __init__(self) -> None:
        self._due: dict[T, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._due)

    def set(self, item: T, due: float) -> None:
        """``item`` is due at ``due``, and not when it was before."""
        entry = (due, next(self._order))
        self._due[item] = entry
        heapq.heappush(self._heap, (*entry, item))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(when, order, it) for it, (when, order) in self._due.items()]
            heapq.heapify(self._heap)

    def discard(self, item: T) -> None:
        """``item`` is not due any more; unknown items are fine."""
        self._due.pop(item, None)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        while self._heap:
            due, order, item = self._heap[0]
            if self._due.get(item) == (due, order):
                return due
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: float) -> list[T]:
        """Take out what is due at ``now`` or before, earliest first."""
        items = []
        while (due := self.next()) is not None and due <= now:
            item = heapq.heappop(self._heap)[2]
            del self._due[item]
            items.append(item)
        return items
