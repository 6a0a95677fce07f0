"""Connecting, staying connected, coming back (protocol 1)."""

from __future__ import annotations

from tests.conformance.features import Kind, feature
from tests.conformance.running import World

_COMING_BACK = 45.0
"""Seconds: pusher-js tries at once, and where nobody listens yet, again 15 seconds later."""


@feature(Kind.CLIENT, "connects", "1.3")
def connect(world: World) -> None:
    client = world.connect()
    assert client.socket_id.replace(".", "", 1).isdigit(), f"a socket id is two numbers, got {client.socket_id!r}"


@feature(Kind.CLIENT, "is told that its App does not exist", "1.7")
def unknown_key(world: World) -> None:
    client = world.start(key="no-such-key")
    client.wait_for(told="error", code=4001)


@feature(Kind.CLIENT, "pings and is answered", "1.6")
def ping(world: World) -> None:
    world.start(impatient=True).wait_for(told="pong")


@feature(Kind.CLIENT, "comes back when the server was restarted", "1.7", restarts=True)
def reconnect(world: World) -> None:
    channel = world.channel()
    client = world.subscribed(channel)
    before = client.socket_id
    world.target.restart()
    client.wait_for(_COMING_BACK, told="state", state="connected")
    client.wait_for(channel=channel, event="pusher:subscription_succeeded")
    assert client.socket_id != before
    world.publish(channel, "paid", {"id": 7})
    assert client.wait_for(channel=channel, event="paid")["data"] == {"id": 7}


@feature(Kind.CLIENT, "connects with TLS", "1.1", tls=True)
def tls(world: World) -> None:
    address = world.target.with_tls()
    assert address is not None
    channel = world.channel()
    client = world.subscribed(channel, address=address)
    world.publish(channel, "paid", {"id": 7}, address=address)
    assert client.wait_for(channel=channel, event="paid")["data"] == {"id": 7}


def _over_http(world: World, transport: str) -> None:
    channel = world.channel("private-")
    client = world.subscribed(channel, transport=transport)
    for size in 1, 9_000:
        world.publish(channel, "paid", {"text": "x" * size})
        assert client.wait_for(channel=channel, event="paid")["data"] == {"text": "x" * size}
    client.do("trigger", channel, "client-typing", {"who": "ada"})
    client.do("unsubscribe", channel)
    client.do("subscribe", channel)
    client.wait_for(channel=channel, event="pusher:subscription_succeeded")


@feature(Kind.CLIENT, "works over HTTP streaming", "9.3", needs="HTTP fallbacks")
def xhr_streaming(world: World) -> None:
    _over_http(world, "xhr_streaming")


@feature(Kind.CLIENT, "works over HTTP polling", "9.4", needs="HTTP fallbacks")
def xhr_polling(world: World) -> None:
    _over_http(world, "xhr_polling")
