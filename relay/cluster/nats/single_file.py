"""One at a time, in the order they came; where one finds NATS away, so do all who waited behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.errors import BrokerUnavailable


class SingleFile:
    """For what many need at once, and one does for all of them. If each of many tried by itself, and NATS gave none of
    them an answer, the last one would wait as often as there are others.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failures = 0
        self._why = ""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One's turn. Raises :class:`BrokerUnavailable` where one before did, since this one began to wait."""
        failures = self._failures
        async with self._lock:
            if self._failures != failures:
                raise BrokerUnavailable(self._why)
            try:
                yield
            except BrokerUnavailable as error:
                self._failures += 1
                self._why = str(error)
                raise
