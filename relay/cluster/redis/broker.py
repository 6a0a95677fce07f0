"""Envelopes over Redis's pub/sub, and the proof that this node hears them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from relay.cluster.broker import Envelope
from relay.cluster.inbox import Inbox
from relay.cluster.outage import Outage
from relay.cluster.packing import pack
from relay.cluster.redis.address import Place, locate
from relay.cluster.redis.ears import Ears
from relay.cluster.redis.keys import Keys
from relay.cluster.redis.lane import BROKEN, reason, running_loop
from relay.cluster.redis.lanes import Lanes
from relay.cluster.redis.settings import RedisSettings
from relay.cluster.redis.waiting import within
from relay.errors import BrokerError, BrokerUnavailable, UsageError
from relay.receipts import Remote

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)


class RedisBroker:
    """Moves envelopes between the nodes of one Redis; see :class:`relay.cluster.broker.Broker` for what it promises.

    It proves every ``settings.proof`` seconds that it hears: a message to itself has to come back within
    ``settings.patience``. ``proven`` is when one did last, by the loop's clock, and ``healthy`` whether the last one
    did and what was lost before it is put right. Where none does, the connection is thrown away and made anew, with
    all subscriptions; what was published meanwhile is lost. ``watch`` tells of each change.

    What comes over Redis and is no envelope is counted in ``refused`` and otherwise ignored.
    """

    def __init__(
        self, url: str, settings: RedisSettings | None = None, *, place: Place | None = None, lanes: Lanes | None = None
    ) -> None:
        self._settings = settings = settings or RedisSettings()
        self._place = place or locate(url, settings.patience)
        self._lanes = lanes or Lanes(self._place, settings)
        shards = settings.shards_in(clustered=self._place.clustered)
        self._keys = Keys(settings.prefix, shards, self._place.database)
        self._publish = b"SPUBLISH" if self._place.clustered else b"PUBLISH"
        self.node = secrets.token_hex(8)
        """What the envelopes of this node are signed with, so that it knows its own."""
        self._receive: Callable[[Envelope], None] | None = None
        self._lost: Callable[[], None] = lambda: None
        self._restored: Callable[[], Awaitable[None]] = _nothing
        self._wanted: set[bytes] = set()
        self._ears = Ears(self._place, self._keys, settings.patience, self._hear, self._lose)
        self._beacons: dict[bytes, bool] = {}
        """Where this node hears itself, and whether it did."""
        self._staying: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._hurry = asyncio.Event()
        self._proof = b""
        self.healthy = False
        self.proven: float | None = None
        self._inbox = Inbox("Redis", self.node, self._keys.topic, _log)

    @property
    def refused(self) -> int:
        """How much came that was no envelope."""
        return self._inbox.refused

    def watch(self, lost: Callable[[], None], restored: Callable[[], Awaitable[None]]) -> None:
        """Call ``lost`` when a proof fails; when one succeeds again, ``restored``, and be healthy when it returns."""
        self._lost, self._restored = lost, restored

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        """Begin. Raises :class:`BrokerUnavailable` when Redis does not bring back what is sent to it."""
        if self._receive is not None:
            raise UsageError("this broker serves a hub already: each hub needs one of its own")
        loop = running_loop()
        self._heard, self._hurry = asyncio.Event(), asyncio.Event()
        self._wanted = {self._keys.topic("", "")}
        self._receive = receive
        try:
            await self._listen()
            await self._prove()
            self.healthy = True
        except (BrokerError, *BROKEN) as error:
            await self.close()
            refused = reason(error).startswith("Redis refuses")
            raise BrokerUnavailable(f"{'' if refused else 'Redis cannot be reached: '}{reason(error)}") from None
        self._staying = loop.create_task(self._stay(Outage(_log)))

    async def subscribe(self, app: str, channel: str) -> None:
        """Hear that channel; returns when Redis says so."""
        topic = self._keys.topic(app, channel)
        self._wanted.add(topic)
        await self._ears.subscribe(topic)  # where that fails it is wanted all the same, as soon as it can be

    async def unsubscribe(self, app: str, channel: str) -> None:
        """Hear that channel no more."""
        topic = self._keys.topic(app, channel)
        if topic in self._wanted:
            self._wanted.discard(topic)
            if self._ears.open:
                await self._ears.unsubscribe(topic)

    async def publish(self, envelope: Envelope) -> Remote:
        """Hand an envelope to Redis; returns when Redis has it."""
        topic = self._keys.topic(envelope.app, envelope.channel)
        await self._lanes.send(topic, self._publish, topic, pack(self.node, envelope))
        return "sent"

    async def close(self) -> None:
        """End."""
        self._receive = None
        self.healthy = False
        staying, self._staying = self._staying, None
        if staying is not None:
            staying.cancel()
            await asyncio.wait([staying])
        await self._ears.close()
        await self._lanes.close()
        await self._place.close()

    def _hear(self, topic: bytes, data: bytes) -> None:
        """One message, whoever sent it."""
        if topic in self._beacons:
            self._beacons[topic] = self._beacons[topic] or data == self._proof
            if all(self._beacons.values()):
                self._heard.set()
            return
        envelope = self._inbox.read(topic, data)
        if envelope is not None and self._receive is not None and topic in self._wanted:
            self._inbox.hand_over(envelope, self._receive)

    async def _listen(self) -> None:
        """Connect and subscribe to everything that is wanted."""
        await self._ears.close()
        beacons = await self._ears.listen(self._wanted, partial(self._keys.beacon, self.node))
        self._beacons = dict.fromkeys(beacons, False)

    async def _prove(self) -> None:
        """Send a message to ourselves, on each connection, and wait until all are back."""
        self._heard.clear()
        self._proof = secrets.token_bytes(8)
        self._beacons = dict.fromkeys(self._beacons, False)
        await within(self._settings.patience, self._hear_ourselves())
        self.proven = asyncio.get_running_loop().time()

    async def _hear_ourselves(self) -> None:
        sent = [self._lanes.send(topic, self._publish, topic, self._proof) for topic in self._beacons]
        await asyncio.gather(*sent)
        await self._heard.wait()

    def _lose(self) -> None:
        self._hurry.set()
        if self.healthy:
            self.healthy = False
            self._lost()

    async def _stay(self, outage: Outage) -> None:
        """Prove again and again that we hear; connect anew whenever we do not. For ever."""
        pause = _FIRST_PAUSE
        while True:
            self._hurry.clear()
            if self.healthy or pause > _FIRST_PAUSE:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), self._settings.proof if self.healthy else pause)
            try:
                if not self._ears.open:
                    await self._listen()
                await self._prove()
                pause = _FIRST_PAUSE
                if not self.healthy:
                    await self._restored()
                    self.healthy = self._ears.open
                if self.healthy:
                    outage.over(asyncio.get_running_loop().time())
            except Exception as error:  # noqa: BLE001 - whatever it is, this node must not stay deaf
                strange = None if isinstance(error, (BrokerError, *BROKEN)) else error
                outage.goes_on(reason(error), asyncio.get_running_loop().time(), strange=strange)
                if not isinstance(error, BrokerError):  # what could not be sent says nothing about hearing
                    await self._ears.close()
                self._lose()
                pause = min(pause * 2, _LONGEST_PAUSE)


async def _nothing() -> None:
    """Nobody wants to know."""
