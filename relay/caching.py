"""Cache channels: what was published last is kept in the directory and given to whoever comes later (protocol 2.5).

A published event is remembered first and delivered then. So whoever joins meanwhile either recalls it (or a later one),
or is in the channel when it is delivered. The directory numbers what it remembers; by that number a channel knows
which events a subscriber has got already (``relay.channels``).
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import msgspec

from relay.errors import BrokerError
from relay.protocol import messages

if TYPE_CHECKING:
    from relay.node import Node, Tenant

_log = logging.getLogger(__name__)


class CachedEvent(msgspec.Struct, frozen=True):
    """The last event of a cache channel: its ``data``, and for how many seconds more it is kept (protocol 6.4)."""

    data: str
    ttl: int


class Replay(msgspec.Struct, frozen=True):
    """What follows an acknowledgement: the last event and its step, or ``pusher:cache_miss`` and 0.

    ``missed`` tells that nothing is remembered, which a directory that cannot be asked does not say.
    """

    text: bytes
    step: int = 0
    missed: bool = False


async def remember(node: Node, tenant: Tenant, channel: str, text: bytes) -> int:
    """Keep ``text``; returns its step. A directory that is away is logged, never raised: 0 then."""
    app = tenant.app.id
    try:
        return await node.directory.remember(app, channel, text, now=node.clock.time(), retention=tenant.retention)
    except BrokerError as error:
        _log.warning("an event could not be remembered", extra={"app": app, "channel": channel, "error": str(error)})
        return 0


async def recall(node: Node, tenant: Tenant, channel: str) -> Replay:
    """What a new subscriber gets first. A directory that is away is logged, never raised: it is a miss then."""
    app = tenant.app.id
    try:
        found = await node.directory.recall(app, channel, now=node.clock.time())
    except BrokerError as error:
        _log.warning("the last event cannot be recalled", extra={"app": app, "channel": channel, "error": str(error)})
        return Replay(messages.cache_miss(channel))
    if found is None:
        return Replay(messages.cache_miss(channel), missed=True)
    return Replay(found.text, found.step)


async def cached(node: Node, tenant: Tenant, channel: str) -> CachedEvent | None:
    """The last event for whoever asks over the API. Raises :class:`BrokerError`."""
    now = node.clock.time()
    found = await node.directory.recall(tenant.app.id, channel, now=now)
    return None if found is None else CachedEvent(messages.data_of(found.text), math.ceil(found.until - now))
