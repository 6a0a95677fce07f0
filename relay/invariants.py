"""What must be true between the registries of a node, whatever happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay import users
from relay.cluster.local import LocalDirectory
from relay.metrics import ConnectionInfo, Stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.connection import Connection
    from relay.node import Node, Tenant


def stats(tenant: Tenant) -> Stats:
    """Counts of one App, read from its registries."""
    return Stats(
        connections=len(tenant.connections),
        channels=len(tenant.channels),
        subscriptions=sum(len(channel.transports) for channel in tenant.channels),
        users=len(tenant.users),
        lost=tenant.lost,
    )


def connection_info(connection: Connection) -> ConnectionInfo:
    """What the registries say about one connection."""
    session = connection.session
    return ConnectionInfo(
        connection.socket_id,
        None if session.user is None else session.user.user_id,
        connection.transport.backlog,
        tuple(name for name, subscription in session.subscriptions.items() if not subscription.joining),
    )


def check(node: Node) -> list[str]:
    """Every broken invariant in words."""
    return [f"app {tenant.app.id}: {problem}" for tenant in node.tenants for problem in _problems(node, tenant)]


def _problems(node: Node, tenant: Tenant) -> Iterator[str]:
    yield from _channels(tenant)
    yield from _connections(tenant)
    yield from _users(node, tenant)
    if tenant.counts is not None and not node.in_flight:
        yield from tenant.counts.problems([channel.name for channel in tenant.channels])
    if isinstance(node.directory, LocalDirectory) and not node.in_flight:
        yield from _directory(node.directory, tenant)
        yield from _places(node.directory, tenant)


def _channels(tenant: Tenant) -> Iterator[str]:
    for channel in tenant.channels:
        if channel.idle:
            yield f"channel {channel.name} is kept though nobody is in it"
        if not channel.replayed.keys() <= channel.transports.keys():
            yield f"channel {channel.name} keeps what it replayed to one who is not in it"
        for connection in channel.transports.values():
            subscription = connection.session.subscriptions.get(channel.name)
            if subscription is None or subscription.joining:
                yield f"channel {channel.name} sends to {connection.socket_id}, which is not subscribed"
            if connection.closed:
                yield f"channel {channel.name} sends to {connection.socket_id}, which is closed"


def _connections(tenant: Tenant) -> Iterator[str]:
    for socket_id, connection in tenant.connections.items():
        if connection.closed:
            yield f"connection {socket_id} is kept though it is closed"
        for name, subscription in connection.session.subscriptions.items():
            channel = tenant.channels.get(name)
            if not subscription.joining and (channel is None or connection.transport not in channel.transports):
                yield f"connection {socket_id} believes to be in {name}"
        user = connection.session.user
        if user is not None and connection not in tenant.users.get(user.user_id, {}):
            yield f"connection {socket_id} is signed in as {user.user_id} and not found there"
    for user_id, connections in tenant.users.items():
        if not connections or any(connection.closed for connection in connections):
            yield f"user {user_id} is kept without a living connection"


def _users(node: Node, tenant: Tenant) -> Iterator[str]:
    for socket_id in tenant.seats:
        if socket_id not in tenant.connections and not tenant.seats.lingering(socket_id) and not node.in_flight:
            yield f"connection {socket_id} is gone and holds places for ever"
    for connection in tenant.watching:
        if connection.closed:
            yield f"connection {connection.socket_id} is closed and watches users"
    yield from tenant.watching.problems()


def _places(directory: LocalDirectory, tenant: Tenant) -> Iterator[str]:
    here, there = tenant.seats.sockets(), directory.sockets(users.namespace(tenant.app.id))
    for name in here.keys() | there.keys():
        if here.get(name) != there.get(name):
            yield f"place {name} has {sorted(here.get(name, ()))}, the directory {sorted(there.get(name, ()))}"


def _directory(directory: LocalDirectory, tenant: Tenant) -> Iterator[str]:
    places = directory.sockets(tenant.app.id)
    for channel in tenant.channels:
        here = {connection.socket_id for connection in channel.transports.values()}
        there = places.pop(channel.name, frozenset())
        if here != there:
            yield f"channel {channel.name} has {sorted(here)}, the directory {sorted(there)}"
    for name, there in places.items():
        yield f"the directory has {sorted(there)} in {name}, where nobody is"
