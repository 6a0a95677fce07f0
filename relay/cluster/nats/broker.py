"""Envelopes over core NATS, and the proof that this node hears them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from relay.cluster.broker import Envelope
from relay.cluster.nats.lane import Lane
from relay.cluster.nats.link import BROKEN, Link, running_loop, servers_of
from relay.cluster.nats.settings import NatsSettings
from relay.cluster.nats.subjects import Subjects
from relay.cluster.packing import Unreadable, pack, unpack
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
        self._settings = settings = settings or NatsSettings()
        self._servers = servers_of(url)
        self._lane = lane or Lane(self._servers, settings)
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
        self._said = 0
        self._asked: dict[int, asyncio.Future[bool]] = {}
        self.healthy = False
        self.proven: float | None = None
        self.refused = 0

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
        self._staying = loop.create_task(self._stay())

    async def subscribe(self, app: str, channel: str) -> None:
        """Hear that channel; returns when NATS knows it."""
        topic = self._subjects.topic(app, channel)
        self._wanted.add(topic)
        link = self._open()  # where that fails it is wanted all the same, as soon as it can be
        await link.subscribe(topic)
        await self._had(link)

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
        await self._had(link)
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
            raise BrokerUnavailable("NATS cannot be reached")
        return self._link

    async def _had(self, link: Link) -> None:
        """Return when NATS has all that was sent so far: one message asks that, for all who wait in one turn."""
        if self._said in self._asked:
            asked = self._asked[self._said]
        elif len(self._asked) >= self._settings.in_flight:
            raise BrokerUnavailable(f"{self._settings.in_flight} messages wait for NATS already")
        else:
            self._said += 1
            asked = self._asked[self._said] = running_loop().create_future()
            asyncio.get_running_loop().call_soon(self._send_echo, link, self._said)
        try:
            async with asyncio.timeout(self._settings.patience):
                had = await asyncio.shield(asked)
        except TimeoutError:
            await self._drop()
            self._lose()
            raise BrokerUnavailable("NATS gave no answer") from None
        if not had:
            raise BrokerUnavailable("the connection to NATS was lost")

    def _send_echo(self, link: Link, number: int) -> None:
        pass

    def _echoed(self, subject: str, data: bytes) -> None:
        pass

    def _hear(self, topic: str, data: bytes) -> None:
        """One message, whoever sent it."""
        if topic == self._beacon:
            if data == self._proof:
                self._heard.set()
            return
        try:
            packet = unpack(data)
            envelope = packet.envelope
            if self._subjects.topic(envelope.app, envelope.channel) != topic:
                raise Unreadable("an envelope for another channel")
        except Unreadable as error:
            self.refused += 1
            if self.refused == 1:  # a log line for each would be the next thing to flood us
                _log.warning("what came over NATS is refused", extra={"reason": str(error)})
            return
        if packet.sender == self.node or self._receive is None or topic not in self._wanted:
            return
        try:
            self._receive(envelope)
        except Exception:  # noqa: BLE001 - one envelope must not make this node deaf to the next
            _log.exception("an envelope could not be delivered")

