"""What clients leave behind, to be worked off: many of them at once, so no order between them is promised."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.abc

from relay.inflight import InFlight

Work = Callable[[], Awaitable[None]]

AT_ONCE: Final = 64
"""An engine takes what comes together in one go; a thousand who left wait for it, not each for the one before."""
_log = logging.getLogger(__name__)


class Departures:
    """The departures of one node. Each counts as under way from ``add`` on, and is handed to ``finish``, ``most`` of
    them at once.
    """

    def __init__(self, in_flight: InFlight, finish: Callable[[Work], Awaitable[None]], most: int = AT_ONCE) -> None:
        self._in_flight = in_flight
        self._finish = finish
        self._most = most
        self._waiting: deque[Work] = deque()
        self._workers = 0
        self._news: anyio.Event | None = None

    def add(self, work: Work) -> None:
        """Do ``work`` when there is a place for it: first come, first served.

        May be called where no task is: by a transport that lost its connection.
        """
        self._in_flight.begin()
        self._waiting.append(work)
        if self._news is not None:
            self._news.set()

    async def keep(self, tasks: anyio.abc.TaskGroup) -> None:
        """Work in ``tasks``, for ever."""
        while True:
            self._news = anyio.Event()
            self._begin(tasks)
            await self._news.wait()

    async def rest(self) -> None:
        """Do what waits, now that nobody keeps at it."""
        self._news, self._workers = None, 0
        async with anyio.create_task_group() as tasks:
            self._begin(tasks)

    def _begin(self, tasks: anyio.abc.TaskGroup) -> None:
        for _ in range(min(self._most - self._workers, len(self._waiting))):
            self._workers += 1
            tasks.start_soon(self._work)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._depart(self._waiting.popleft())
        finally:
            self._workers -= 1

    async def _depart(self, work: Work) -> None:
        try:
            await self._finish(work)
        except Exception:  # noqa: BLE001 - an engine's mistake about one client is not the end of all others
            _log.exception("a client's departure failed")
        finally:
            self._in_flight.end()
