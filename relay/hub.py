"""The Hub: what an embedding program holds, and what it can ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from relay import caching, invariants
from relay.app import App
from relay.caching import CachedEvent
from relay.clock import Clock, SystemClock
from relay.cluster.broker import Broker
from relay.cluster.cluster import Cluster
from relay.cluster.directory import Directory, Occupancy
from relay.cluster.local import LocalBroker, LocalDirectory
from relay.connection import Authorize, Connection, turn_away
from relay.errors import CloseCode, Disconnect, RateLimited, UsageError
from relay.facts import Journal
from relay.hearing import Hearing
from relay.metrics import ConnectionInfo, Stats, Totals
from relay.node import Node
from relay.protocol import authorization, names
from relay.protocol.events import INFO, CheckedEvent, Event, check_event, check_info, encrypted
from relay.protocol.messages import Member, User
from relay.protocol.names import Kind
from relay.publishing import publish_event, publish_events
from relay.receipts import Receipt, Terminated
from relay.spans import Spans
from relay.transport import Transport

if TYPE_CHECKING:
    from random import Random


class ChannelInfo(msgspec.Struct, frozen=True):
    """One channel as the REST API tells about it (protocol 6.4): None for what was not asked or does not apply."""

    name: str
    occupied: bool
    user_count: int | None = None
    subscription_count: int | None = None
    cache: CachedEvent | None = None


class Hub(Hearing):
    """Channels, presence and fan-out for one or more Apps, whatever transports their clients use.

    Build it anywhere, at import time if you like; nothing happens until it runs::

        hub = Hub(App(id="1001", key="app-key", secret="app-secret"))

        async with hub:
            receipt = await hub.trigger("orders", "paid", {"id": 7})

    ``relay_transports.aiohttp.setup(app, hub)`` runs it together with an aiohttp application.

    ``cluster`` links it to other nodes (none by default); so do ``broker`` and ``directory``, one by one.
    ``clock`` and ``random`` are where time, socket ids and the nonces of encrypted events come from.
    ``max_connections`` bounds this process: one more is closed with 4100. While the other nodes cannot be reached up to
    ``hold`` events wait for them, each for a minute at most; by default none does. With ``debug`` refusals say why
    exactly, which helps an attacker too: never in production. Verbs take ``app`` (an App or its id) when the hub has
    several.
    """

    def __init__(
        self,
        *apps: App,
        broker: Broker | None = None,
        directory: Directory | None = None,
        cluster: Cluster | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        max_connections: int | None = None,
        hold: int = 0,
        debug: bool = False,
    ) -> None:
        if not apps:
            raise UsageError("a Hub needs at least one App: Hub(App(id=..., key=..., secret=...))")
        if cluster is not None:
            if broker is not None or directory is not None:
                raise UsageError("cluster= brings a broker and a directory: give it alone, or give those two")
            broker, directory = cluster.broker, cluster.directory
        if hold < 0:
            raise UsageError(f"hold should be a number of events from 0 on, got {hold!r}")
        node = Node(
            apps,
            broker=broker or LocalBroker(),
            directory=directory or LocalDirectory(),
            clock=clock or SystemClock(),
            random=random,
            max_connections=max_connections,
            debug=debug,
        )
        node.hold(hold)
        super().__init__(node)

    @property
    def apps(self) -> tuple[App, ...]:
        """The Apps this hub serves."""
        return tuple(tenant.app for tenant in self._node.tenants)

    def app_of(self, key: str) -> App | None:
        """The App with ``key``, if this hub serves it."""
        tenant = self._node.by_key.get(key)
        return None if tenant is None else tenant.app

    def charge(self, app: App) -> None:
        """Note a REST call of ``app``. Raises :class:`RateLimited` when it makes more than its ``rest_rate``."""
        if not self._find(app).may_call(self._node.clock.now()):
            reason = f"Over the rate limit: this app may make {app.rest_rate} calls a second"
            raise RateLimited(reason, retry_after=1)

    @property
    def clock(self) -> Clock:
        """Where this hub's time comes from."""
        return self._node.clock

    @property
    def debug(self) -> bool:
        """Whether refusals say why exactly."""
        return self._node.debug

    async def connect(
        self,
        key: str,
        transport: Transport,
        *,
        protocol: str | None = "7",
        secure: bool = True,
        authorize: Authorize | None = None,
        origin: str | None = None,
    ) -> Connection:
        """Let a client in on ``transport`` and greet it (protocol 1.3).

        ``protocol`` is the raw query value; ``secure`` whether the client came over TLS or as good as
        that. ``authorize`` is asked when the client subscribes without ``auth``. ``origin`` is the raw header,
        None from clients that are no browsers.

        A client that may not come in gets pusher:error and a close frame on ``transport``, and
        :class:`Disconnect` is raised; there is nothing left to do then but to let the transport close.
        """
        try:
            if not self.running or self.draining:  # not 42xx: pusher-js would not pause (protocol rule 6)
                raise Disconnect("Not accepting connections now", CloseCode.OVER_CAPACITY)
            return self._node.admit(key, transport, protocol, secure=secure, authorize=authorize, origin=origin)
        except Disconnect as disconnect:
            turn_away(transport, disconnect)
            raise

    async def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: object,
        *,
        socket_id: str | None = None,
        info: Sequence[str] = (),
        app: App | str | None = None,
    ) -> Receipt:
        """Publish ``event`` to one channel or up to 100, and say what became of it.

        ``data`` is delivered as it is when it is a string, as its JSON otherwise. ``socket_id`` names the
        connection that caused the event and does not receive it; an unknown one excludes nobody. ``info``
        may ask for ``"user_count"`` and ``"subscription_count"``. Data for a ``private-encrypted-`` channel is
        encrypted with the App's master key; such a channel stands alone in ``channels``. Once it returns, every
        local subscriber has the event queued. Raises :class:`UsageError` for what may not be published.
        """
        receipts = await self.trigger_batch([Event(channels, event, data, socket_id, info)], app=app)
        return receipts[0]

    async def trigger_batch(self, events: Iterable[Event], *, app: App | str | None = None) -> list[Receipt]:
        """Publish several events, in order. All are checked first: one bad event and none is published."""
        tenant = self._tenant(app)
        checked = [check_event(tenant.app, event) for event in events]
        return await self.publish([encrypted(tenant.app, event, self._node.random) for event in checked], app=app)

    async def publish(self, events: Iterable[CheckedEvent], *, app: App | str | None = None) -> list[Receipt]:
        """Publish events that were checked already, in order; what ``trigger`` and the REST API end in."""
        tenant = self._tenant(app)
        with self._node.in_flight:
            if (spans := self._node.spans) is not None:
                traced = partial(publish_event, self._node, tenant)
                return [await spans.publish(tenant.app, event, traced) for event in events]
            return await publish_events(self._node, tenant, list(events))

    def trace(self, spans: Spans | None) -> None:
        """Let ``spans`` go round every publish and every webhook from now on; :func:`relay.tracing.trace` does so with
        OpenTelemetry.
        """
        self._node.spans = spans

    async def send_to_user(self, user_id: str, event: str, data: object, *, app: App | str | None = None) -> Receipt:
        """Publish to every connection signed in as ``user_id`` that listens (protocol 4.2)."""
        if not user_id:
            raise UsageError("user_id must not be empty")
        return await self.trigger(names.SERVER_TO_USER + user_id, event, data, app=app)

    async def terminate_user_connections(self, user_id: str, *, app: App | str | None = None) -> Terminated:
        """Close every connection that is signed in as ``user_id`` with 4009; returns how many on this node, a number
        whose ``remote`` tells about the other nodes.

        Those that cannot be reached now are told when they can be, however long it takes; whoever signs in after this
        call stays. A hub that closes before counts it as given up.
        """
        tenant = self._tenant(app)
        if not user_id:
            raise UsageError("user_id must not be empty")
        with self._node.in_flight:
            closed = tenant.terminate(user_id)
            alone = self._node.alone
            return Terminated(closed, "none" if alone else await self._node.terminations.send(tenant.app.id, user_id))

    async def channels(
        self, *, prefix: str = "", info: Sequence[str] = (), app: App | str | None = None
    ) -> Mapping[str, ChannelInfo]:
        """The occupied channels whose names begin with ``prefix``, with the counts in ``info``.

        Server-to-user channels are left out (protocol 4.2).
        """
        tenant = self._tenant(app)
        wanted = check_info(info, INFO)
        occupied = await self._node.directory.occupied(tenant.app.id, prefix)
        return {
            name: _channel_info(name, wanted, occupancy.subscriptions, occupancy.users)
            for name, occupancy in occupied.items()
            if names.kind_of(name) is not Kind.USER
        }

    async def channel(self, name: str, *, info: Sequence[str] = (), app: App | str | None = None) -> ChannelInfo:
        """One channel, occupied or not, with the counts in ``info``; for a cache channel also ``"cache"``."""
        wanted = check_info(info, INFO)
        occupancy = await self.occupancy(name, app=app)
        asked = "cache" in wanted and names.is_cached(name)
        cache = await caching.cached(self._node, self._tenant(app), name) if asked else None
        return _channel_info(name, wanted, occupancy.subscriptions, occupancy.users, cache)

    async def occupancy(self, name: str, *, app: App | str | None = None) -> Occupancy:
        """How many connections and distinct users a channel has, over all nodes."""
        tenant = self._tenant(app)
        return await self._node.directory.occupancy(tenant.app.id, _legal(name))

    async def members(self, channel: str, *, app: App | str | None = None) -> list[Member]:
        """The users of a presence channel, in the order they joined."""
        tenant = self._tenant(app)
        if names.kind_of(_legal(channel)) is not Kind.PRESENCE:
            raise UsageError(f"Users can only be retrieved for presence channels, got {channel!r}")
        roster = await self._node.directory.roster(tenant.app.id, channel)
        return [
            Member(user_id, None if info is None else msgspec.json.decode(info)) for user_id, info in roster.items()
        ]

    def authorize_channel(
        self, socket_id: str, channel: str, member: Member | None = None, *, app: App | str | None = None
    ) -> dict[str, str]:
        """What an auth endpoint answers to let ``socket_id`` into a private or presence ``channel``.

        ``member`` is who it is on a presence channel; an encrypted one needs the App's master key. The result
        is the JSON object to send (protocol 8.2).
        """
        return authorization.authorize_channel(self._find(app).app, socket_id, channel, member)

    def authenticate_user(self, socket_id: str, user: User, *, app: App | str | None = None) -> dict[str, str]:
        """What a user-auth endpoint answers to sign ``socket_id`` in as ``user`` (protocol 8.2)."""
        return authorization.authenticate_user(self._find(app).app, socket_id, user)

    @property
    def journal(self) -> Journal:
        """The latest facts."""
        return self._node.journal

    def start_soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` beside everything else as long as the hub lives; ``settle`` waits for it."""
        self._node.start_soon(work)

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when ``clock.now()`` reaches ``when``; returns what takes that back."""
        return self._node.call_at(when, callback)

    async def settle(self) -> None:
        """Return when nothing is under way: every accepted publish is delivered or refused, every join and
        leave is done, and no timer is due at the clock's now. After it, "nothing was sent" is a fact.

        Not to be awaited inside something that is itself under way, such as an authorizer.
        """
        await self._node.settle()

    def stats(self, *, app: App | str | None = None) -> Stats:
        """What this node holds right now, for one App or all."""
        tenants = self._node.tenants if app is None else [self._find(app)]
        return sum((invariants.stats(tenant) for tenant in tenants), Stats())

    def totals(self, *, app: App | str | None = None) -> Totals:
        """What happened on this node since the hub was made, for one App or all."""
        if app is not None:
            return self._find(app).totals + Totals()
        return sum((tenant.totals for tenant in self._node.tenants), self._node.totals)

    def online_here(self, *, app: App | str | None = None) -> int:
        """How many users are online through this node, for one App or all, those included whose grace is not over. One
        who is online through two nodes counts on both.
        """
        tenants = self._node.tenants if app is None else [self._find(app)]
        return sum(tenant.seats.present() for tenant in tenants)

    def events_held(self, *, app: App | str | None = None) -> int:
        """How many events (see ``hold``), and users to be terminated, wait until the other nodes can be reached, for
        one App or all.
        """
        ids = [tenant.app.id for tenant in (self._node.tenants if app is None else [self._find(app)])]
        waiting = (self._node.terminations, self._node.holding)
        return sum(one.held(app_id) for one in waiting if one is not None for app_id in ids)

    def connections(self, *, limit: int = 10_000, app: App | str | None = None) -> list[ConnectionInfo]:
        """The connections of an App on this node, those that are here longest first; at most ``limit`` of them."""
        there = self._find(app).connections.values()
        return [invariants.connection_info(one) for one in islice(there, limit)]

    def connection(self, socket_id: str, *, app: App | str | None = None) -> ConnectionInfo | None:
        """One connection, if it is on this node."""
        found = self._find(app).connections.get(socket_id)
        return None if found is None else invariants.connection_info(found)

    def check(self) -> list[str]:
        """What is inconsistent between the registries, in words; empty when all is sound."""
        return invariants.check(self._node)


def _legal(channel: str) -> str:
    if not names.is_target(channel):
        raise UsageError(f"Invalid channel name {channel[: names.MAX_EVENT_NAME]!r}")
    return channel


def _channel_info(
    name: str, info: Sequence[str], subscriptions: int, users: int, cache: CachedEvent | None = None
) -> ChannelInfo:
    presence = names.kind_of(name) is Kind.PRESENCE
    return ChannelInfo(
        name,
        subscriptions > 0,
        users if presence and "user_count" in info else None,
        subscriptions if not presence and "subscription_count" in info else None,
        cache,
    )
