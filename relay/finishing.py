"""Work that is done to its end once it is begun, whoever gives up waiting for it."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from relay.inflight import InFlight

_log = logging.getLogger(__name__)


class Finishing:
    """The unfinished work of one node. It runs in the node's own tasks, out of reach of its callers' cancellation:
    that of ``anyio`` scopes, and asyncio's own ``Task.cancel``, from which no scope can shield.
    """

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._scopes: set[anyio.CancelScope] = set()
        self._last_moment = math.inf

    async def finish(self, tasks: anyio.abc.TaskGroup, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` in ``tasks``, and raise here what it raises."""
        job = _Job(work)
        self._in_flight.begin()
        tasks.start_soon(self._run, job)
        await job.result()

    def hurry(self, seconds: float) -> None:
        """What is unfinished, and what is begun from now on, has ``seconds`` left."""
        self._last_moment = anyio.current_time() + seconds
        for scope in self._scopes:
            scope.deadline = self._last_moment

    async def _run(self, job: _Job) -> None:
        with anyio.CancelScope(shield=True, deadline=self._last_moment) as scope:
            self._scopes.add(scope)
            try:
                await job.run()
            finally:
                self._scopes.discard(scope)
                self._in_flight.end()


class _Job:
    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._done = anyio.Event()
        self._awaited = True
        self._error: Exception | None = None

    async def run(self) -> None:
        try:
            await self._work()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
            if not self._awaited:
                _log.exception("work that nobody waits for failed")
        finally:
            self._done.set()

    async def result(self) -> None:
        try:
            await self._done.wait()
        except BaseException:
            self._awaited = False
            raise
        if self._error is not None:
            raise self._error
