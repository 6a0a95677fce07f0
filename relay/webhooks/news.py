"""What a fact is called in a webhook, and which kinds of facts belong together (protocol 7.2)."""

from __future__ import annotations

from collections.abc import Iterable

from relay import facts
from relay.facts import Fact
from relay.protocol import messages, names
from relay.protocol.names import Kind
from relay.protocol.webhooks import WebhookEvent

FACTS: dict[str, tuple[type[Fact], ...]] = {
    "channel_occupied": (facts.ChannelOccupied, facts.ChannelVacated),
    "channel_vacated": (facts.ChannelOccupied, facts.ChannelVacated),
    "member_added": (facts.MemberAdded, facts.MemberRemoved),
    "member_removed": (facts.MemberAdded, facts.MemberRemoved),
    "client_event": (facts.ClientEvent,),
    "cache_miss": (facts.CacheMissed, facts.Published),
    "subscription_count": (facts.CountChanged,),
}
"""The facts that must be known to send webhooks of a kind: who comes back within the grace was never away, and a
cache channel that got an event can be missed anew.
"""

ARRIVAL_OF = {"channel_vacated": "channel_occupied", "member_removed": "member_added"}
"""What is taken back together with a departure."""


def needed(kinds: Iterable[str]) -> set[type[Fact]]:
    """The types of facts that webhooks of these kinds are made of; nothing else has to be listened to."""
    return {fact for kind in kinds for fact in FACTS[kind]}


def event_of(fact: Fact) -> WebhookEvent | None:
    """What a webhook tells about ``fact``; None where it tells nothing: of server-to-user channels, for instance,
    which are no business of receivers (protocol 4.2).
    """
    event = None
    match fact:
        case facts.ChannelOccupied():
            event = WebhookEvent("channel_occupied", fact.channel)
        case facts.ChannelVacated():
            event = WebhookEvent("channel_vacated", fact.channel)
        case facts.MemberAdded():
            event = WebhookEvent("member_added", fact.channel, fact.user_id)
        case facts.MemberRemoved():
            event = WebhookEvent("member_removed", fact.channel, fact.user_id)
        case facts.ClientEvent():
            data = messages.data_of(fact.text)
            event = WebhookEvent("client_event", fact.channel, fact.user_id, fact.event, data, fact.socket_id)
        case facts.CacheMissed():
            event = WebhookEvent("cache_miss", fact.channel)
        case facts.CountChanged():
            event = WebhookEvent("subscription_count", fact.channel, subscription_count=fact.subscription_count)
    return None if event is None or names.kind_of(event.channel) is Kind.USER else event
