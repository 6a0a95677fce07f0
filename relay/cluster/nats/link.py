"""One connection to NATS: opened once, lost once, never made again unseen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from relay.cluster.nats.address import Address, Server
from relay.cluster.nats.settings import NatsSettings
from relay.errors import BrokerError, BrokerUnavailable, UsageError

BROKEN: Final = (NatsError, OSError, TimeoutError, EOFError)
"""What nats-py raises when a connection is of no use any more."""

_log = logging.getLogger(__name__)
_NOBODY: Final = b"NATS/1.0 503"
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 0.25
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


class TooLong(BrokerError):
    """What was to be sent does not fit into one message, and surely was not."""


class Link:
    """A connection that is open from :meth:`open` until it is closed or lost.

    What is given to it goes out in that order. ``hear`` gets what comes on subjects that were subscribed to; it must
    not raise. ``lost`` is called once when the connection is lost, not when it is closed.
    """

    def __init__(self, settings: NatsSettings, hear: Hear, lost: Callable[[], None]) -> None:
        self._patience, self._most = settings.patience, settings.in_flight
        self._hear, self._lost = hear, lost
        self._client = _Client()
        self._inbox = ""
        self._asked: dict[str, Callable[[Delivery], None]] = {}
        self._waiting: set[asyncio.Future[Delivery]] = set()
        self._count = self._came = 0
        self._subscriptions: dict[str, Any] = {}
        self._hearing: set[int] = set()
        self._taking: dict[int, Callable[[Delivery], None]] = {}
        self.open = False

    async def connect(self, address: Address, *, no_echo: bool) -> None:
        """Connect to any of the servers, of which each has its share of the patience. Raises :class:`ConnectionError`
        that says of each why it was not.
        """
        left = random.sample(address.servers, len(address.servers))
        until = running_loop().time() + self._patience
        reasons: list[str] = []
        while left:
            patience = (until - running_loop().time()) / len(left)
            server = left.pop()
            try:
                async with asyncio.timeout(patience):
                    await self._enter(address, server, patience, no_echo=no_echo)
            except BROKEN as error:
                reasons.append(f"{server.place}: {_reason(error)}")
                _abort(self._client)
                await self._leave()
            except BaseException:
                await self.close()
                raise
            else:
                self.open = True
                return
        raise ConnectionError("; ".join(reasons))

    async def _enter(self, address: Address, server: Server, patience: float, *, no_echo: bool) -> None:
        said: list[Exception] = []

        async def told(error: Exception) -> None:
            """What ends the connection is raised where it was waited for; else something is not permitted."""
            said.append(error)
            if self.open:
                _log.warning("NATS reports an error", extra={"error": str(error)})

        client = self._client = _Client()
        client.arrive, client.secured = self._arrive, address.secured
        try:
            await client.connect(
                [f"nats://{server.place}"],
                error_cb=told,
                closed_cb=self._closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=patience,  # type: ignore[arg-type]
                flush_timeout=self._patience,
                pending_size=_PENDING,
                no_echo=no_echo,
                name="relay",
                tls=address.context(),
                **server.login,
            )
        except NoServersError:  # the one there is, and nats-py keeps the reason for whoever is told
            raise said[0] if said else ConnectionError("it cannot be reached") from None
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*")

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
            raise TooLong(f"{len(data)} bytes are more than NATS takes, {self.largest}: raise its max_payload")
        await self._client.publish(subject, data, reply, headers)

    async def send(
        self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> asyncio.Future[Delivery]:
        """Ask whoever serves ``subject``. The question has its place in the order when this returns. Nobody's subject,
        ``""``, is our own: that is answered when NATS has all that was sent before (and has no ``no_echo``).

        Raises :class:`BrokerUnavailable`, now or when the answer is waited for, when there is none within the patience.
        """
        answer, _ = await self._send(subject, data, headers)
        return answer

    async def ask(self, subject: str, data: bytes = b"") -> bytes:
        """The answer of whoever serves ``subject``. Raises :class:`BrokerUnavailable`.

        It is asked again and again: of several servers none answers while they choose who does. So nothing may be
        asked here that must not be done twice.
        """
        answer, reply = await self._send(subject, data, None)
        pause = _FIRST_PAUSE
        try:
            while not (await asyncio.wait([answer], timeout=pause))[0]:
                await self.publish(subject or reply, data, reply=reply if subject else "")
                pause = min(pause * 2, _LONGEST_PAUSE)
            return answered(await answer)
        finally:
            answer.cancel()

    async def _send(
        self, subject: str, data: bytes, headers: dict[str, str] | None
    ) -> tuple[asyncio.Future[Delivery], str]:
        """The answer to come, and where it comes."""
        self._check()
        if len(self._waiting) >= self._most:
            raise BrokerUnavailable(f"{self._most} questions wait for NATS already")
        loop = running_loop()
        answer: asyncio.Future[Delivery] = loop.create_future()

        def arrived(delivery: Delivery) -> None:
            if not answer.done():
                answer.set_result(delivery)

        token = self._expect(arrived)
        timer = loop.call_later(self._patience, self._give_up, answer, self._came)

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
        return answer, mine

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
        await self._leave()

    async def _leave(self) -> None:
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
        self._came += 1
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

    def _give_up(self, answer: asyncio.Future[Delivery], came: int) -> None:
        """An answer that does not come says that the connection is of no use, unless another came meanwhile: then it is
        JetStream that is silent, as it is for seconds where its servers choose another leader.
        """
        if not answer.done():
            answer.set_exception(BrokerUnavailable("NATS gave no answer"))
            if came == self._came:
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


def _reason(error: BaseException) -> str:
    """Why a server was not to be had. What nats-py and ssl say has no part of a login in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted, {error.verify_message} (?tls_ca=FILE names whom to trust)"
    if isinstance(error, TimeoutError):
        return "no answer"
    return str(error).removeprefix("nats: ") or type(error).__name__
