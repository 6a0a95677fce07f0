"""Numbers about a running hub, read from its registries when asked, so that they cannot drift."""

from __future__ import annotations

import msgspec

from relay import facts
from relay.facts import Fact


class Stats(msgspec.Struct, frozen=True):
    """What one App (or all) holds on this node right now; ``lost`` counts all events that slow clients ever lost."""

    connections: int = 0
    channels: int = 0
    subscriptions: int = 0
    users: int = 0
    lost: int = 0

    def __add__(self, other: Stats) -> Stats:
        return Stats(
            self.connections + other.connections,
            self.channels + other.channels,
            self.subscriptions + other.subscriptions,
            self.users + other.users,
            self.lost + other.lost,
        )


class ConnectionInfo(msgspec.Struct, frozen=True):
    """One connection on this node: as whom it is signed in, how many bytes wait for it, which channels it is in."""

    socket_id: str
    user_id: str | None
    backlog: int
    channels: tuple[str, ...]


class Totals(msgspec.Struct):
    """What happened to one App (or all) on this node since the hub was made, counted from its facts.

    ``delivered`` counts events of application code, once for each client that they were queued for; ``closed`` has the
    codes that clients were closed with, None standing for those that went by themselves. ``webhook_requests`` and the
    ``webhook_events`` in them were taken by their receivers, ``webhooks_given_up`` counts events that never were;
    ``webhook_attempts`` is known when a request is over. ``events_given_up`` were ``held`` for other nodes, which never
    get them. ``broker_losses`` and ``directory_losses`` are of no App: only the sum has them.
    """

    connected: int = 0
    subscribed: int = 0
    published: int = 0
    delivered: int = 0
    client_events: int = 0
    refused: int = 0
    cache_misses: int = 0
    slow_consumers: int = 0
    lost: int = 0
    webhook_requests: int = 0
    webhook_events: int = 0
    webhook_attempts: int = 0
    webhooks_given_up: int = 0
    events_given_up: int = 0
    broker_losses: int = 0
    directory_losses: int = 0
    closed: dict[int | None, int] = msgspec.field(default_factory=dict)

    def __add__(self, other: Totals) -> Totals:
        numbers = {name: getattr(self, name) + getattr(other, name) for name in _NUMBERS}
        codes = [*self.closed, *(code for code in other.closed if code not in self.closed)]
        closed = {code: self.closed.get(code, 0) + other.closed.get(code, 0) for code in codes}
        return Totals(**numbers, closed=closed)

    def note(self, fact: Fact) -> None:
        """Count one fact."""
        match fact:
            case facts.Published():
                self.published += 1
                self.delivered += fact.receipt.delivered
            case facts.ClientEvent():
                self.client_events += 1
            case facts.Connected():
                self.connected += 1
            case facts.Disconnected():
                self.closed[fact.code] = self.closed.get(fact.code, 0) + 1
            case facts.Subscribed():
                self.subscribed += 1
            case facts.RefusedRequest():
                self.refused += 1
            case facts.CacheMissed():
                self.cache_misses += 1
            case facts.SlowConsumer():
                self.slow_consumers += 1
            case facts.EventsLost():
                self.lost += fact.count
            case _:
                self._note_other_programs(fact)

    def _note_other_programs(self, fact: Fact) -> None:
        match fact:
            case facts.WebhookDelivered():
                self.webhook_requests += 1
                self.webhook_events += fact.events
                self.webhook_attempts += fact.attempts
            case facts.WebhookGivenUp():
                self.webhooks_given_up += fact.events
                self.webhook_attempts += fact.attempts
            case facts.EventsGivenUp():
                self.events_given_up += fact.count
            case facts.BrokerLost():
                self.broker_losses += 1
            case facts.DirectoryLost():
                self.directory_losses += 1


_NUMBERS = tuple(name for name in Totals.__struct_fields__ if name != "closed")
