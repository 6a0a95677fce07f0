"""Envelopes over core NATS, and the proof that this node hears them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from relay.cluster.broker import Envelope
from relay.cluster.inbox import Inbox
from relay.cluster.nats.address import Address
from relay.cluster.nats.echoes import Echoes
from relay.cluster.nats.lane import Lane
from relay.cluster.nats.link import BROKEN, Link, running_loop
from relay.cluster.nats.settings import NatsSettings
from relay.cluster.nats.subjects import Subjects
from relay.cluster.outage import Outage
from relay.cluster.packing import pack
from relay.errors import BrokerError, BrokerUnavailable, UsageError
from relay.receipts import Remote

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)


class NatsBroker:
    """Moves envelopes between the nodes of one NATS; see :class:`relay.cluster.broker.Broker` for what it promises.

    It has two connections: on one it publishes and hears others (NATS's ``no_echo`` keeps its own from it), on the
    other it asks JetStream. A message from the one to the other says that NATS has all that was sent before.

    It proves every ``settings.proof`` seconds that it hears: a message to itself has to arrive within
    ``settings.patience``. ``proven`` is when one did last, by the loop's clock, and ``healthy`` whether the last one
    did and what was lost before it is put right. Where none does, the connection is thrown away and made anew, with
    all subscriptions; what was published meanwhile is lost. ``watch`` tells of each change.

    What comes over NATS and is no envelope is counted in ``refused`` and otherwise ignored.
    """

    def __init__(self, url: str, settings: NatsSettings | None = None, *, lane: Lane | None = None) -> None:
        self._address = Address(url, settings)
        self._settings = settings = self._address.settings
        self._lane = lane or Lane(self._address)
        self._subjects = Subjects(settings.prefix)
        self.node = secrets.token_hex(8)
        """What the envelopes of this node are signed with, so that it knows its own."""
        self._beacon, self._echo = self._subjects.beacon(self.node), self._subjects.echo(self.node)
        self._lane.hear(self._echo, self._echoed)
        self._receive: Callable[[Envelope], None] | None = None
        self._lost: Callable[[], None] = lambda: None
        self._restored: Callable[[], Awaitable[None]] = _nothing
        self._wanted: set[str] = set()
        self._link: Link | None = None
        self._staying: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._hurry = asyncio.Event()
        self._proof = b""
        self._echoes: Echoes | None = None
        self.healthy = False
        self.proven: float | None = None
        self._inbox = Inbox("NATS", self.node, self._subjects.topic, _log)

    @property
    def refused(self) -> int:
        """How much came that was no envelope."""
        return self._inbox.refused

    def watch(self, lost: Callable[[], None], restored: Callable[[], Awaitable[None]]) -> None:
        """Call ``lost`` when a proof fails; when one succeeds again, ``restored``, and be healthy when it returns."""
        self._lost, self._restored = lost, restored

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        """Begin. Raises :class:`BrokerUnavailable` when NATS does not bring back what is sent to it."""
        if self._receive is not None:
            raise UsageError("this broker serves a hub already: each hub needs one of its own")
        loop = running_loop()
        self._heard, self._hurry = asyncio.Event(), asyncio.Event()
        self._wanted = {self._subjects.topic("", "")}
        self._receive = receive
        try:
            await self._listen()
            await self._prove()
            self.healthy = True
        except (BrokerError, *BROKEN) as error:
            await self.close()
            raise BrokerUnavailable(f"NATS cannot be reached: {error}") from None
        self._staying = loop.create_task(self._stay(Outage(_log)))

    async def subscribe(self, app: str, channel: str) -> None:
        """Hear that channel; returns when NATS knows it."""
        topic = self._subjects.topic(app, channel)
        self._wanted.add(topic)
        link = self._open()  # where that fails it is wanted all the same, as soon as it can be
        await link.subscribe(topic)
        await self._had()

    async def unsubscribe(self, app: str, channel: str) -> None:
        """Hear that channel no more."""
        topic = self._subjects.topic(app, channel)
        self._wanted.discard(topic)
        if self._link is not None and self._link.open:
            await self._link.unsubscribe(topic)

    async def publish(self, envelope: Envelope) -> Remote:
        """Hand an envelope to NATS; returns when NATS has it."""
        link = self._open()
        await link.publish(self._subjects.topic(envelope.app, envelope.channel), pack(self.node, envelope))
        await self._had()
        return "sent"

    async def close(self) -> None:
        """End."""
        self._receive = None
        self.healthy = False
        staying, self._staying = self._staying, None
        if staying is not None:
            staying.cancel()
            await asyncio.wait([staying])
        await self._drop()
        await self._lane.close()

    def _open(self) -> Link:
        if self._link is None or not self._link.open:
            raise BrokerUnavailable("NATS cannot be reached", maybe_done=False)
        return self._link

    async def _had(self) -> None:
        """Return when NATS has all that was sent so far."""
        if self._echoes is None or self._lane.down is not None:
            raise BrokerUnavailable(self._lane.down or "the connection to NATS was lost")
        await self._echoes.wait()

    def _echoed(self, _: str, data: bytes) -> None:
        if self._echoes is not None:
            self._echoes.came(data)

    def _hear(self, topic: str, data: bytes) -> None:
        """One message, whoever sent it."""
        if topic == self._beacon:
            if data == self._proof:
                self._heard.set()
            return
        envelope = self._inbox.read(topic, data)
        if envelope is not None and self._receive is not None and topic in self._wanted:
            self._inbox.hand_over(envelope, self._receive)

    async def _listen(self) -> None:
        """Connect, and subscribe to everything that is wanted."""
        await self._drop()
        link = Link(self._settings, self._hear, self._lose)
        await link.connect(self._address, no_echo=True)
        self._link = link
        self._echoes = Echoes(link, self._echo, self._settings, self._deafened)
        await link.subscribe(self._beacon)
        for topic in list(self._wanted):
            await link.subscribe(topic)

    async def _prove(self) -> None:
        """Send a message to ourselves, in either direction, and wait until both arrived."""
        self._heard.clear()
        self._proof = secrets.token_bytes(8)
        async with asyncio.timeout(self._settings.patience):
            lane = await self._lane.reach()
            await self._had()  # NATS knows of all subscriptions
            await lane.publish(self._beacon, self._proof)
            await self._heard.wait()
        self.proven = asyncio.get_running_loop().time()

    async def _drop(self) -> None:
        """Let go of the connection on which we hear."""
        echoes, self._echoes = self._echoes, None
        link, self._link = self._link, None
        if echoes is not None:
            await echoes.close()
        if link is not None:
            await link.close()

    def _deafened(self) -> None:
        """NATS does not have what was sent to it: that connection is of no use."""
        if self._link is not None:
            self._link.open = False
        self._lose()

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
                if self._link is None or not self._link.open:
                    await self._listen()
                await self._prove()
                pause = _FIRST_PAUSE
                if not self.healthy:
                    await self._restored()
                    self.healthy = self._link is not None and self._link.open
                if self.healthy:
                    outage.over(asyncio.get_running_loop().time())
            except Exception as error:  # noqa: BLE001 - whatever it is, this node must not stay deaf
                strange = None if isinstance(error, (BrokerError, *BROKEN)) else error
                why = str(error) or type(error).__name__
                outage.goes_on(why, asyncio.get_running_loop().time(), strange=strange)
                if not isinstance(error, BrokerError):  # what could not be sent says nothing about hearing
                    await self._drop()
                self._lose()
                pause = min(pause * 2, _LONGEST_PAUSE)


async def _nothing() -> None:
    """Nobody wants to know."""
