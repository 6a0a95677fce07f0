"""Whatever clients do, a receiver that answers 200 is told what the facts say: each edge once, a reload not at all."""

from __future__ import annotations

from functools import partial

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import App, WebhookEndpoint
from relay.facts import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from relay.testing import Kit
from tests.property.test_webhook_schedule import Edge, expected
from tests.unit.client import Socket, arrive

APP = App(
    id="1001",
    key="app-key",
    secret="app-secret",
    activity_timeout=10_000,
    webhooks=(WebhookEndpoint("https://a.example"), WebhookEndpoint("https://b.example", batching=True)),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "subscribe", "subscribe", "subscribe", "unsubscribe", "go", "go"]),
        st.integers(0, 5),
        st.sampled_from(["orders", "presence-a", "presence-b"]),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from([0, 0, 0.5, 2.9, 3, 5]),
    ),
    max_size=40,
)


async def play(kit: Kit, steps: list[tuple[str, int, str, str, float]]) -> None:
    """Tabs open, subscribe, unsubscribe and close, and time passes; then all close."""
    tabs: list[Socket] = []
    for what, number, channel, user, seconds in steps:
        if what == "come" or not tabs:
            tabs.append(await arrive(kit.hub))
        elif what == "subscribe":
            await tabs[number % len(tabs)].subscribe(channel, user)
        elif what == "unsubscribe":
            await tabs[number % len(tabs)].unsubscribe(channel)
        else:
            tabs.pop(number % len(tabs)).disconnect()
        await kit.clock.advance(seconds)
    for tab in tabs:
        tab.disconnect()
    await kit.clock.advance(20)


def happened(kit: Kit) -> list[Edge]:
    """What the facts say: when, where, and whether somebody came."""
    edges = []
    for fact in kit.facts:
        if isinstance(fact, ChannelOccupied | ChannelVacated):
            edges.append((round(fact.time, 3), fact.channel, isinstance(fact, ChannelOccupied)))
        elif isinstance(fact, MemberAdded | MemberRemoved):
            edges.append((round(fact.time, 3), f"{fact.channel}/{fact.user_id}", isinstance(fact, MemberAdded)))
    return edges


def told(kit: Kit, url: str) -> dict[str, list[tuple[float, bool]]]:
    found: dict[str, list[tuple[float, bool]]] = {}
    for request in kit.webhooks.requests:
        for event in request.events if request.url == url else ():
            place = f"{event.channel}/{event.user_id}" if event.user_id else event.channel
            came = event.name in ("channel_occupied", "member_added")
            found.setdefault(place, []).append((request.time_ms / 1000, came))
    return found


@given(STEPS)
@settings(max_examples=50)
def test_receivers_are_told_what_the_facts_say(steps):
    kit = Kit(APP)
    anyio.run(partial(play, kit, steps))
    wanted = {place: news for place, news in expected(happened(kit)).items() if news}
    one_by_one, batched = (told(kit, endpoint.url) for endpoint in APP.webhooks)
    assert one_by_one == wanted
    assert {place: [came for _, came in news] for place, news in batched.items()} == {
        place: [came for _, came in news] for place, news in wanted.items()
    }
    assert kit.hub.check() == []
    kit.close()
