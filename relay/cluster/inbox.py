"""What an engine brings a node: envelopes of others, and whatever else somebody sent there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from relay.cluster.broker import Envelope
from relay.cluster.packing import Unreadable, unpack

T = TypeVar("T", bytes, str)


class Inbox(Generic[T]):
    """Reads what comes over one engine for the node named ``node``; ``topic_of`` is where the envelopes of an App's
    channel come from. What is no envelope, or comes from elsewhere, is counted in ``refused``.
    """

    def __init__(self, engine: str, node: str, topic_of: Callable[[str, str], T], log: logging.Logger) -> None:
        self._engine = engine
        self._node = node
        self._topic_of: Callable[[str, str], T] = topic_of
        self._log = log
        self.refused = 0

    def read(self, topic: T, data: bytes) -> Envelope | None:
        """The envelope of another node, if it is one."""
        try:
            packet = unpack(data)
            envelope = packet.envelope
            if self._topic_of(envelope.app, envelope.channel) != topic:
                raise Unreadable("an envelope for another channel")
        except Unreadable as error:
            self.refused += 1
            if self.refused == 1:  # a log line for each would be the next thing to flood us
                self._log.warning("what came over %s is refused", self._engine, extra={"reason": str(error)})
            return None
        return None if packet.sender == self._node else envelope

    def hand_over(self, envelope: Envelope, receive: Callable[[Envelope], None]) -> None:
        """Let the hub have it; what that raises is logged."""
        try:
            receive(envelope)
        except Exception:  # noqa: BLE001 - one envelope must not make this node deaf to the next
            self._log.exception("an envelope could not be delivered")
