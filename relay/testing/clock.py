"""A clock that stands still until the test moves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel


class ManualClock:
    """Time for hubs under test; ``await clock.advance(150)`` lets 150 seconds pass without waiting.

    Give it to the hub: ``Hub(app, clock=ManualClock())``. ``unix`` is what ``time()`` says at the start.
    """

    def __init__(self, unix: float = 1_760_000_000.0) -> None:
        self._now = 0.0
        self._unix = unix
        self._waiting: dict[anyio.Event, float] = {}
        self._settle: list[Callable[[], Awaitable[None]]] = []

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    def time(self) -> float:
        """Unix seconds."""
        return self._unix + self._now

    async def advance(self, seconds: float) -> None:
        """Let time pass. Whatever falls due on the way happens at its own time, in order; then all settles."""
        if seconds < 0:
            raise ValueError(f"time does not go back: advance() takes 0 or more seconds, got {seconds!r}")
        target = self._now + seconds
        await self._settled()
        while (due := min(self._waiting.values(), default=target + 1)) <= target:
            self._now = max(self._now, due)
            for event in [event for event, when in self._waiting.items() if when <= self._now]:
                del self._waiting[event]
                event.set()
            await self._settled()
        self._now = target
        await self._settled()

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        """Return when ``event`` is set, or when ``advance`` reaches ``until``."""
        if until is not None:
            if until <= self._now:
                await anyio.lowlevel.checkpoint()
                return
            self._waiting[event] = until
        try:
            await event.wait()
        finally:
            self._waiting.pop(event, None)

    def attach(self, settle: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Let ``advance`` wait for a hub too."""
        self._settle.append(settle)

        def detach() -> None:
            if settle in self._settle:
                self._settle.remove(settle)

        return detach

    async def _settled(self) -> None:
        for settle in self._settle:
            await settle()
