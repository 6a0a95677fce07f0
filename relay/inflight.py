"""Knowing when nothing is under way: the counter behind ``hub.settle()``."""

from __future__ import annotations

from types import TracebackType

import anyio


class InFlight:
    """Counts what was begun and not finished. ``with in_flight:`` counts one piece of work."""

    __slots__ = ("_count", "_idle")

    def __init__(self) -> None:
        self._count = 0
        self._idle: anyio.Event | None = None

    def __bool__(self) -> bool:
        return self._count > 0

    def begin(self) -> None:
        """One more piece of work; ``end`` must follow."""
        self._count += 1

    def end(self) -> None:
        """A piece of work is done, whether it went well or not."""
        self._count -= 1
        if self._count == 0 and self._idle is not None:
            self._idle.set()
            self._idle = None

    def __enter__(self) -> None:
        self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    async def idle(self) -> None:
        """Return when nothing is under way, at once if that is so now."""
        while self._count:
            if self._idle is None:
                self._idle = anyio.Event()
            await self._idle.wait()
