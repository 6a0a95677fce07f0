"""Where the hub's time comes from, so that a test can decide what time it is."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

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


_GRAIN: Final = 0.02
"""Seconds of the wheel that timers are on. Pings of thousands of connections come due in a few turns of the loop
instead of one turn for each; nothing is early, and at most this late."""
_HAIR: Final = 1e-6
"""Seconds by which a whole millisecond is missed on purpose: uvloop counts in them, and a timer that comes a hair too
early is asked for again and again until it is due (measured: 100 turns of the loop for one wait)."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def time(self) -> float:
        """Unix seconds."""
        return time.time()

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        """Wait for real; a little too long rather than too short."""
        seconds = None if until is None else math.ceil(until / _GRAIN) * _GRAIN - time.monotonic()
        if seconds is not None:
            seconds = max(0.0, math.ceil(seconds * 1000) / 1000 - _HAIR)
        with anyio.move_on_after(seconds):
            await event.wait()

    def attach(self, settle: Callable[[], Awaitable[None]], due: Callable[[], float | None]) -> Callable[[], None]:
        """Nothing to do: time passes by itself."""
        return lambda: None
