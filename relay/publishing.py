"""From one publish to everybody it is for: local subscribers first, then the other nodes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from relay.cluster.broker import Envelope
from relay.errors import BrokerError
from relay.facts import Published
from relay.fanout import fan_out
from relay.presence import Edge
from relay.protocol import messages
from relay.protocol.names import Kind, kind_of
from relay.receipts import ChannelReceipt, Receipt, Remote

if TYPE_CHECKING:
    from relay.channels import Channel
    from relay.connection import Connection
    from relay.node import Node, Tenant
    from relay.protocol.events import CheckedEvent

_log = logging.getLogger(__name__)


def deliver(node: Node, tenant: Tenant, name: str, text: bytes, socket_id: str | None) -> ChannelReceipt:
    """Queue an event for this node's subscribers of the channel ``name``, all but ``socket_id``; never waits.

    Whoever is just joining gets it right after the acknowledgement.
    """
    channel = tenant.channels.get(name)
    if channel is None:
        return ChannelReceipt(name)
    excluded = None
    if socket_id is not None and (sender := tenant.connections.get(socket_id)) is not None:
        excluded = sender.transport
    lost = tenant.lost
    fan_out(channel, text, excluded)
    if channel.joining:
        channel.keep(text, excluded)
    matched = len(channel.transports) + len(channel.joining)
    left_out = int(excluded in channel.transports or excluded in channel.joining) if excluded else 0
    refused = 0
    if node.slow:  # those who could take no more, just now or earlier in this tick
        refused = sum(one.transport in channel.transports and one.transport is not excluded for one in node.slow)
    queued = matched - left_out - refused
    return ChannelReceipt(name, matched, queued, left_out, refused, {}, tenant.lost - lost)


def tell(channel: Channel[Connection], edge: Edge) -> None:
    """Queue a member's coming or going for everybody in ``channel``; who is joining gets the roster instead."""
    if edge.joined:
        text = messages.member_added(channel.name, edge.user_id, edge.info)
    else:
        text = messages.member_removed(channel.name, edge.user_id)
    fan_out(channel, text)


def hear(tenant: Tenant, envelope: Envelope) -> None:
    """Take in a member's coming or going on another node."""
    channel = tenant.channels.get(envelope.channel)
    if channel is not None and channel.told is not None and envelope.user_id is not None:
        edge = Edge(envelope.user_id, envelope.kind == "member_added", envelope.step, envelope.info)
        if channel.told.edge(edge):
            tell(channel, edge)


async def publish(node: Node, tenant: Tenant, name: str, text: bytes, socket_id: str | None) -> ChannelReceipt:
    """Deliver an event here, then hand it to the other nodes."""
    receipt = deliver(node, tenant, name, text, socket_id)
    if not node.alone:
        await send_on(node, Envelope(app=tenant.app.id, channel=name, text=text, socket_id=socket_id))
    return receipt


async def publish_event(node: Node, tenant: Tenant, event: CheckedEvent) -> Receipt:
    """Publish application code's event to each of its channels and say what became of it."""
    receipts: dict[str, ChannelReceipt] = {}
    envelopes: list[Envelope] = []
    socket_id = event.socket_id
    for name in event.channels:
        text = messages.event(event.name, name, event.data)
        receipts[name] = deliver(node, tenant, name, text, socket_id)
        if not node.alone:
            envelopes.append(Envelope(app=tenant.app.id, channel=name, text=text, socket_id=socket_id))
    remotes = [await send_on(node, envelope) for envelope in envelopes] if envelopes else []
    if event.info:
        try:
            for name, receipt in receipts.items():
                receipts[name] = await _with_info(node, tenant, receipt, event.info)
        except BrokerError as error:  # the event is out already, so this is no failure to publish
            _log.warning("the counts asked for are not known", extra={"app": tenant.app.id, "error": str(error)})
            remotes.append("unavailable")
    result = Receipt(receipts, _worst(remotes))
    node.journal.record(Published(app=tenant.app.id, time=node.clock.time(), event=event.name, receipt=result))
    return result


async def send_on(node: Node, envelope: Envelope) -> Remote:
    """Hand ``envelope`` to the other nodes; a broker that is away is logged, never raised."""
    try:
        return await node.broker.publish(envelope)
    except BrokerError as error:
        _log.warning("other nodes did not get an event", extra={"app": envelope.app, "error": str(error)})
        return "unavailable"


async def counts(node: Node, tenant: Tenant, channel: str, info: Sequence[str]) -> dict[str, int]:
    """Those of the attributes ``info`` that apply to ``channel`` (protocol 6.2): user_count to presence
    channels, subscription_count to the others.
    """
    occupancy = await node.directory.occupancy(tenant.app.id, channel)
    if kind_of(channel) is Kind.PRESENCE:
        return {"user_count": occupancy.users} if "user_count" in info else {}
    return {"subscription_count": occupancy.subscriptions} if "subscription_count" in info else {}


async def _with_info(node: Node, tenant: Tenant, receipt: ChannelReceipt, info: Sequence[str]) -> ChannelReceipt:
    return msgspec.structs.replace(receipt, info=await counts(node, tenant, receipt.channel, info))


def _worst(remotes: Sequence[Remote]) -> Remote:
    if "unavailable" in remotes:
        return "unavailable"
    return "sent" if "sent" in remotes else "none"
