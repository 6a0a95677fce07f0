"""Where one node hears the others: on one connection, or on one to each server of a Redis Cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from relay.cluster.redis.address import Place
from relay.cluster.redis.ear import Ear, Hear
from relay.cluster.redis.keys import Keys
from relay.cluster.redis.lane import BROKEN
from relay.errors import BrokerUnavailable

_log = logging.getLogger(__name__)


class Ears:
    """Connections that are opened together, and lost together: ``lost`` is called when one of them is."""

    def __init__(self, place: Place, keys: Keys, patience: float, hear: Hear, lost: Callable[[], None]) -> None:
        self._place, self._keys, self._patience = place, keys, patience
        self._hear, self._lost = hear, lost
        self._ears: dict[str, Ear] = {}
        self._listening: set[asyncio.Task[None]] = set()
        self.open = False

    async def listen(self, wanted: set[bytes], beacon: Callable[[int], bytes]) -> list[bytes]:
        """Connect, and hear all that is ``wanted``, also what is added to it meanwhile.

        Returns one beacon for each connection, which are heard too. Raises :class:`BrokerUnavailable`, or what
        redis-py does.
        """
        async with asyncio.timeout(self._patience):
            await self._place.learn()
        beacons: dict[str, bytes] = {}
        for shard in range(self._keys.shards):
            topic = beacon(shard)
            owner = self._place.owner(topic)
            if owner not in self._ears:
                await self._connect(owner, topic)
                beacons[owner] = topic
        heard: set[bytes] = set()
        while missing := (wanted | set(beacons.values())) - heard:
            for owner, ear in self._ears.items():
                mine = [topic for topic in missing if self._place.owner(topic) == owner]
                if mine:
                    await ear.subscribe(mine)
            heard |= missing
        self.open = True
        for topic in heard - set(beacons.values()):
            if topic not in wanted:  # asked anew each time: who subscribes now comes after this
                await self.unsubscribe(topic)
        return list(beacons.values())

    async def subscribe(self, topic: bytes) -> None:
        """Return when messages of ``topic`` from now on are heard. Raises :class:`BrokerUnavailable`."""
        await self._ear(topic).subscribe([topic])

    async def unsubscribe(self, topic: bytes) -> None:
        """Return when nothing of ``topic`` will be heard any more. Raises :class:`BrokerUnavailable`."""
        await self._ear(topic).unsubscribe(topic)

    async def close(self) -> None:
        """End; ``lost`` is not called."""
        self.open = False
        ears, self._ears = list(self._ears.values()), {}
        listening, self._listening = self._listening, set()
        for task in listening:
            task.cancel()
        if listening:
            await asyncio.wait(listening)
        for ear in ears:
            await ear.close()

    def _ear(self, topic: bytes) -> Ear:
        ear = self._ears.get(self._place.owner(topic)) if self.open else None
        if ear is None:
            raise BrokerUnavailable("Redis cannot be reached")
        return ear

    async def _connect(self, owner: str, key: bytes) -> None:
        async with asyncio.timeout(self._patience):
            connection = await self._place.connect(key)
        ear = self._ears[owner] = Ear(connection, self._hear, self._patience, sharded=self._place.clustered)
        self._listening.add(asyncio.create_task(self._until_lost(ear)))

    async def _until_lost(self, ear: Ear) -> None:
        try:
            await ear.listen()
        except BROKEN as error:
            _log.info("a connection to Redis ended", extra={"error": str(error)})
        if self.open:
            self.open = False
            self._lost()
