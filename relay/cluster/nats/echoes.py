"""How one connection learns that NATS has what was sent on it: by a message that comes back on another one.

NATS answers nothing to a publish, and nats-py sends its pings past what still waits to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from relay.cluster.nats.link import BROKEN, Link, running_loop
from relay.cluster.nats.settings import NatsSettings
from relay.errors import BrokerError, BrokerUnavailable

_FIRST_PAUSE: Final = 0.05


class Echoes:
    """The echoes of one ``link``, each for all who wait in that moment. ``deaf`` is called when one does not come."""

    def __init__(self, link: Link, subject: str, settings: NatsSettings, deaf: Callable[[], None]) -> None:
        self._link, self._subject, self._settings, self._deaf = link, subject, settings, deaf
        self._waiting: list[asyncio.Future[None]] = []
        self._under_way: list[asyncio.Future[None]] = []
        self._worker: asyncio.Task[None] | None = None
        self._count = 0
        self._back = asyncio.Event()

    async def wait(self) -> None:
        """Return when NATS has all that was sent before. Raises :class:`BrokerUnavailable`."""
        if len(self._waiting) >= self._settings.in_flight:
            raise BrokerUnavailable(f"{self._settings.in_flight} messages wait for NATS already")
        loop = running_loop()
        had: asyncio.Future[None] = loop.create_future()
        self._waiting.append(had)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        await had

    def came(self, data: bytes) -> None:
        """An echo came."""
        if data == b"%d" % self._count:
            self._back.set()

    async def close(self) -> None:
        """End; who waits fails."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])

    async def _work(self) -> None:
        try:
            while self._waiting:
                self._under_way, self._waiting = self._waiting, []
                self._count += 1
                self._back.clear()
                async with asyncio.timeout(self._settings.patience):
                    await self._call()
                for had in self._under_way:
                    if not had.done():
                        had.set_result(None)
                self._under_way = []
            self._worker = None
        except (BrokerError, *BROKEN) as error:
            self._worker = None
            self._fail(f"NATS gave no answer: {type(error).__name__}")
            self._deaf()
        finally:
            self._fail("the connection to NATS was lost")

    async def _call(self) -> None:
        """Have the echo come back. Where the two connections lead to different servers of one NATS, the one may not
        know yet that somebody listens at the other: so it is called again.
        """
        pause = _FIRST_PAUSE
        while not self._back.is_set():
            await self._link.publish(self._subject, b"%d" % self._count)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._back.wait()
            pause *= 2

    def _fail(self, why: str) -> None:
        for had in (*self._under_way, *self._waiting):
            if not had.done():
                had.set_exception(BrokerUnavailable(why))
                had.exception()  # whoever waited may have given up
        self._under_way, self._waiting = [], []
