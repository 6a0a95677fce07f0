"""Telling the subscribers of a channel how many they are, over all nodes (protocol 5).

A turn's changes of one channel are told in one frame when the turn is over: to everybody in it here, to the other
nodes, and as a Fact of the node where the last change happened. A large channel is told now and then only, see
:mod:`relay.counts`; whoever is new in it, at once.

Presence channels have no count, and a user's own channel is nobody else's business. On encrypted channels the number is
a Fact and no frame: the Java SDK takes every frame there for a ciphertext.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING

from relay.cluster.broker import Envelope
from relay.errors import BrokerError
from relay.facts import CountChanged
from relay.fanout import broadcast, fan_out
from relay.protocol import messages, names
from relay.protocol.names import Kind
from relay.publishing import send_on

if TYPE_CHECKING:
    from relay.cluster.directory import Joined, Left
    from relay.connection import Connection
    from relay.counts import Counts, News
    from relay.node import Node, Tenant

_log = logging.getLogger(__name__)


def counts_of(tenant: Tenant, name: str) -> Counts[Connection] | None:
    """Where the count of a channel is kept; None where it is nobody's business."""
    counts = tenant.counts
    if counts is None or names.kind_of(name) in (Kind.PRESENCE, Kind.USER):
        return None
    return counts


def joined(node: Node, tenant: Tenant, name: str, answer: Joined, newcomer: Connection | None = None) -> None:
    """Somebody is in a channel, and was acknowledged if ``newcomer`` says who."""
    counts = counts_of(tenant, name)
    if counts is None:
        return
    first = counts.change(name, answer.count, answer.step, ours=True)
    if newcomer is not None:
        first |= counts.welcome(name, newcomer)
    if first:
        _tell_soon(node, tenant)


async def left(node: Node, tenant: Tenant, name: str, answer: Left) -> None:
    """Somebody is out of a channel, unless it was not in."""
    counts = counts_of(tenant, name)
    if counts is None:
        return
    count = answer.count
    if count is None:
        count = await _ask(node, tenant, name, answer)
    if count is not None and counts.change(name, count, answer.step, ours=True):
        _tell_soon(node, tenant)


def hear(node: Node, tenant: Tenant, envelope: Envelope) -> None:
    """Take in the count that another node found."""
    counts, name = counts_of(tenant, envelope.channel), envelope.channel
    if counts is None or tenant.channels.get(name) is None:
        return
    count = messages.count_of(envelope.text)
    if count is not None and counts.change(name, count, envelope.step, ours=False):
        _tell_soon(node, tenant)


def finish(node: Node) -> None:
    """Tell all there is to tell, now that this node closes and time does not pass for it any more."""
    for tenant in node.tenants:
        if tenant.counts is not None:
            tenant.counts.changed()
            for name in tenant.counts:
                _look_and_send(node, tenant, name, math.inf)


async def _ask(node: Node, tenant: Tenant, name: str, answer: Left) -> int | None:
    """How many are left, of a directory that did not say so; None where nobody was in or nobody knows."""
    if answer.last_in_channel or not answer.step:
        return 0 if answer.last_in_channel else None
    try:
        return (await node.directory.occupancy(tenant.app.id, name)).subscriptions
    except BrokerError as error:
        _log.warning("subscribers cannot be counted", extra={"app": tenant.app.id, "error": str(error)})
        return None


def _tell_soon(node: Node, tenant: Tenant) -> None:
    node.call_at(node.clock.now(), partial(_tell, node, tenant))


def _tell(node: Node, tenant: Tenant) -> None:
    """The turn is over: tell what changed in it."""
    if tenant.counts is not None:
        for name in tenant.counts.changed():
            _look_and_send(node, tenant, name, node.clock.now())


def _again(node: Node, tenant: Tenant, name: str) -> None:
    if tenant.counts is not None:
        tenant.counts.waited(name)
        _look_and_send(node, tenant, name, node.clock.now())


def _look_and_send(node: Node, tenant: Tenant, name: str, now: float) -> None:
    news = _look(node, tenant, name, now)
    if news is not None and news.step and not node.alone:
        node.start_soon(partial(_send, node, tenant, name, news))


def _look(node: Node, tenant: Tenant, name: str, now: float) -> News[Connection] | None:
    """Tell those here what there is to tell of a channel, and come back when it may be told more."""
    assert tenant.counts is not None
    channel = tenant.channels.get(name)
    news = tenant.counts.look(name, now, here=channel is not None)
    if news is not None and channel is not None and not names.is_encrypted(name):
        text = messages.subscription_count(name, news.count)
        if news.everybody:
            fan_out(channel, text)
        else:
            new = (one.transport for one in news.newcomers)
            broadcast([transport for transport in new if transport in channel.transports], text)
    if news is not None and news.everybody and news.ours:
        fact = CountChanged(app=tenant.app.id, time=node.clock.time(), channel=name, subscription_count=news.count)
        node.journal.record(fact)
    due = tenant.counts.again(name, now, here=channel is not None)
    if due is not None:
        node.call_at(due, partial(_again, node, tenant, name))
    return news


async def _send(node: Node, tenant: Tenant, name: str, news: News[Connection]) -> None:
    """Tell the other nodes. What did not get there, they ask for when they can be reached."""
    envelope = Envelope(
        app=tenant.app.id,
        channel=name,
        kind="subscription_count",
        text=messages.count_data(news.count),
        step=news.step,
    )
    if await send_on(node, envelope) == "unavailable":
        node.heartbeat.unsaid(tenant.app.id, name)
