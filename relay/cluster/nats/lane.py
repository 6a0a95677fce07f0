"""The connection on which one node asks NATS, made again whenever it is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from relay.cluster.nats.address import Address
from relay.cluster.nats.link import BROKEN, Hear, Link, running_loop
from relay.errors import BrokerError, BrokerUnavailable

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)


class Lane:
    """One node's way to NATS for everything but listening to others.

    Nothing is ever sent twice: when the connection is lost, what is under way fails, and so does everything further,
    at once, until NATS can be reached again.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._heard: dict[str, Hear] = {}
        self._link: Link | None = None
        self._worker: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self.down: str | None = None
        """Why NATS cannot be asked now, or None."""

    def hear(self, subject: str, hear: Hear) -> None:
        """Hear ``subject`` on each connection that is made from now on."""
        self._heard[subject] = hear

    async def reach(self) -> Link:
        """The connection. Raises :class:`BrokerUnavailable` when it was lost, without waiting for it to come back."""
        if self._worker is None:
            self._tried = asyncio.Event()
            self._worker = running_loop().create_task(self._work())
        if self._link is None and self.down is None:
            await self._tried.wait()
        if self._link is None or not self._link.open:
            raise BrokerUnavailable(self.down or "the connection to NATS was lost")
        return self._link

    async def close(self) -> None:
        """Let go of NATS; what is under way fails. The next question begins anew."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        self.down = None

    async def _work(self) -> None:
        """Connect, and again when the connection is lost; for ever."""
        pause = _FIRST_PAUSE
        while True:
            self._lost = lost = asyncio.Event()
            link = Link(self.address.settings, self._arrived, lost.set)
            try:
                await link.connect(self.address, no_echo=False)
                for subject in self._heard:
                    await link.subscribe(subject)
                await link.ask("")  # NATS knows of them
                self._link, self.down = link, None
                self._tried.set()
                pause = _FIRST_PAUSE
                await lost.wait()
                self.down = "the connection to NATS was lost"
            except Exception as error:  # noqa: BLE001 - whatever it is, whoever asks must not wait for ever
                if self.down is None:
                    strange = None if isinstance(error, (BrokerError, *BROKEN)) else error
                    _log.warning("NATS cannot be asked", extra={"error": str(error)}, exc_info=strange)
                self.down = f"NATS cannot be reached: {type(error).__name__} {error}"
            finally:
                self._link = None
                self._tried.set()
                await link.close()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _arrived(self, subject: str, data: bytes) -> None:
        self._heard[subject](subject, data)
