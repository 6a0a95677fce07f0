"""Getting into a channel and out of it: the gate of design 3.4.

Joining goes through steps that may wait for other nodes. What reaches the channel meanwhile is held, and
released right after the acknowledgement, so that a client sees every event from the moment it is told
that it is subscribed, none before, and each member once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio
import msgspec

from relay import facts
from relay.channels import Channel
from relay.cluster.broker import Envelope
from relay.cluster.directory import Full, Joined
from relay.errors import Refused
from relay.presence import Consistent
from relay.protocol import authorization, messages
from relay.protocol.names import Kind
from relay.protocol.session import Join, Subscription
from relay.publishing import publish

if TYPE_CHECKING:
    from relay.connection import Connection
    from relay.node import Node, Tenant


class Departure(msgspec.Struct, frozen=True):
    """A connection that left channels; the directory and the other members still have to be told."""

    tenant: Tenant
    socket_id: str
    subscriptions: Mapping[str, Subscription]


async def join(node: Node, connection: Connection, request: Join) -> None:
    """Make ``connection`` a subscriber, or leave no trace: also when cancelled or when it closes meanwhile.

    Raises :class:`Refused` when nobody vouches for it or the presence channel is full.
    """
    tenant, name = connection.tenant, request.channel
    if request.unsigned:
        request = await _vouched(connection, request)
    if connection.closed:
        return
    channel = tenant.channels.open(name)
    channel.hold(connection.transport)
    try:
        if not channel.attached:
            await node.broker.subscribe(tenant.app.id, name)
            channel.attached = True
        if not connection.closed:
            with anyio.CancelScope(shield=True):  # what the directory did must be known, and announced
                await _enter(node, connection, channel, request)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await leave(node, connection, name)
        raise


async def leave(node: Node, connection: Connection, channel: str) -> None:
    """Take ``connection`` out of one channel and tell everybody concerned."""
    subscription = detach(connection, channel)
    await depart(node, Departure(connection.tenant, connection.socket_id, {channel: subscription or _gone}))


def detach(connection: Connection, channel: str) -> Subscription | None:
    """The part of leaving that cannot wait: no event reaches the connection on this channel any more."""
    connection.tenant.channels.remove(channel, connection.transport)
    return connection.session.left(channel)


async def depart(node: Node, departure: Departure) -> None:
    """The rest of leaving: directory, other members, broker. Must run to its end once begun."""
    tenant, socket_id = departure.tenant, departure.socket_id
    app = tenant.app.id
    for name, subscription in departure.subscriptions.items():
        left = await node.directory.leave(app, name, socket_id)
        user_id = subscription.member.user_id if subscription.member else None
        time = node.clock.time()
        if not subscription.joining:
            node.journal.record(
                facts.Unsubscribed(app=app, time=time, socket_id=socket_id, channel=name, user_id=user_id)
            )
        if left.last_for_user and user_id is not None:
            node.journal.record(facts.MemberRemoved(app=app, time=time, channel=name, user_id=user_id))
            text = messages.member_removed(name, user_id)
            envelope = Envelope(app=app, channel=name, text=text, kind="member_removed", user_id=user_id)
            await publish(node, tenant, envelope)
        if left.last_in_channel:
            node.journal.record(facts.ChannelVacated(app=app, time=time, channel=name))
        if tenant.channels.get(name) is None:
            await node.broker.unsubscribe(app, name)


_gone = Subscription(Kind.PUBLIC, None)
"""Stands for a subscription that is not there any more."""


async def _vouched(connection: Connection, request: Join) -> Join:
    """``request`` approved by the connection's own authorizer; nothing is held for it before that."""
    try:
        if connection.authorize is None:
            raise request.refusal
        answer = await connection.authorize(request.channel)
        if connection.closed:
            return request
        member = authorization.granted(answer, request.channel)
        return connection.session.vouch(request, None if member is None else messages.identity(member))
    except BaseException:
        connection.session.left(request.channel)
        raise


async def _enter(node: Node, connection: Connection, channel: Channel[Connection], request: Join) -> None:
    """Join in the directory, then acknowledge and announce."""
    tenant, name = connection.tenant, request.channel
    joined = await node.directory.join(
        tenant.app.id, name, connection.socket_id, request.member, max_members=tenant.app.max_members
    )
    if isinstance(joined, Full):
        raise Refused(
            f"Over member limit: {name} has {joined.members} users, allowed are {tenant.app.max_members}", channel=name
        )
    if not connection.closed:
        _acknowledge(node, connection, channel, request, joined)
    await _tell_edges(node, connection, request, joined)
    if connection.closed:  # perhaps before it had joined, so that its own departure found nothing to undo
        gone = Subscription(request.kind, request.member)
        await depart(node, Departure(tenant, connection.socket_id, {name: gone}))


def _acknowledge(
    node: Node, connection: Connection, channel: Channel[Connection], request: Join, joined: Joined
) -> None:
    """Admit, acknowledge and release what was held, in one go: nothing may come between (protocol 2.6)."""
    held = channel.admit(connection.transport, connection)
    connection.session.joined(request.channel)
    roster = joined.roster if request.kind is Kind.PRESENCE else None
    connection.send(messages.subscription_succeeded(request.channel, roster))
    consistent = Consistent(joined.roster)
    for event in held:
        if event.edge is None or consistent.tells(event.edge.user_id, joined=event.edge.joined):
            connection.send(event.text)
    node.journal.record(
        facts.Subscribed(
            app=connection.tenant.app.id,
            time=node.clock.time(),
            socket_id=connection.socket_id,
            channel=request.channel,
            user_id=request.member.user_id if request.member else None,
        )
    )


async def _tell_edges(node: Node, connection: Connection, request: Join, joined: Joined) -> None:
    """A channel's first subscriber and a user's first connection are news to others."""
    app, name, member, time = connection.tenant.app.id, request.channel, request.member, node.clock.time()
    if joined.first_in_channel:
        node.journal.record(facts.ChannelOccupied(app=app, time=time, channel=name))
    if joined.first_for_user and member is not None:
        node.journal.record(facts.MemberAdded(app=app, time=time, channel=name, user_id=member.user_id))
        envelope = Envelope(
            app=app,
            channel=name,
            text=messages.member_added(name, member.user_id, member.info),
            socket_id=connection.socket_id,
            kind="member_added",
            user_id=member.user_id,
        )
        await publish(node, connection.tenant, envelope)
