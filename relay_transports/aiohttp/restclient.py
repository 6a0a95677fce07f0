"""Publishing over HTTP: the verbs of the Hub, asked of any Pusher-compatible host."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from relay import __version__
from relay.app import App
from relay.clock import SystemClock
from relay.errors import PublisherClosed, RelayError, UsageError
from relay.protocol import authorization, names, webhooks
from relay.protocol.events import INFO, CheckedEvent, Event, check_channels, check_event, check_info, encrypted
from relay.protocol.names import Kind
from relay_transports.aiohttp import answers, questions
from relay_transports.aiohttp.outgoing import Outgoing, Patience
from relay_transports.aiohttp.unsent import Item, OnError, Unsent, batches, warn

if TYPE_CHECKING:
    from random import Random
    from ssl import SSLContext

    from relay.clock import Clock
    from relay.hub import ChannelInfo
    from relay.protocol.messages import Member, User

_HEADERS = {"Content-Type": "application/json", "X-Pusher-Library": f"relay-hub {__version__}"}


_MOST_SILENCE = 45.0
"""Seconds: a hub sends an empty line every 15, whatever happens."""


class RestReceipt(msgspec.Struct, frozen=True):
    """What a host says of an event it took: little, compared with :class:`relay.Receipt`.

    ``info`` holds the counts that were asked for, channel by channel.
    """

    info: Mapping[str, Mapping[str, int]]


class RestClient:
    """The verbs of :class:`relay.Hub` over HTTP: a :class:`relay.client.Publisher` for any Pusher-compatible host.

    ::

        async with RestClient.from_url("https://app-key:app-secret@host/apps/1001") as client:
            await client.trigger("orders", "paid", {"id": 7})

    Build it anywhere, at import time if you like: connections are opened when first needed and kept, in the
    loop that is running then. ``base_url`` is the host with scheme, port and, where the API is mounted under
    one, path prefix. The limits of ``app`` are checked before anything is sent, with the Hub's own checks.

    **Waiting.** ``timeout`` bounds in seconds getting a connection, and again the host's silence after that;
    one attempt takes no more than both together.

    **Asking again.** An attempt that failed is followed by up to ``retries`` more, after pauses that grow from
    half a second to ten, randomly shortened; a ``Retry-After`` of the host is kept, unless it is more than a
    minute: then the error is raised at once. What is asked again depends on what may have happened:

    - Queries, and ``terminate_user_connections``, change nothing by being repeated: again after every lost
      connection, missing answer, 5xx and 429.
    - A publish that the host surely did not take: again. That is so when no connection came about (refused,
      timed out) and when the host said 429 or 503.
    - A publish that may have been delivered although nobody said so (no answer in time, connection lost,
      500, 502, 504) is raised and not repeated, since subscribers would see the event twice and cannot tell.
      The error's ``maybe_done`` says so. If twice is better than never, set ``retry_publish=True``.

    **Errors.** :class:`~relay.errors.UsageError` before anything is sent; :class:`~relay.errors.RequestError`
    where the host refuses; :class:`~relay.errors.HostError` where it fails. No message holds a secret or a
    signature.

    ``max_queued`` bounds what :meth:`trigger_soon` keeps. ``ssl`` is what aiohttp takes: a context, or False for
    no check of the host's certificate. ``clock`` is where time comes from, ``random`` pauses and the nonces of
    encrypted events: data for a ``private-encrypted-`` channel is encrypted with ``app.encryption_master_key``.
    """

    def __init__(
        self,
        app: App,
        base_url: str,
        *,
        timeout: float = 5.0,
        retries: int = 3,
        retry_publish: bool = False,
        max_queued: int = 1000,
        ssl: SSLContext | bool = True,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        if not timeout > 0 or retries < 0 or max_queued < 1:
            raise UsageError(
                "timeout must be above 0, retries 0 or more, max_queued 1 or more,"
                f" got {timeout!r}, {retries!r}, {max_queued!r}"
            )
        self.app = app
        self._clock = clock or SystemClock()
        self._outgoing = Outgoing(
            app,
            base_url,
            clock=self._clock,
            random=random,
            patience=Patience(timeout, retries),
            ssl=ssl,
            headers=_HEADERS,
        )
        self._retry_publish = retry_publish
        self._unsent = Unsent(self._publish, max_queued=max_queued, max_batch=app.max_batch)
        self._closed = False

    def __repr__(self) -> str:
        return f"RestClient({self.app!r}, {self._outgoing.base!r})"

    @classmethod
    def from_url(
        cls,
        url: str,
        settings: Mapping[str, object] | None = None,
        *,
        timeout: float = 5.0,
        retries: int = 3,
        retry_publish: bool = False,
        max_queued: int = 1000,
        ssl: SSLContext | bool = True,
    ) -> RestClient:
        """A client for ``https://KEY:SECRET@HOST/apps/APP_ID``, the form of ``PUSHER_URL``.

        ``settings`` holds other fields of :class:`relay.App` by name, such as a ``max_event_bytes`` that
        differs at this host; the rest is as in the constructor.
        """
        return cls(
            App.from_url(url, settings),
            questions.base_of(url),
            timeout=timeout,
            retries=retries,
            retry_publish=retry_publish,
            max_queued=max_queued,
            ssl=ssl,
        )

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
        *,
        timeout: float = 5.0,
        retries: int = 3,
        retry_publish: bool = False,
        max_queued: int = 1000,
        ssl: SSLContext | bool = True,
    ) -> RestClient:
        """The client described by ``PUSHER_URL``, or by the variables of :meth:`relay.App.from_env` with
        ``PUSHER_HOST``, ``PUSHER_PORT`` and ``PUSHER_SCHEME`` (default https), or ``PUSHER_CLUSTER``.
        """
        environ = os.environ if environ is None else environ
        url = environ.get("PUSHER_URL")
        return cls(
            App.from_env(environ, settings),
            questions.base_of(url) if url else questions.base_in(environ),
            timeout=timeout,
            retries=retries,
            retry_publish=retry_publish,
            max_queued=max_queued,
            ssl=ssl,
        )

    async def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: object,
        *,
        socket_id: str | None = None,
        info: Sequence[str] = (),
    ) -> RestReceipt:
        """Publish ``event`` to one channel or up to 100. Arguments are those of :meth:`relay.Hub.trigger`."""
        checked = self._check(Event(channels, event, data, socket_id, info))
        self._check_open()
        return await self._publish_one(checked)

    async def trigger_batch(self, events: Iterable[Event]) -> list[RestReceipt]:
        """Publish several events, in order; one receipt for each.

        All are checked before the first is sent. They go in as many calls as the App's ``max_batch`` makes
        necessary, an event for several channels as one item for each; only one for more channels than that
        goes by itself, as :meth:`trigger` would send it. The host takes all or none *of one call*: when a later
        call fails, a note on the error says how many events are published already.
        """
        checked = [self._check(event) for event in events]
        self._check_open()
        receipts: list[RestReceipt] = []
        for batch in batches(checked, self.app.max_batch):
            try:
                receipts += await self._publish_batch(batch)
            except RelayError as error:
                if receipts:
                    error.add_note(f"the first {len(receipts)} of {len(checked)} events were published")
                raise
        return receipts

    def trigger_soon(
        self,
        channels: str | Sequence[str],
        event: str,
        data: object,
        *,
        socket_id: str | None = None,
        on_error: OnError | None = None,
    ) -> None:
        """Queue ``event`` and return at once; it is checked now and sent in the background.

        Events leave in the order they were queued, several in one call where several wait. ``on_error(error,
        event)`` is told when one is not published (without it, a warning is logged that leaves the data out);
        the events after it go on. A batch that the host refuses is tried again one event at a time, so that a
        bad one does not take others with it.

        Raises :class:`~relay.errors.QueueFull` when ``max_queued`` events wait, and needs a running event loop.
        :meth:`flush` waits for what is queued, and so does :meth:`aclose`; a loop that ends without either
        tells ``on_error`` what it left behind.
        """
        given = Event(channels, event, data, socket_id)
        checked = self._check(given)
        self._check_open()
        self._unsent.add(Item(given, checked, on_error or warn(self.app.id)))

    async def flush(self) -> None:
        """Return when everything ``trigger_soon`` queued so far is published, or its ``on_error`` was told."""
        await self._unsent.flush()

    async def aclose(self, *, within: float = 10.0) -> None:
        """Flush for at most ``within`` seconds, tell ``on_error`` about the rest, then close all connections.

        From its beginning, verbs that would ask the host raise :class:`~relay.errors.PublisherClosed`.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await self._unsent.close(self._clock, within)
        finally:
            await self._outgoing.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def send_to_user(self, user_id: str, event: str, data: object) -> RestReceipt:
        """Publish to every connection signed in as ``user_id``."""
        if not user_id:
            raise UsageError("user_id must not be empty")
        return await self.trigger(names.SERVER_TO_USER + user_id, event, data)

    async def terminate_user_connections(self, user_id: str) -> None:
        """Close every connection signed in as ``user_id``. The host does not tell how many there were."""
        if not user_id:
            raise UsageError("user_id must not be empty")
        await self._ask("POST", f"/users/{questions.segment(user_id)}/terminate_connections", body=b"{}", repeat=True)

    async def channels(self, *, prefix: str = "", info: Sequence[str] = ()) -> dict[str, ChannelInfo]:
        """The occupied channels whose names begin with ``prefix``, with the counts in ``info``.

        Hosts give ``user_count`` only to those who ask for presence channels alone. Where ``prefix`` allows
        others too they are asked twice, so that the answer is the Hub's.
        """
        asked = check_info(info, INFO)
        presence = prefix.startswith("presence-")
        found = await self._list(prefix, questions.applying(asked, presence=presence))
        if "user_count" in asked and not presence and "presence-".startswith(prefix):
            found |= await self._list("presence-", ("user_count",))
        return found

    async def channel(self, name: str, *, info: Sequence[str] = ()) -> ChannelInfo:
        """One channel, occupied or not, with the counts in ``info``; for a cache channel also ``"cache"``."""
        (name,) = check_channels(self.app, name)
        presence, cached = names.kind_of(name) is Kind.PRESENCE, names.is_cached(name)
        asked = questions.applying(check_info(info, INFO), presence=presence, cached=cached)
        answer = await self._ask("GET", f"/channels/{questions.segment(name)}", query=questions.info(asked))
        return answers.channel(name, answer)

    async def members(self, channel: str) -> list[Member]:
        """The users of a presence channel: their ids, since hosts tell no more."""
        (name,) = check_channels(self.app, channel)
        if names.kind_of(name) is not Kind.PRESENCE:
            raise UsageError(f"Users can only be retrieved for presence channels, got {name!r}")
        return answers.members(await self._ask("GET", f"/channels/{questions.segment(name)}/users"))

    def authorize_channel(self, socket_id: str, channel: str, member: Member | None = None) -> dict[str, str]:
        """What an auth endpoint answers to let ``socket_id`` into ``channel``. Asks nobody."""
        return authorization.authorize_channel(self.app, socket_id, channel, member)

    def authenticate_user(self, socket_id: str, user: User) -> dict[str, str]:
        """What a user-auth endpoint answers to sign ``socket_id`` in as ``user``. Asks nobody."""
        return authorization.authenticate_user(self.app, socket_id, user)

    def webhook(
        self, headers: Mapping[str, str], body: bytes, *, max_age: float = webhooks.MAX_AGE
    ) -> webhooks.Webhook:
        """What a request to your webhook endpoint says, once it is proven to be the host's and not old.

        Raises :class:`~relay.errors.InvalidWebhook`: answer 401. See :func:`relay.protocol.webhooks.verify`.
        """
        return webhooks.verify(self.app, headers, body, self._clock.time(), max_age=max_age)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The decoded JSON that the host answers to a signed GET of ``path``, such as ``/channels``.

        ``path`` is relative to ``/apps/APP_ID`` and, like ``params``, not percent-encoded.
        """
        return answers.document(await self._ask("GET", questions.path(path), query=questions.query(params or {})))

    async def post(self, path: str, body: object) -> Any:
        """The decoded JSON that the host answers to a signed POST of ``body``, which is sent as JSON.

        ``path`` is as for :meth:`get`. Asked again like a publish: see the class. An empty answer is None.
        """
        sent, repeat = questions.document(body), self._retry_publish
        return answers.document(await self._ask("POST", questions.path(path), body=sent, repeat=repeat))

    async def facts(
        self, *, types: Sequence[str] = (), channel: str | None = None
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """What happens to the App from now on, of a Relay hub alone: facts of ``types`` (all if none is given) about
        channels that ``channel`` matches, as JSON objects with the fact's ``type``.

        Close it (``contextlib.aclosing``) or read on: it never just ends. Raises as all verbs do, and
        :class:`~relay.errors.Unreachable` when the hub ends it.
        """
        self._check_open()
        asked = {"type": ",".join(types), "channel": channel or ""}
        query = [(name, value) for name, value in asked.items() if value]
        async for line in self._outgoing.lines(
            f"/apps/{questions.segment(self.app.id)}/facts", query=query, silence=_MOST_SILENCE
        ):
            yield answers.document(line)

    def _check(self, event: Event) -> CheckedEvent:
        checked = encrypted(self.app, check_event(self.app, event), self._outgoing.random)
        questions.event(checked)  # raises where JSON cannot say a name, too late for the queue to find out
        return checked

    def _check_open(self) -> None:
        if self._closed:
            raise PublisherClosed("this REST client is closed")

    async def _publish(self, events: Sequence[CheckedEvent]) -> None:
        """What ``trigger_soon`` ends in; open while closing."""
        if len(events) == 1:
            await self._publish_one(events[0])
        else:
            await self._publish_batch(events)

    async def _publish_one(self, event: CheckedEvent) -> RestReceipt:
        answer = await self._send("POST", "/events", body=questions.event(event), repeat=self._retry_publish)
        counts = answers.counts_by_channel(answer) if event.info else {}
        return RestReceipt({name: counts.get(name, {}) for name in event.channels})

    async def _publish_batch(self, events: Sequence[CheckedEvent]) -> list[RestReceipt]:
        if len(events) == 1 and len(events[0].channels) > self.app.max_batch:
            return [await self._publish_one(events[0])]
        answer = await self._send("POST", "/batch_events", body=questions.batch(events), repeat=self._retry_publish)
        counts = iter(answers.counts_by_item(answer) if any(event.info for event in events) else ())
        return [RestReceipt({name: next(counts, {}) for name in event.channels}) for event in events]

    async def _list(self, prefix: str, info: Sequence[str]) -> dict[str, ChannelInfo]:
        query = [("filter_by_prefix", prefix)] if prefix else []
        return answers.channels(await self._ask("GET", "/channels", query=[*query, *questions.info(info)]))

    async def _ask(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: bytes = b"", repeat: bool = True
    ) -> bytes:
        self._check_open()
        return await self._send(method, path, query=query, body=body, repeat=repeat)

    async def _send(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: bytes = b"", repeat: bool
    ) -> bytes:
        whole = f"/apps/{questions.segment(self.app.id)}{path}"
        return await self._outgoing.send(method, whole, query=query, body=body, repeat=repeat)
