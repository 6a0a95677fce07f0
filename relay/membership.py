"""Getting into a channel and out of it: the gate of design 3.4.

Joining goes through steps that may wait for other nodes. What reaches the channel meanwhile is held, and
released right after the acknowledgement, so that a client sees every event from the moment it is told
that it is subscribed, none before, and each member once.

Once begun, these steps run to their end in the node's own task, whoever gives up waiting for them: so a
subscribe is never half done, and what it did is undone by leaving, not by unwinding.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from relay import alone, counting, facts, users
from relay.caching import Replay, recall
from relay.channels import Channel
from relay.cluster.broker import Envelope
from relay.cluster.directory import Full, Joined, Left
from relay.edges import Asked
from relay.errors import BrokerError, Refused
from relay.inflight import InFlight
from relay.presence import Edge
from relay.protocol import authorization, messages
from relay.protocol.names import Kind
from relay.protocol.session import Join, Subscription, naming
from relay.publishing import send_on, tell, tell_news

if TYPE_CHECKING:
    from relay.connection import Connection
    from relay.node import Node, Tenant
    from relay.protocol.messages import Identity

_log = logging.getLogger(__name__)


class Departure(msgspec.Struct, frozen=True):
    """A connection that left channels; the directory and the other members still have to be told."""

    tenant: Tenant
    socket_id: str
    subscriptions: Mapping[str, Subscription]


async def join(node: Node, connection: Connection, request: Join) -> None:
    """Make ``connection`` a subscriber, or answer why not.

    Cancelled before it is decided who is coming it leaves no trace, later it is done all the same. Raises
    :class:`Refused` when nobody vouches for the connection.
    """
    if request.unsigned:
        try:
            request = await _vouched(connection, request)
        except Refused as refused:
            raise naming(refused, request.channel) from None
    if not connection.closed:
        await node.finish(partial(_enter, node, connection, request))


async def leave(node: Node, connection: Connection, channel: str, was: Subscription) -> None:
    """Take ``connection``, whose session forgot the channel already, out of it and tell everybody concerned."""
    connection.tenant.channels.remove(channel, connection.transport)
    departure = Departure(connection.tenant, connection.socket_id, {channel: was})
    await node.finish(partial(depart, node, departure))


def detach(connection: Connection, channel: str) -> Subscription | None:
    """The part of leaving that cannot wait: no event reaches the connection on this channel any more."""
    connection.tenant.channels.remove(channel, connection.transport)
    return connection.session.left(channel)


async def depart(node: Node, departure: Departure) -> None:
    """The rest of leaving: directory, other members, broker. Must run to its end once begun."""
    tenant, socket_id = departure.tenant, departure.socket_id
    app = tenant.app.id
    for name, subscription in departure.subscriptions.items():
        user_id = subscription.member.user_id if subscription.member else None
        with node.edges.asking(app, name) as asked:
            left = await _left(node, tenant, socket_id, name, user_id)
            time = node.clock.time()
            if not subscription.joining:
                node.journal.record(
                    facts.Unsubscribed(app=app, time=time, socket_id=socket_id, channel=name, user_id=user_id)
                )
            await tell_left(node, tenant, name, user_id, left, asked=asked)
        await detach_unwanted(node, tenant, name)


async def _vouched(connection: Connection, request: Join) -> Join:
    """``request`` approved by the connection's own authorizer; nothing is held for it before that."""
    subscription = connection.session.subscriptions[request.channel]
    try:
        if connection.authorize is None:
            raise request.refusal
        answer = await connection.authorize(request.channel)
        if connection.closed:
            return request
        member = authorization.granted(answer, request.channel)
        known = None if member is None else authorization.identity(connection.tenant.app, member, request.channel)
        return connection.session.vouch(request, known)
    except BaseException as error:
        if connection.session.holds(request.channel, subscription):
            connection.session.left(request.channel)
        if isinstance(error, Exception) and not isinstance(error, Refused):  # the embedding program's to mend
            _log.exception("an authorizer failed", extra={"channel": request.channel})
            reason = f"Not authorized to subscribe to {request.channel}: try again later"
            raise Refused(reason, channel=request.channel) from None
        raise


async def _enter(node: Node, connection: Connection, request: Join) -> None:
    """From the gate to the acknowledgement. Must run to its end once begun."""
    tenant, name = connection.tenant, request.channel
    subscription = connection.session.subscriptions.get(name)
    if subscription is None:
        return  # unsubscribed or closed meanwhile
    channel = tenant.channels.open(name)
    channel.hold(connection.transport)
    if not channel.attached:
        await _attach_once(node, tenant, channel)
        if not connection.session.holds(name, subscription):
            return
    with node.edges.asking(tenant.app.id, name) as asked:
        joined = await _joined(node, connection, channel, request)
        if isinstance(joined, Joined):
            await _enter_as(node, connection, channel, request, _Answer(subscription, joined, asked))
    if isinstance(joined, Full) and connection.session.holds(name, subscription):
        detach(connection, name)
        await depart(node, Departure(tenant, connection.socket_id, {name: subscription}))
        most = tenant.app.max_members
        reason = f"Over member limit: {name} has {joined.members} users, allowed are {most}"
        connection.refuse(Refused(reason, channel=name))


class _Answer(NamedTuple):
    """What the directory says to a subscription that was under way, and the question."""

    subscription: Subscription
    joined: Joined
    asked: Asked


async def _enter_as(
    node: Node, connection: Connection, channel: Channel[Connection], request: Join, answer: _Answer
) -> None:
    """The rest, now that the directory knows."""
    tenant, name = connection.tenant, request.channel
    subscription, joined, asked = answer
    replay = await recall(node, tenant, name) if channel.cached else None
    see(tenant, name, joined)
    wanted = connection.session.holds(name, subscription)
    if wanted:
        _acknowledge(node, connection, channel, request, replay)
    await tell_joined(node, tenant, name, request.member, joined, asked=asked)
    counting.joined(node, tenant, name, joined, connection if wanted else None)
    if request.member is not None:
        await users.arrive(node, connection, request.member.user_id)
    if wanted and replay is not None and replay.missed:
        node.journal.record(
            facts.CacheMissed(app=tenant.app.id, time=node.clock.time(), socket_id=connection.socket_id, channel=name)
        )


async def _attach_once(node: Node, tenant: Tenant, channel: Channel[Connection]) -> None:
    """Attach ``channel``; who comes while that is under way waits for the same answer."""
    if channel.attaching is not None:
        await channel.attaching.idle()
        return
    channel.attaching = InFlight()
    try:
        with channel.attaching:
            channel.attached = await attach(node, tenant, channel.name)
    finally:
        channel.attaching = None


async def attach(node: Node, tenant: Tenant, name: str) -> bool:
    """Let the broker bring this node the events of a channel; whether it does."""
    try:
        await node.broker.subscribe(tenant.app.id, name)
    except BrokerError as error:
        _unreachable("subscribe", tenant.app.id, error)
        return False
    return True


async def detach_unwanted(node: Node, tenant: Tenant, name: str) -> None:
    """Let the broker bring no more of a channel that neither a client nor application code listens to here."""
    if tenant.channels.get(name) is None and not tenant.audience.wants(name):
        try:
            await node.broker.unsubscribe(tenant.app.id, name)
        except BrokerError as error:
            _unreachable("unsubscribe", tenant.app.id, error)


async def _joined(node: Node, connection: Connection, channel: Channel[Connection], request: Join) -> Joined | Full:
    app = connection.tenant.app
    try:
        return await node.directory.join(
            app.id, request.channel, connection.socket_id, request.member, max_members=app.max_members
        )
    except BrokerError as error:
        _unreachable("join", app.id, error)
        return alone.join(channel, request.member, max_members=app.max_members)


async def _left(node: Node, tenant: Tenant, socket_id: str, name: str, user_id: str | None) -> Left:
    try:
        return await node.directory.leave(tenant.app.id, name, socket_id)
    except BrokerError as error:
        _unreachable("leave", tenant.app.id, error)
        node.heartbeat.unleft(tenant.app.id, name, socket_id, partial(_is_in, tenant, socket_id, name))
        return alone.leave(tenant.channels.get(name), user_id)


def _is_in(tenant: Tenant, socket_id: str, name: str) -> bool:
    connection = tenant.connections.get(socket_id)
    return connection is not None and name in connection.session.subscriptions


def _unreachable(step: str, app: str, error: BrokerError) -> None:
    _log.warning(
        "other nodes cannot be reached: this one goes on alone", extra={"step": step, "app": app, "error": str(error)}
    )


async def tell_left(
    node: Node, tenant: Tenant, name: str, user_id: str | None, left: Left, *, asked: Asked | None = None
) -> None:
    """A user's last connection and a channel's last subscriber are news to others, and so is how many there are."""
    app, time = tenant.app.id, node.clock.time()
    news: list[facts.Fact] = []
    if left.last_for_user and user_id is not None:
        news.append(facts.MemberRemoved(app=app, time=time, channel=name, user_id=user_id))
    if left.last_in_channel:
        news.append(facts.ChannelVacated(app=app, time=time, channel=name))
    node.edges.tell((app, name), asked, left.step, news)
    if left.last_for_user and user_id is not None:
        await _announce(node, tenant, name, Edge(user_id, False, left.step))
    if tenant.counts is not None:
        await counting.left(node, tenant, name, left)


def see(tenant: Tenant, name: str, joined: Joined) -> None:
    """Tell this node's subscribers what is new to them in a roster, the joiner first of all."""
    channel = tenant.channels.get(name)
    if channel is not None and channel.told is not None:
        for edge in channel.told.roster(joined.roster, joined.step):
            tell(channel, edge)


def _acknowledge(
    node: Node, connection: Connection, channel: Channel[Connection], request: Join, replay: Replay | None
) -> None:
    """Admit, acknowledge, replay and release what was held, in one go: nothing may come between (protocol 2.6)."""
    held = channel.admit(connection.transport, connection, replayed=0 if replay is None else replay.step)
    connection.session.joined(request.channel)
    if request.kind in (Kind.PRIVATE, Kind.PRESENCE):
        connection.authorized()
    members = None if channel.told is None else channel.told.members
    connection.send(messages.subscription_succeeded(request.channel, members))
    if replay is not None:
        connection.send(replay.text)
    for text in held:
        connection.send(text)
    node.journal.record(
        facts.Subscribed(
            app=connection.tenant.app.id,
            time=node.clock.time(),
            socket_id=connection.socket_id,
            channel=request.channel,
            user_id=request.member.user_id if request.member else None,
        )
    )


async def tell_joined(
    node: Node, tenant: Tenant, name: str, member: Identity | None, joined: Joined, *, asked: Asked | None = None
) -> None:
    """A channel's first subscriber and a user's first connection are news to others."""
    app, time = tenant.app.id, node.clock.time()
    news: list[facts.Fact] = []
    if joined.first_in_channel:
        news.append(facts.ChannelOccupied(app=app, time=time, channel=name))
    if joined.first_for_user and member is not None:
        news.append(facts.MemberAdded(app=app, time=time, channel=name, user_id=member.user_id))
    node.edges.tell((app, name), asked, joined.step, news)
    if joined.first_for_user and member is not None:
        await _announce(node, tenant, name, Edge(member.user_id, True, joined.step, member.info))


async def _announce(node: Node, tenant: Tenant, name: str, edge: Edge) -> None:
    """Tell the subscribers here, then the other nodes."""
    tell_news(tenant, name, edge)
    remote = await send_on(
        node,
        Envelope(
            app=tenant.app.id,
            channel=name,
            kind="member_added" if edge.joined else "member_removed",
            user_id=edge.user_id,
            info=edge.info,
            step=edge.step,
        ),
    )
    if remote == "unavailable":
        node.heartbeat.unsaid(tenant.app.id, name)
