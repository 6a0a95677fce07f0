"""Channels of every kind, and client events (protocol 2, 3, 5)."""

from __future__ import annotations

from tests.conformance.features import Kind, feature
from tests.conformance.running import World

DATA = {"id": 7, "note": "café", "lines": [1.5, None, True]}


def _receives(world: World, prefix: str) -> None:
    channel = world.channel(prefix)
    client = world.subscribed(channel)
    world.publish(channel, "paid", DATA)
    assert client.wait_for(channel=channel, event="paid")["data"] == DATA


@feature(Kind.CLIENT, "subscribes to public channels", "2.2")
def public(world: World) -> None:
    _receives(world, "")


@feature(Kind.CLIENT, "unsubscribes", "2.2")
def unsubscribe(world: World) -> None:
    left, kept = world.channel(), world.channel()
    client = world.subscribed(left, kept)
    client.do("unsubscribe", left)
    world.until_vacated(left)
    world.publish(left, "paid", {"id": 7})
    world.publish(kept, "last", {})
    client.wait_for(channel=kept, event="last")
    assert client.events("paid") == []


@feature(Kind.CLIENT, "subscribes to private channels", "2.3")
def private(world: World) -> None:
    _receives(world, "private-")


@feature(Kind.CLIENT, "is told of a wrong signature", "2.3")
def wrong_signature(world: World) -> None:
    client = world.connect()
    client.do("subscribe", world.channel("private-stranger-"))
    error = client.wait_for(told="error")
    assert error["code"] in (None, 4009), error


@feature(Kind.CLIENT, "sees members come and go", "2.4")
def presence(world: World) -> None:
    channel = world.channel("presence-")
    ada = world.subscribed(channel, user="ada")
    bob = world.subscribed(channel, user="bob")
    ada.wait_for(channel=channel, event="pusher:member_added")
    world.members(bob, channel, {"ada": {"name": "Ada"}, "bob": {"name": "Bob"}})
    twice = world.subscribed(channel, user="bob")
    world.members(twice, channel, {"ada": {"name": "Ada"}, "bob": {"name": "Bob"}})
    twice.stop()
    bob.stop()
    ada.wait_for(channel=channel, event="pusher:member_removed")
    world.publish(channel, "last", {})
    ada.wait_for(channel=channel, event="last")
    for event in "pusher:member_added", "pusher:member_removed":
        assert len(ada.events(event)) == 1, f"one user with two connections: {event} {len(ada.events(event))} times"


@feature(Kind.CLIENT, "is here, sees joining and leaving", "2.4")
def here_joining_leaving(world: World) -> None:
    channel = world.channel("presence-")
    ada = world.subscribed(channel, user="ada")
    ada.wait_for(told="here", users=["Ada"])
    bob = world.subscribed(channel, user="bob")
    bob.wait_for(told="here", users=["Ada", "Bob"])
    ada.wait_for(told="joining", user="Bob")
    bob.stop()
    ada.wait_for(told="leaving", user="Bob")


@feature(Kind.CLIENT, "sends and receives client events", "3", needs="client events")
def client_events(world: World) -> None:
    channel = world.channel("private-")
    ada, bob = world.subscribed(channel, user="ada"), world.subscribed(channel, user="bob")
    ada.do("trigger", channel, "client-typing", {"who": "ada"})
    assert bob.wait_for(channel=channel, event="client-typing")["data"] == {"who": "ada"}
    world.publish(channel, "last", {})
    ada.wait_for(channel=channel, event="last")
    assert ada.events("client-typing") == [], "the sender got its own client event"


@feature(Kind.CLIENT, "is told who sent a client event", "3", needs="client events")
def client_event_user(world: World) -> None:
    channel = world.channel("presence-")
    ada, bob = world.subscribed(channel, user="ada"), world.subscribed(channel, user="bob")
    ada.do("trigger", channel, "client-typing", {"who": "somebody"})
    assert bob.wait_for(channel=channel, event="client-typing")["user_id"] == "ada"


@feature(Kind.CLIENT, "is spared what it caused", "6.2")
def exclusion(world: World) -> None:
    channel = world.channel()
    payer, clerk = world.subscribed(channel), world.subscribed(channel)
    world.publish(channel, "spared", {"id": 7}, socket_id=payer.socket_id)
    world.publish(channel, "last", {})
    assert clerk.wait_for(channel=channel, event="spared")["data"] == {"id": 7}
    payer.wait_for(channel=channel, event="last")
    assert payer.events("spared") == [], "the excluded socket got the event"


@feature(Kind.CLIENT, "spares itself with toOthers", "8.1")
def to_others(world: World) -> None:
    channel = world.channel()
    payer, clerk = world.subscribed(channel), world.subscribed(channel)
    world.site.publish = world.publish
    payer.do("say", channel, "spared", {"id": 7})
    assert clerk.wait_for(channel=channel, event="spared")["data"] == {"id": 7}
    world.publish(channel, "last", {})
    payer.wait_for(channel=channel, event="last")
    assert payer.events("spared") == [], "X-Socket-Id did not spare the socket"


def _cached(world: World, prefix: str) -> None:
    channel = world.channel(prefix)
    client = world.subscribed(channel)
    client.wait_for(channel=channel, event="pusher:cache_miss")
    world.publish(channel, "paid", {"id": 1})
    world.publish(channel, "paid", {"id": 2})
    late = world.subscribed(channel)
    assert late.wait_for(channel=channel, event="paid")["data"] == {"id": 2}
    assert late.events("pusher:cache_miss") == []


@feature(Kind.CLIENT, "gets the last event of a cache channel, or is told of a miss", "2.5")
def cache(world: World) -> None:
    _cached(world, "cache-")
    _cached(world, "private-cache-")


@feature(Kind.CLIENT, "reads encrypted channels", "8.3")
def encrypted(world: World) -> None:
    _receives(world, "private-encrypted-")


@feature(Kind.CLIENT, "is told how many subscribe", "5", needs="subscription counts")
def subscription_count(world: World) -> None:
    channel = world.channel()
    first = world.subscribed(channel)
    first.wait_for(channel=channel, event="pusher:subscription_count")
    second = world.subscribed(channel)
    counted = second.wait_for(channel=channel, event="pusher:subscription_count")["data"]
    assert counted == {"subscription_count": 2}
    assert first.wait_for(channel=channel, event="pusher:subscription_count")["data"] == {"subscription_count": 2}
    second.stop()
    assert first.wait_for(channel=channel, event="pusher:subscription_count")["data"] == {"subscription_count": 1}
