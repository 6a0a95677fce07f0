"""What this process holds while a hub runs: its Apps' connections and channels, its timers, its links."""

from __future__ import annotations

import logging
import math
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.abc
import anyio.lowlevel

from relay import counting, users
from relay.app import App
from relay.audience import Audience
from relay.backlog import Bounds
from relay.channels import Channels
from relay.clock import Clock
from relay.cluster.broker import Broker, Envelope
from relay.cluster.directory import Directory, Retention
from relay.cluster.local import LocalBroker, LocalDirectory
from relay.connection import Authorize, Connection
from relay.counts import Counts
from relay.deadlines import Deadlines, Timer
from relay.departures import AT_ONCE, Departures
from relay.edges import Edges
from relay.errors import CloseCode, Disconnect, UsageError
from relay.facts import Connected, Fact, Journal
from relay.finishing import Finishing
from relay.handover import Handover
from relay.heartbeat import Heartbeat
from relay.holding import Holding
from relay.inflight import InFlight
from relay.limits import TokenBucket
from relay.membership import Departure, depart
from relay.metrics import Totals
from relay.protocol import messages
from relay.protocol.session import Session, accept
from relay.publishing import deliver, hear
from relay.seats import Seats
from relay.spans import Spans
from relay.terminations import Terminations
from relay.transport import Transport
from relay.watching import Watching

if TYPE_CHECKING:
    from random import Random

_HALF_SOCKET_ID = 10**10
_log = logging.getLogger(__name__)


def run_now(work: Coroutine[object, None, object]) -> None:
    """Run ``work``, which never suspends: true for all that a hub does over the local broker and directory."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise UsageError("a stepped hub needs a broker and a directory that never suspend, as the local ones")


class Reader(Protocol):
    """Application code that hears what happens here."""

    def end(self) -> None:
        """Nothing more will happen."""


class Tenant:
    """One App on this node: its connections by socket id, its channels, its signed-in users."""

    __slots__ = (
        "app",
        "audience",
        "bounds",
        "calls",
        "channels",
        "connections",
        "counts",
        "lost",
        "retention",
        "seats",
        "totals",
        "turns",
        "users",
        "watching",
    )

    def __init__(self, app: App) -> None:
        self.app = app
        self.bounds = Bounds(app.max_backlog, app.max_backlog_frames, app.slow_consumers)
        self.retention = Retention(app.cache_ttl, app.max_cached_channels, app.max_cached_bytes)
        self.turns: dict[str, anyio.Event] = {}
        """When the latest of the works of one name is done: events of a cache channel, steps about one user."""
        self.totals = Totals()
        self.lost = 0
        """Events that slow clients lost, since the hub was made."""
        self.connections: dict[str, Connection] = {}
        self.channels: Channels[Connection] = Channels()
        self.audience = Audience()
        self.users: dict[str, dict[Connection, float]] = {}
        """Who is signed in, and since when."""
        self.seats = Seats()
        self.watching: Watching[Connection] = Watching()
        self.calls: TokenBucket | None = None
        """The REST calls that the App may make, where it may not make any number; from the first one on."""
        self.counts: Counts[Connection] | None = Counts() if app.subscription_counts else None

    def may_call(self, now: float) -> bool:
        """Spend one of the REST calls that the App may make; whether there was one left."""
        rate = self.app.rest_rate
        if rate is None:
            return True
        if self.calls is None:
            self.calls = TokenBucket(rate, rate, now)
        return self.calls.take(now)

    def forget(self, connection: Connection) -> None:
        """Take a connection out of the registries."""
        self.connections.pop(connection.socket_id, None)
        if (user := connection.session.user) is not None and (tabs := self.users.get(user.user_id)) is not None:
            tabs.pop(connection, None)
            if not tabs:
                del self.users[user.user_id]

    def terminate(self, user_id: str, *, latest: float = math.inf) -> int:
        """Close every connection signed in as ``user_id``, at ``latest`` then, with 4009; returns how many (protocol
        4.3).
        """
        signed_in = self.users.get(user_id, {})
        connections = [connection for connection, since in signed_in.items() if since <= latest]
        for connection in connections:
            connection.turn_out(Disconnect("You got disconnected by the app.", CloseCode.UNAUTHORIZED))
        return len(connections)


class Node:
    """The working parts that connections share. The Hub owns one and speaks for it."""

    holding: Holding | None = None
    """What waits for the other nodes, where anything may."""

    def __init__(
        self,
        apps: Iterable[App],
        *,
        broker: Broker,
        directory: Directory,
        clock: Clock,
        random: Random | None,
        max_connections: int | None,
        debug: bool,
    ) -> None:
        self.debug = debug
        self.broker = broker
        self.directory = directory
        self.clock = clock
        self.journal = Journal()
        self.totals = Totals()
        """What happened to no App in particular."""
        self.spans: Spans | None = None
        """Whoever traces what happens here, if anybody does."""
        self.deadlines: Deadlines[Connection | Timer] = Deadlines()
        self.in_flight = InFlight()
        self.tasks: anyio.abc.TaskGroup | None = None
        """Where background work runs; None while a hub is stepped (see Hub.step)."""
        self.by_key: dict[str, Tenant] = {}
        self.by_id: dict[str, Tenant] = {}
        self.random: Random = random or secrets.SystemRandom()
        self._max_connections = max_connections
        self._steps: deque[Callable[[], Awaitable[None]]] = deque()
        self.slow: list[Connection] = []
        """Those who could take no more, until this tick is over."""
        self._losing: list[Connection] = []
        """Those who lost events in this tick."""
        self._wake: anyio.Event | None = None
        self.alone = type(broker) is LocalBroker
        """Whether there are no other nodes to tell anything."""
        self.at_once = self.alone and type(directory) is LocalDirectory
        """Whether broker and directory never suspend, so that nothing can come between their steps."""
        self.finishing = Finishing(self.in_flight)
        self.departures = Departures(self.in_flight, self.finish, 1 if self.at_once else AT_ONCE)
        self.readers: set[Reader] = set()
        """Application code that hears what happens, and has to be told when nothing will any more."""
        self.heartbeat = Heartbeat(self)
        self.terminations, self.handover = Terminations(self), Handover()
        for app in apps:
            if app.id in self.by_id or app.key in self.by_key:
                raise UsageError(f"two Apps with id {app.id!r} or key {app.key!r}: both must be unique in a hub")
            self.by_id[app.id] = self.by_key[app.key] = Tenant(app)
        self.journal.on(Fact, self._count)
        self.edges = Edges(self.journal.record)

    @property
    def tenants(self) -> Iterable[Tenant]:
        """Every App of this node."""
        return self.by_id.values()

    @property
    def healthy(self) -> bool:
        """Whether this node hears the others, as far as its broker can tell: one that cannot is believed."""
        healthy: bool = getattr(self.broker, "healthy", True)
        return healthy

    def hold(self, most: int) -> None:
        """Let up to ``most`` envelopes wait while the broker is away; a node alone has nobody to tell."""
        self.holding = Holding(self, most) if most and not self.alone else None

    def admit(
        self,
        key: str,
        transport: Transport,
        protocol: str | None,
        *,
        secure: bool,
        authorize: Authorize | None,
        origin: str | None = None,
    ) -> Connection:
        """Let a client in and greet it. Raises :class:`Disconnect` without having written anything."""
        tenant = self.by_key.get(key)
        app = accept(tenant.app if tenant else None, key, protocol, secure=secure, origin=origin)
        assert tenant is not None
        if app.max_connections is not None and len(tenant.connections) >= app.max_connections:
            raise Disconnect("Over connection quota", CloseCode.OVER_QUOTA)
        if self._max_connections is not None and self.connections >= self._max_connections:
            raise Disconnect("Over capacity", CloseCode.OVER_CAPACITY)
        session = Session(app, self._new_socket_id(tenant))
        connection = Connection(self, tenant, transport, session, authorize)
        transport.bound(tenant.bounds, connection.overflow, connection.lost)
        tenant.connections[session.socket_id] = connection
        connection.send(messages.connection_established(session.socket_id, app.activity_timeout))
        connection.start_waiting()
        try:
            self.journal.record(Connected(app=app.id, time=self.clock.time(), socket_id=session.socket_id))
        except BaseException:  # whoever owns the socket is not told of a connection that is in
            connection.disconnected()
            raise
        return connection

    @property
    def connections(self) -> int:
        """How many clients are connected, over all Apps."""
        return sum(len(tenant.connections) for tenant in self.tenants)

    def receive(self, envelope: Envelope) -> None:
        """Deliver what another node published."""
        tenant = self.by_id.get(envelope.app)
        if tenant is None:
            return
        match envelope.kind:
            case "terminate" if envelope.user_id is not None:
                tenant.terminate(envelope.user_id, latest=self.clock.now() - envelope.step / 1000)
            case "member_added" | "member_removed":
                hear(tenant, envelope)
            case "user_online" | "user_offline" | "user_leaving":
                users.hear(self, tenant, envelope)
            case "subscription_count":
                counting.hear(self, tenant, envelope)
            case "roster":
                self.heartbeat.doubt(tenant, envelope.channel)
            case "event":
                deliver(self, tenant, envelope.channel, envelope.text, envelope.socket_id, step=envelope.step)

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when the clock reaches ``when``; returns what takes that back."""
        timer = Timer(callback)
        self.schedule(timer, when)
        return lambda: self.deadlines.discard(timer)

    def schedule(self, item: Connection | Timer, due: float) -> None:
        """Let ``item.expire`` be called at ``due``."""
        earliest = self.deadlines.next()
        self.deadlines.set(item, due)
        if self._wake is not None and due < (math.inf if earliest is None else earliest):
            self._wake.set()

    def depart_soon(self, departure: Departure) -> None:
        """Tell the directory and the other members about a connection that is gone."""
        if departure.subscriptions:
            self.tidy_up(partial(depart, self, departure))

    def tidy_up(self, work: Callable[[], Coroutine[object, None, None]]) -> None:
        """Do ``work``, which is about what a client leaves behind, in no order with other such work."""
        if self.tasks is None:
            run_now(work())
        else:
            self.departures.add(work)

    def start_soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` beside everything else; ``settle`` waits for it. It must not raise."""
        self.in_flight.begin()

        async def counted() -> None:
            try:
                await work()
            finally:
                self.in_flight.end()

        if self.tasks is not None:
            self.tasks.start_soon(counted)
        else:
            self._steps.append(counted)

    async def finish(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` to its end, and raise what it raises. Whoever waits for it may give up: by an
        ``anyio`` cancel scope or by asyncio's own ``Task.cancel``, which no scope can keep out.
        """
        if self.tasks is None or self.at_once:
            await work()
            return
        await self.finishing.finish(self.tasks, work)

    async def keep_time(self) -> None:
        """Do what is due when it is due, for ever: one task for all timers."""
        while True:
            self._wake = anyio.Event()
            self._do_what_is_due()
            await self.clock.wait(self._wake, self.deadlines.next())

    def _do_what_is_due(self) -> None:
        while self.slow:
            self.slow.pop().overflowed()
        losing, self._losing = self._losing, []
        for connection in losing:
            connection.tell_lost()
        now = self.clock.now()
        for item in self.deadlines.pop_due(now):
            item.expire(now)

    def overflow(self, connection: Connection) -> None:
        """Disconnect ``connection`` when this tick is over: it can take no more."""
        self.slow.append(connection)
        if self._wake is not None:
            self._wake.set()

    def lose(self, connection: Connection) -> None:
        """Let ``connection`` tell what it lost when this tick is over."""
        self._losing.append(connection)
        if self._wake is not None:
            self._wake.set()

    async def do_steps(self) -> None:
        """Do what was to be done beside everything else, while there is no place to do so."""
        while self._steps:
            await self._steps.popleft()()

    async def settle(self) -> None:
        """Return when nothing is under way and nothing is due now."""
        while True:
            await anyio.lowlevel.checkpoint()
            if self.tasks is None:
                self._do_what_is_due()
                await self.do_steps()
            await self.in_flight.idle()
            due = self.deadlines.next()
            if not self.in_flight and not self.slow and not self._losing and (due is None or due > self.clock.now()):
                return

    def close_all(self) -> None:
        """Close every client with 4200: it may come back at once."""
        for tenant in self.tenants:
            for connection in list(tenant.connections.values()):
                connection.close(CloseCode.RECONNECT, "Please reconnect immediately")
        users.hurry(self)

    def end(self) -> None:
        """The hub has stopped: whoever reads from it comes to an end."""
        self.terminations.close()
        if self.holding is not None:
            self.holding.close()
        while self._steps:
            self._steps.popleft()
            self.in_flight.end()
        for reader in list(self.readers):
            reader.end()

    def _count(self, fact: Fact) -> None:
        if (tenant := self.by_id.get(fact.app)) is not None:
            tenant.totals.note(fact)
        elif not fact.app:
            self.totals.note(fact)

    def _new_socket_id(self, tenant: Tenant) -> str:
        while True:
            halves = self.random.randrange(_HALF_SOCKET_ID), self.random.randrange(_HALF_SOCKET_ID)
            socket_id = f"{halves[0]}.{halves[1]}"
            if socket_id not in tenant.connections:
                return socket_id
