"""A clock that stands still until the test moves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

_TURNS = 3


class ManualClock:
    """Time for hubs under test; ``await clock.advance(150)`` lets 150 seconds pass without waiting.

    Give it to the hub: ``Hub(app, clock=ManualClock())``. ``unix`` is what ``time()`` says at the start.
    """

    def __init__(self, unix: float = 1_760_000_000.0) -> None:
        self._now = 0.0
        self._unix = unix
        self._waiting: dict[anyio.CancelScope, float] = {}
        self._woken = 0
        self._hubs: list[tuple[Callable[[], Awaitable[None]], Callable[[], float | None]]] = []

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
        while (due := self._next()) is not None and due <= target:
            self._now = max(self._now, due)
            for wait in [wait for wait, when in self._waiting.items() if when <= self._now]:
                del self._waiting[wait]
                self._woken += 1
                wait.cancel()
            await self._settled()
        self._now = target
        await self._settled()

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        """Return when ``event`` is set, or when ``advance`` reaches ``until``."""
        if until is not None and until <= self._now:
            await anyio.lowlevel.checkpoint()
            return
        with anyio.CancelScope() as wait:
            if until is not None:
                self._waiting[wait] = until
            try:
                await event.wait()
            finally:
                if until is not None and self._waiting.pop(wait, None) is None:
                    self._woken -= 1

    def attach(self, settle: Callable[[], Awaitable[None]], due: Callable[[], float | None]) -> Callable[[], None]:
        """Let ``advance`` stop at what a hub has to do, and wait until it did it."""
        hub = (settle, due)
        self._hubs.append(hub)

        def detach() -> None:
            if hub in self._hubs:
                self._hubs.remove(hub)

        return detach

    def _next(self) -> float | None:
        times = [*self._waiting.values(), *(when for _, due in self._hubs if (when := due()) is not None)]
        return min(times, default=None)

    async def _settled(self) -> None:
        while self._woken:  # who was woken has not run yet
            await anyio.lowlevel.checkpoint()
        for _ in range(_TURNS):  # and may have begun something that is to wait for this clock
            await anyio.lowlevel.checkpoint()
        for settle, _ in self._hubs:
            await settle()
