"""One connection to NATS: opened once, lost once, never made again unseen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from relay.cluster.nats.settings import NatsSettings
from relay.errors import BrokerError, BrokerUnavailable, UsageError

BROKEN: Final = (NatsError, OSError, TimeoutError, EOFError)
"""What nats-py raises when a connection is of no use any more."""

SCHEMES: Final = ("nats", "tls")
_log = logging.getLogger(__name__)
_NOBODY: Final = b"NATS/1.0 503"
_PENDING: Final = 8 * 1024 * 1024
"""Bytes that wait for the socket before whoever publishes waits too."""

Hear = Callable[[str, bytes], None]


class Delivery:
    """One message as it came: ``headers`` are the raw lines."""

    __slots__ = ("data", "headers", "reply", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, headers: bytes) -> None:
        self.subject, self.reply, self.data, self.headers = subject, reply, data, headers


def running_loop() -> asyncio.AbstractEventLoop:
    """The loop we run on. Raises :class:`UsageError` where that is not asyncio's, or as good as that."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("nats-py needs asyncio: run the hub on it, or on uvloop") from None


def servers_of(url: str) -> list[str]:
    """The servers that ``url`` names, of which any will do. Raises :class:`UsageError` that quotes no password.

    ``nats://user:password@host:port``, ``tls://`` over TLS, ``nats://token@host``; several servers of one NATS are
    separated by commas.
    """
    scheme, separator, rest = url.partition("://")
    shown = f"{scheme[:20]}://{rest.rpartition('@')[2][:100]}" if separator else "no scheme"
    if scheme not in SCHEMES:
        raise UsageError(f"no NATS URL: {' or '.join(SCHEMES)} is what it begins with, got {shown}")
    servers = [one if "://" in one else f"{scheme}://{one}" for one in url.split(",")]
    for server in servers:
        try:
            parts = urlsplit(server)
            fine = bool(parts.hostname) and parts.port != 0 and parts.scheme == scheme
        except ValueError:
            fine = False
        if not fine:
            raise UsageError(f"no NATS URL: nats://host:port, several separated by commas; got {shown}")
    return servers


class _Client(Client):
    """nats-py's connection, with its parser, its TLS and its ways to log in, but with one place where messages arrive.

    nats-py would give each subscription a queue, and drop what does not fit into it, unseen by us. Here what is not
    taken in waits in the socket; where that is too much NATS ends the connection, and we notice.
    """

    arrive: Callable[[int, Delivery], None]
    secured = False
    """Whether a server that speaks no TLS is not to be told who we are."""

    def _connect_command(self) -> bytes:
        if self.secured and not self._server_info.get("tls_required"):
            raise NatsError("the URL says tls://, but this server speaks no TLS")
        command: bytes = super()._connect_command()
        return command

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self.arrive(sid, Delivery(subject.decode(), reply.decode(), bytes(data), bytes(headers or b"")))


class Link:
    """A connection that is open from :meth:`open` until it is closed or lost.

    What is given to it goes out in that order. ``hear`` gets what comes on subjects that were subscribed to; it must
    not raise. ``lost`` is called once when the connection is lost, not when it is closed.
    """

    def __init__(self, settings: NatsSettings, hear: Hear, lost: Callable[[], None]) -> None:
        self._patience, self._most = settings.patience, settings.in_flight
        self._hear, self._lost = hear, lost
        self._client = _Client()
        self._client.arrive = self._arrive
        self._inbox = ""
        self._asked: dict[str, Callable[[Delivery], None]] = {}
        self._waiting: set[asyncio.Future[Delivery]] = set()
        self._count = 0
        self._subscriptions: dict[str, Any] = {}
        self._hearing: set[int] = set()
        self._taking: dict[int, Callable[[Delivery], None]] = {}
        self.open = False

    async def connect(self, servers: list[str], *, no_echo: bool) -> None:
        """Connect to one of ``servers``. Raises what nats-py does, or TimeoutError."""
        self._client.secured = servers[0].startswith("tls://")
        try:
            async with asyncio.timeout(self._patience):
                await self._client.connect(
                    servers,
                    error_cb=_said,
                    closed_cb=self._closed,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0.05,  # type: ignore[arg-type]  # seconds: it is slept, whatever nats-py says
                    connect_timeout=self._patience,  # type: ignore[arg-type]
                    flush_timeout=self._patience,
                    pending_size=_PENDING,
                    no_echo=no_echo,
                    name="relay",
                )
                self._inbox = self._client.new_inbox()
                await self._client.subscribe(f"{self._inbox}.*")
        except BaseException:
            await self.close()
            raise
        self.open = True

    @property
    def largest(self) -> int:
        """Bytes that one message may have."""
        return self._client.max_payload

    async def subscribe(self, subject: str) -> None:
        """Hear ``subject``, as soon as NATS has read this. Twice is once."""
        self._check()
        if subject not in self._subscriptions:
            self._subscriptions[subject] = None
            subscription: Any = await self._client.subscribe(subject)
            if subject in self._subscriptions:
                self._subscriptions[subject] = subscription
                self._hearing.add(subscription._id)  # noqa: SLF001 - by which messages come
            else:
                await subscription.unsubscribe()

    async def unsubscribe(self, subject: str) -> None:
        """Hear it no more, not even what is on its way."""
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None:
            self._hearing.discard(subscription._id)  # noqa: SLF001 - as above
            if self.open:
                await subscription.unsubscribe()

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send, without waiting for NATS to have it. Raises :class:`BrokerUnavailable`."""
        self._check()
        if len(data) > self.largest:
            raise BrokerError(f"{len(data)} bytes are more than NATS takes, {self.largest}: raise its max_payload")
        await self._client.publish(subject, data, reply, headers)

    async def send(
        self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> asyncio.Future[Delivery]:
        """Ask whoever serves ``subject``. The question has its place in the order when this returns. Nobody's subject,
        ``""``, is our own: that is answered when NATS has all that was sent before (and has no ``no_echo``).

        Raises :class:`BrokerUnavailable`, now or when the answer is waited for, when there is none within the patience.
        """
        self._check()
        if len(self._waiting) >= self._most:
            raise BrokerUnavailable(f"{self._most} questions wait for NATS already")
        loop = running_loop()
        answer: asyncio.Future[Delivery] = loop.create_future()

        def arrived(delivery: Delivery) -> None:
            if not answer.done():
                answer.set_result(delivery)

        token = self._expect(arrived)
        timer = loop.call_later(self._patience, self._give_up, answer)

        def settle(_: object) -> None:
            timer.cancel()
            self._asked.pop(token, None)
            self._waiting.discard(answer)
            if not answer.cancelled():
                answer.exception()  # whoever asked may have given up

        answer.add_done_callback(settle)
        self._waiting.add(answer)
        try:
            mine = f"{self._inbox}.{token}"
            await self.publish(subject or mine, data, reply=mine if subject else "", headers=headers)
        except BaseException:
            answer.cancel()
            raise
        return answer

    async def ask(self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """The answer of whoever serves ``subject``. Raises :class:`BrokerUnavailable`."""
        return answered(await (await self.send(subject, data, headers)))

    async def take(self, arrived: Callable[[Delivery], None]) -> tuple[str, Callable[[], Awaitable[None]]]:
        """A subject of one's own, for all that comes on it, whatever it was sent to first; and how to end it."""
        self._check()
        self._count += 1
        subject = f"{self._inbox}.{self._count}.all"
        subscription: Any = await self._client.subscribe(subject)
        number = subscription._id  # noqa: SLF001 - by which messages come
        self._taking[number] = arrived

        async def end() -> None:
            del self._taking[number]
            if self.open:
                await subscription.unsubscribe()

        return subject, end

    async def close(self) -> None:
        """End the connection; what is under way fails, and ``lost`` is not called."""
        self._lost = _nothing
        self._end()
        with contextlib.suppress(*BROKEN):
            async with asyncio.timeout(self._patience):
                await self._client.close()
        _abort(self._client)

    def _expect(self, arrived: Callable[[Delivery], None]) -> str:
        self._count += 1
        token = str(self._count)
        self._asked[token] = arrived
        return token

    def _arrive(self, number: int, delivery: Delivery) -> None:
        subject = delivery.subject
        if number in self._hearing:
            if self.open:
                self._hear(subject, delivery.data)
        elif number in self._taking:
            self._taking[number](delivery)
        elif subject.startswith(self._inbox) and self._inbox:
            arrived = self._asked.get(subject[len(self._inbox) + 1 :])
            if arrived is not None:
                arrived(delivery)

    def _give_up(self, answer: asyncio.Future[Delivery]) -> None:
        """One answer that does not come says that the connection is of no use."""
        if not answer.done():
            answer.set_exception(BrokerUnavailable("NATS gave no answer"))
            self._end()

    def _check(self) -> None:
        if not self.open:
            raise BrokerUnavailable("the connection to NATS was lost")

    def _end(self) -> None:
        self.open = False
        for answer in list(self._waiting):
            if not answer.done():
                answer.set_exception(BrokerUnavailable("the connection to NATS was lost"))
        self._lost()

    async def _closed(self) -> None:
        if self.open:
            self._end()


def answered(delivery: Delivery) -> bytes:
    """What was answered. Raises :class:`BrokerUnavailable` when nobody serves that subject."""
    if delivery.headers.startswith(_NOBODY):
        raise BrokerUnavailable("JetStream does not answer: it is off, not ready, or lost its stream")
    return delivery.data


def _abort(client: Client) -> None:
    """Let go of the socket at once, whatever waits to be sent."""
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


def _nothing() -> None:
    """Nobody wants to know."""


async def _said(error: Exception) -> None:
    """What ends the connection is raised where it was waited for; what does not is that something is not permitted."""
    _log.info("NATS reports an error", extra={"error": str(error)})
