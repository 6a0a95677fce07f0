"""How late the event loop is: the one number that tells of a process with too much to do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from aiohttp import web

_EVERY_SECONDS = 0.25
_REMEMBERED = 40


class LoopLag:
    """A watchdog that asks to be called every quarter of a second, and notes how much later that was.

    ``app.cleanup_ctx.append(lag.watch)`` keeps it running with an application.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_REMEMBERED)

    def seconds(self) -> float:
        """The worst of the last ten seconds; 0 where nothing was measured yet."""
        return max(self._seen, default=0.0)

    async def watch(self, _: web.Application) -> AsyncIterator[None]:
        """Measure until the application ends."""
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle

        def look(due: float) -> None:
            nonlocal handle
            now = loop.time()
            self._seen.append(max(0.0, now - due))
            handle = loop.call_at(now + _EVERY_SECONDS, look, now + _EVERY_SECONDS)

        first = loop.time() + _EVERY_SECONDS
        handle = loop.call_at(first, look, first)
        yield
        handle.cancel()
