"""Where the hub's time comes from, so that a test can decide what time it is."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio


class Clock(Protocol):
    """Time for one or more hubs. All their timers go through ``wait``."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def time(self) -> float:
        """Unix seconds."""

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        """Return when ``event`` is set, or when ``now()`` reaches ``until`` (None: never)."""

    def attach(self, settle: Callable[[], Awaitable[None]], due: Callable[[], float | None]) -> Callable[[], None]:
        """Hear of a running hub: ``settle`` waits until it did what was due, ``due`` tells what is next.

        Returns the way to detach.
        """


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def time(self) -> float:
        """Unix seconds."""
        return time.time()

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        """Wait for real."""
        with anyio.move_on_after(None if until is None else max(0.0, until - time.monotonic())):
            await event.wait()

    def attach(self, settle: Callable[[], Awaitable[None]], due: Callable[[], float | None]) -> Callable[[], None]:
        """Nothing to do: time passes by itself."""
        return lambda: None
