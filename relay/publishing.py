"""From one publish to everybody it is for: local subscribers first, then the other nodes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, get_args

import anyio
import msgspec

from relay.caching import remember
from relay.cluster.broker import Envelope
from relay.errors import BrokerError
from relay.facts import Published
from relay.fanout import broadcast, fan_out
from relay.presence import Edge
from relay.protocol import messages
from relay.protocol.names import Kind, is_cached, kind_of
from relay.receipts import ChannelReceipt, Receipt, Remote

if TYPE_CHECKING:
    from relay.channels import Channel
    from relay.connection import Connection
    from relay.node import Node, Tenant
    from relay.protocol.events import CheckedEvent

_FROM_GOOD_TO_BAD: tuple[Remote, ...] = get_args(Remote)
_log = logging.getLogger(__name__)


def deliver(
    node: Node, tenant: Tenant, name: str, text: bytes, socket_id: str | None, *, step: int = 0
) -> ChannelReceipt:
    """Queue an event for this node's subscribers of the channel ``name``, all but ``socket_id``; never waits.

    Whoever is just joining gets it right after the acknowledgement. ``step`` is that of an event remembered for
    a cache channel, which is not queued once more for those who were given it, or a later one, with their
    acknowledgement; the receipt counts it as queued for them.
    """
    if tenant.audience.streams:
        tenant.lost += tenant.audience.hear(name, text)
    channel = tenant.channels.get(name)
    if channel is None:
        return ChannelReceipt(name)
    excluded = None
    if socket_id is not None and (sender := tenant.connections.get(socket_id)) is not None:
        excluded = sender.transport
    lost = tenant.lost
    if step and step <= channel.floor:
        broadcast(channel.awaiting(step, excluded), text)
    else:
        fan_out(channel, text, excluded)
    if channel.joining:
        channel.keep(text, excluded, step)
    matched = len(channel.transports) + len(channel.joining)
    left_out = int(excluded in channel.transports or excluded in channel.joining) if excluded else 0
    refused = 0
    if node.slow:  # those who could take no more, just now or earlier in this tick
        refused = sum(one.transport in channel.transports and one.transport is not excluded for one in node.slow)
    queued = matched - left_out - refused
    return ChannelReceipt(name, matched, queued, left_out, refused, {}, tenant.lost - lost)


def tell_news(tenant: Tenant, name: str, edge: Edge) -> None:
    """Take in a member's coming or going, and tell this node's subscribers of the channel if it is news to them."""
    channel = tenant.channels.get(name)
    if channel is not None and channel.told is not None and channel.told.edge(edge):
        tell(channel, edge)


def tell(channel: Channel[Connection], edge: Edge) -> None:
    """Queue a member's coming or going for everybody in ``channel``; who is joining gets the roster instead."""
    if edge.joined:
        text = messages.member_added(channel.name, edge.user_id, edge.info)
    else:
        text = messages.member_removed(channel.name, edge.user_id)
    fan_out(channel, text)


def hear(tenant: Tenant, envelope: Envelope) -> None:
    """Take in a member's coming or going on another node."""
    if envelope.user_id is not None:
        edge = Edge(envelope.user_id, envelope.kind == "member_added", envelope.step, envelope.info)
        tell_news(tenant, envelope.channel, edge)


async def publish(node: Node, tenant: Tenant, name: str, text: bytes, socket_id: str | None) -> None:
    """Deliver an event here, then hand it to the other nodes."""
    deliver(node, tenant, name, text, socket_id)
    if not node.alone:
        await send_on(node, Envelope(app=tenant.app.id, channel=name, text=text, socket_id=socket_id))


async def publish_event(node: Node, tenant: Tenant, event: CheckedEvent) -> Receipt:
    """Publish application code's event to each of its channels and say what became of it."""
    receipts: dict[str, ChannelReceipt] = {}
    remotes: list[Remote] = []
    if event.cached:  # once an event may be remembered it is delivered too, whoever gives up waiting for it
        await node.finish(partial(_publish_each, node, tenant, event, receipts, remotes))
    else:
        envelopes = _deliver_each(node, tenant, event, receipts)
        if envelopes:
            remotes = await send_each(node, envelopes)
    return await _receipt(node, tenant, event, receipts, remotes)


async def publish_events(node: Node, tenant: Tenant, events: Sequence[CheckedEvent]) -> list[Receipt]:
    """Publish several, in order, and hand them to the other nodes side by side, where none has to be remembered."""
    if len(events) == 1 or node.alone or any(event.cached for event in events):
        return [await publish_event(node, tenant, event) for event in events]
    receipts: list[dict[str, ChannelReceipt]] = [{} for _ in events]
    envelopes = [_deliver_each(node, tenant, event, here) for event, here in zip(events, receipts, strict=True)]
    rest = iter(await send_each(node, [envelope for some in envelopes for envelope in some]))
    return [
        await _receipt(node, tenant, event, here, list(islice(rest, len(some))))
        for event, here, some in zip(events, receipts, envelopes, strict=True)
    ]


def _deliver_each(
    node: Node, tenant: Tenant, event: CheckedEvent, receipts: dict[str, ChannelReceipt]
) -> list[Envelope]:
    """Deliver an event here, on each of its channels; what is to be handed to other nodes."""
    envelopes: list[Envelope] = []
    for name in event.channels:
        text = messages.event(event.name, name, event.data)
        receipts[name] = deliver(node, tenant, name, text, event.socket_id)
        if not node.alone:
            envelopes.append(Envelope(app=tenant.app.id, channel=name, text=text, socket_id=event.socket_id))
    return envelopes


async def _receipt(
    node: Node, tenant: Tenant, event: CheckedEvent, receipts: dict[str, ChannelReceipt], remotes: list[Remote]
) -> Receipt:
    """What became of an event, with the counts that were asked for: told to whoever asked, and to the journal."""
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


async def _publish_each(
    node: Node, tenant: Tenant, event: CheckedEvent, receipts: dict[str, ChannelReceipt], remotes: list[Remote]
) -> None:
    """Publish to one channel after the other, remembering what goes to cache channels."""
    app, socket_id = tenant.app.id, event.socket_id
    receipts.update((name, ChannelReceipt(name)) for name in event.channels)
    for name in event.channels:
        text = messages.event(event.name, name, event.data)
        step = 0
        if not is_cached(name):
            receipts[name] = deliver(node, tenant, name, text, socket_id)
        else:
            receipts[name], step = await _deliver_remembered(node, tenant, name, text, socket_id)
        if not node.alone:  # sent before the next event of this channel is: its turn comes when this task waits
            envelope = Envelope(app=app, channel=name, text=text, socket_id=socket_id, step=step)
            remotes.append(await send_on(node, envelope))


async def _deliver_remembered(
    node: Node, tenant: Tenant, name: str, text: bytes, socket_id: str | None
) -> tuple[ChannelReceipt, int]:
    """Remember an event, then deliver it here: in the order of this node's calls, though answers may overtake
    each other, so that the last event that subscribers got is the one that is remembered.
    """
    if node.at_once:
        step = await remember(node, tenant, name, text)
        return deliver(node, tenant, name, text, socket_id, step=step), step
    before, done = tenant.turns.get(name), anyio.Event()
    tenant.turns[name] = done
    try:
        step = await remember(node, tenant, name, text)
        if before is not None:
            await before.wait()
        return deliver(node, tenant, name, text, socket_id, step=step), step
    finally:
        done.set()
        if tenant.turns.get(name) is done:
            del tenant.turns[name]


async def send_on(node: Node, envelope: Envelope) -> Remote:
    """Hand ``envelope`` to the other nodes; a broker that is away is logged, never raised."""
    if node.handover.busy(envelope):
        (remote,) = await node.handover.each([envelope], partial(_send, node))
        return remote
    return await _send(node, envelope)


async def send_each(node: Node, envelopes: Sequence[Envelope]) -> list[Remote]:
    """Do so with several, side by side: only those of one channel wait for each other, until the broker was called."""
    if len(envelopes) == 1:
        return [await send_on(node, envelopes[0])]
    return await node.handover.each(envelopes, partial(_send, node))


async def _send(node: Node, envelope: Envelope) -> Remote:
    try:
        if node.holding is not None:
            return await node.holding.send(envelope)
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
    return max(remotes, key=_FROM_GOOD_TO_BAD.index, default="none")
