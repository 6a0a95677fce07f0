"""Who is online: users with at least one connection, and those who are told of it (protocol 4.5).

A connection that signs in takes a *place* of its user in the directory, and leaves it when it is gone and the App's
``offline_grace`` is over. So whoever takes a user's first place in the cluster brings it online, and whoever leaves
the last one takes it offline; further tabs and quick reconnects do neither, whatever node they are on. Places are kept
apart from channels in the directory, under a name that no App can have.

What the nodes have to say about one user is done in order; who watches is told at the end of the turn.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Literal

import anyio

from relay import facts
from relay.cluster.broker import Envelope
from relay.cluster.directory import Joined, Left
from relay.errors import BrokerError
from relay.fanout import broadcast
from relay.protocol import messages
from relay.publishing import send_on
from relay.seats import Kind, Place

if TYPE_CHECKING:
    from relay.cluster.directory import Abandoned
    from relay.connection import Connection
    from relay.node import Node, Tenant

News = Literal["user_online", "user_offline", "user_leaving"]
_log = logging.getLogger(__name__)


def namespace(app: str) -> str:
    """Under which App's name the places of ``app`` are in the directory: no App's own, which has no space."""
    return f"{app} users"


async def signed_in(node: Node, connection: Connection, user_id: str, watchlist: tuple[str, ...]) -> None:
    """``connection`` is this user now: bring it online and tell it of those on its ``watchlist``."""
    tenant = connection.tenant
    if tenant.app.watchlists:  # at once: a later sign-in may not be overtaken by this one
        _unwatched(node, tenant, tenant.watching.watch(connection, watchlist))
    await node.finish(partial(_settle_in, node, connection, user_id, watchlist))


async def _settle_in(node: Node, connection: Connection, user_id: str, watchlist: tuple[str, ...]) -> None:
    """Must run to its end once begun."""
    both = connection.tenant.app.watchlists
    await arrive(node, connection, user_id, (Kind.PRESENT, Kind.SIGNED_IN) if both else (Kind.PRESENT,))
    if watchlist:
        await _beside(node, partial(_watch, node, connection, watchlist))


async def arrive(node: Node, connection: Connection, user_id: str, kinds: Iterable[Kind] = (Kind.PRESENT,)) -> None:
    """Let ``connection`` hold its places of that user, if it does not yet. Must run to its end once begun."""
    tenant = connection.tenant
    for place in [Place(kind, user_id) for kind in kinds]:
        if place in tenant.seats.of(connection.socket_id):
            continue
        async with _turn(node, tenant, place.channel):
            if connection.closed or not tenant.seats.take(connection.socket_id, place):
                continue
            joined = await _joined(node, tenant, connection.socket_id, place)
            if joined.first_in_channel:
                await _announce(node, tenant, place, "user_online", joined.step)


def depart(node: Node, connection: Connection) -> None:
    """``connection`` is gone: it watches nobody any more, and gives its places up when the grace is over."""
    tenant, socket_id = connection.tenant, connection.socket_id
    _unwatched(node, tenant, tenant.watching.forget(connection))
    if tenant.seats.of(socket_id):
        due = node.clock.now() + tenant.app.offline_grace
        tenant.seats.linger(socket_id, node.call_at(due, partial(_give_up_soon, node, tenant, socket_id)))


def hurry(node: Node) -> None:
    """Give up the places of everybody who is gone, though the grace is not over: this node is closing."""
    for tenant in node.tenants:
        for socket_id in tenant.seats.hurry():
            node.tidy_up(partial(_give_up, node, tenant, socket_id, closing=True))


async def swept(node: Node, tenant: Tenant, gone: Abandoned) -> None:
    """A dead node left a connection in a place of its user: tell, if it was the last one."""
    for kind in Kind:
        if gone.channel.startswith(kind.value) and gone.left.last_in_channel:
            place = Place(kind, gone.channel.removeprefix(kind.value))
            await _announce(node, tenant, place, "user_offline", gone.left.step)


def again(node: Node, tenant: Tenant) -> Iterator[Callable[[], Awaitable[None]]]:
    """What has to be done so that every connection of this node is in its places in the directory again."""
    for socket_id in tenant.seats:
        for place in tenant.seats.of(socket_id):
            yield partial(_arrive_again, node, tenant, socket_id, place)


async def _arrive_again(node: Node, tenant: Tenant, socket_id: str, place: Place) -> None:
    async with _turn(node, tenant, place.channel):
        if place in tenant.seats.of(socket_id):
            joined = await _joined(node, tenant, socket_id, place)
            if joined.first_in_channel:
                await _announce(node, tenant, place, "user_online", joined.step)


def watched_places(tenant: Tenant) -> list[str]:
    """The places of all users whom somebody here watches, by their names on the broker."""
    everybody = (tenant.watching.list_of(connection) for connection in tenant.watching)
    return [Place(Kind.SIGNED_IN, user_id).channel for user_id in dict.fromkeys(chain.from_iterable(everybody))]


def watched_in(tenant: Tenant, name: str) -> bool:
    """Whether ``name`` is the place of a user whom somebody here watches."""
    return _watched_user(tenant, name) is not None


async def look(node: Node, tenant: Tenant, name: str) -> bool:
    """News of that user may have been lost: ask whether it is online. False where nobody could be asked."""
    user_id = _watched_user(tenant, name)
    watched = None if user_id is None else tenant.watching.get(user_id)
    if user_id is None or watched is None:
        return True
    edges = watched.edges
    try:
        occupancy = await node.directory.occupancy(namespace(tenant.app.id), name)
    except BrokerError as error:
        _unreachable("watch", tenant.app.id, error)
        return False
    if tenant.watching.answer(user_id, watched, online=occupancy.subscriptions > 0, edges=edges):
        _tell_soon(node, tenant)
    return True


def _watched_user(tenant: Tenant, name: str) -> str | None:
    user_id = name.removeprefix(Kind.SIGNED_IN.value)
    return user_id if user_id != name and tenant.watching.get(user_id) is not None else None


def hear(node: Node, tenant: Tenant, envelope: Envelope) -> None:
    """Take in that a user came or went, as another node found."""
    user_id = envelope.user_id
    watched = None if user_id is None else tenant.watching.get(user_id)
    if user_id is None or watched is None:
        return

    def take_in() -> None:
        if tenant.watching.get(user_id) is watched:  # else it was asked about since, and knows better
            _edge(node, tenant, user_id, online=envelope.kind == "user_online", step=envelope.step)

    if envelope.kind == "user_leaving":  # if it is back before that is due, its step is a later one
        node.call_at(node.clock.now() + tenant.app.offline_grace, take_in)
    else:
        take_in()


def _give_up_soon(node: Node, tenant: Tenant, socket_id: str) -> None:
    node.tidy_up(partial(_give_up, node, tenant, socket_id))


async def _give_up(node: Node, tenant: Tenant, socket_id: str, *, closing: bool = False) -> None:
    """Leave the places of a connection that is gone. Must run to its end once begun."""
    for place in tenant.seats.of(socket_id):
        async with _turn(node, tenant, place.channel):
            tenant.seats.leave(socket_id, place)
            left = await _left(node, tenant, socket_id, place)
            if left.last_in_channel:
                await _announce(node, tenant, place, "user_leaving" if closing else "user_offline", left.step)


async def _announce(node: Node, tenant: Tenant, place: Place, news: News, step: int) -> None:
    """A user came or went: that is a Fact, or news to those who watch, here and on the other nodes."""
    app, user_id, online = tenant.app.id, place.user_id, news == "user_online"
    if place.kind is Kind.PRESENT:
        fact = facts.UserOnline if online else facts.UserOffline
        node.journal.record(fact(app=app, time=node.clock.time(), user_id=user_id))
        return
    _edge(node, tenant, user_id, online=online, step=step)
    if not node.alone:
        envelope = Envelope(
            app=app,
            channel=place.channel,
            kind=news,
            user_id=user_id,
            step=step,
        )
        if await send_on(node, envelope) == "unavailable":
            node.heartbeat.unsaid(app, place.channel)


def _edge(node: Node, tenant: Tenant, user_id: str, *, online: bool, step: int) -> None:
    if tenant.watching.edge(user_id, online=online, step=step):
        _tell_soon(node, tenant)


def _tell_soon(node: Node, tenant: Tenant) -> None:
    node.call_at(node.clock.now(), partial(_tell, tenant))


def _tell(tenant: Tenant) -> None:
    """Tell everybody what changed in this turn, each in one frame."""
    for statuses, watchers in tenant.watching.changes().items():
        text = messages.watchlist_events(statuses.online, statuses.offline)
        broadcast([watcher.transport for watcher in watchers], text)


async def _watch(node: Node, connection: Connection, watchlist: tuple[str, ...]) -> None:
    """Tell ``connection`` who of its watchlist is online, once that is known of all."""
    tenant = connection.tenant
    if node.at_once:
        for user_id in watchlist:
            await _know(node, tenant, user_id)
    else:
        async with anyio.create_task_group() as asking:
            for user_id in watchlist:
                asking.start_soon(_know, node, tenant, user_id)
    if tenant.watching.list_of(connection) is watchlist:  # else it is gone, or watches others by now
        first = tenant.watching.first(connection)
        connection.send(messages.watchlist_events(first.online, first.offline))


async def _know(node: Node, tenant: Tenant, user_id: str) -> None:
    """Find out whether a watched user is online, and hear of it from now on."""
    app, place = tenant.app.id, Place(Kind.SIGNED_IN, user_id)
    async with _turn(node, tenant, f"watch {user_id}"):
        watched = tenant.watching.get(user_id)
        if watched is None or (watched.attached and watched.online is not None):
            return
        edges = watched.edges
        try:
            await node.broker.subscribe(app, place.channel)
            watched.attached = True
            edges = watched.edges
            online = (await node.directory.occupancy(namespace(app), place.channel)).subscriptions > 0
        except BrokerError as error:
            _unreachable("watch", app, error)
            online = tenant.seats.count(place) > 0
        if tenant.watching.answer(user_id, watched, online=online, edges=edges):
            _tell_soon(node, tenant)


def _unwatched(node: Node, tenant: Tenant, user_ids: list[str]) -> None:
    if user_ids and not node.alone:
        node.tidy_up(partial(_unsubscribe, node, tenant, user_ids))


async def _unsubscribe(node: Node, tenant: Tenant, user_ids: list[str]) -> None:
    for user_id in user_ids:
        if tenant.watching.get(user_id) is None:
            try:
                await node.broker.unsubscribe(tenant.app.id, Place(Kind.SIGNED_IN, user_id).channel)
            except BrokerError as error:
                _unreachable("unsubscribe", tenant.app.id, error)


async def _joined(node: Node, tenant: Tenant, socket_id: str, place: Place) -> Joined:
    app = tenant.app
    try:
        joined = await node.directory.join(
            namespace(app.id), place.channel, socket_id, None, max_members=app.max_members
        )
        assert isinstance(joined, Joined)  # a place has no members that could be too many
    except BrokerError as error:
        _unreachable("join", app.id, error)
        count = tenant.seats.count(place)
        return Joined(count == 1, False, count, {}, _known_step(tenant, place))
    return joined


async def _left(node: Node, tenant: Tenant, socket_id: str, place: Place) -> Left:
    app = tenant.app.id
    try:
        return await node.directory.leave(namespace(app), place.channel, socket_id)
    except BrokerError as error:
        _unreachable("leave", app, error)
        node.heartbeat.unleft(namespace(app), place.channel, socket_id, lambda: place in tenant.seats.of(socket_id))
        return Left(tenant.seats.count(place) == 0, False, _known_step(tenant, place))


def _known_step(tenant: Tenant, place: Place) -> int:
    watched = tenant.watching.get(place.user_id)
    return 0 if watched is None else watched.step


def _unreachable(step: str, app: str, error: BrokerError) -> None:
    _log.warning(
        "other nodes cannot be asked who is online: this one goes on alone",
        extra={"step": step, "app": app, "error": str(error)},
    )


async def _beside(node: Node, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, beside what the client says next if it takes time."""
    if node.at_once:
        await work()
        return

    async def logged() -> None:
        try:
            await work()
        except Exception:  # noqa: BLE001 - an engine's mistake about one client is not the end of all others
            _log.exception("a watchlist could not be looked up")

    node.start_soon(logged)


@asynccontextmanager
async def _turn(node: Node, tenant: Tenant, name: str) -> AsyncIterator[None]:
    """Wait until everything that was begun under ``name`` before is done."""
    if node.at_once:
        yield
        return
    before, done = tenant.turns.get(name), anyio.Event()
    tenant.turns[name] = done
    try:
        if before is not None:
            await before.wait()
        yield
    finally:
        done.set()
        if tenant.turns.get(name) is done:
            del tenant.turns[name]
