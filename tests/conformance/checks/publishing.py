"""What server SDKs do (protocol 6, 7.4, 8): each check ends at a subscriber or in the answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from tests.conformance.features import Kind, feature
from tests.conformance.programs import Rejected
from tests.conformance.running import World

DATA = {"id": 7, "note": "café"}


@feature(Kind.SDK, "publishes, to one channel and to several", "6.2")
def trigger(world: World) -> None:
    one, two = world.channel(), world.channel("private-")
    listener = world.listener(one, two)
    sdk = world.sdk()
    sdk.ask("trigger", [one], "paid", DATA, None)
    assert listener.wait_for(channel=one, event="paid")["data"] == DATA
    sdk.ask("trigger", [one, two], "paid", "as it is", None)
    for channel in one, two:
        assert listener.wait_for(channel=channel, event="paid")["data"] == "as it is"


@feature(Kind.SDK, "spares one socket", "6.2")
def trigger_but_one(world: World) -> None:
    channel = world.channel()
    payer, clerk = world.listener(channel), world.listener(channel)
    sdk = world.sdk()
    sdk.ask("trigger", [channel], "spared", DATA, payer.socket_id)
    sdk.ask("trigger", [channel], "last", {}, None)
    assert clerk.wait_for(channel=channel, event="spared")["data"] == DATA
    payer.wait_for(channel=channel, event="last")
    assert payer.events("spared") == []


@feature(Kind.SDK, "publishes batches, in order", "6.3")
def batch(world: World) -> None:
    channel = world.channel()
    listener = world.listener(channel)
    world.sdk().ask("trigger_batch", [{"channel": channel, "name": "paid", "data": {"n": n}} for n in range(10)])
    assert [listener.wait_for(channel=channel, event="paid")["data"]["n"] for _ in range(10)] == list(range(10))


@feature(Kind.SDK, "publishes to encrypted channels", "8.3")
def trigger_encrypted(world: World) -> None:
    channel = world.channel("private-encrypted-")
    listener = world.listener(channel)
    world.sdk().ask("trigger", [channel], "paid", DATA, None)
    assert listener.wait_for(channel=channel, event="paid")["data"] == DATA


@feature(Kind.SDK, "lists channels", "6.4")
def channels(world: World) -> None:
    channel = world.channel("presence-")
    world.listener(channel)
    assert world.sdk().ask("channels", channel, ["user_count"])["channels"][channel]["user_count"] == 1


@feature(Kind.SDK, "asks about one channel", "6.4")
def channel_state(world: World) -> None:
    taken, free = world.channel(), world.channel()
    world.listener(taken)
    sdk = world.sdk()
    found = sdk.ask("channel", taken, ["subscription_count"])
    assert (found["occupied"], found["subscription_count"]) == (True, 1)
    assert sdk.ask("channel", free, [])["occupied"] is False


@feature(Kind.SDK, "asks who is in a presence channel", "6.4")
def channel_users(world: World) -> None:
    channel = world.channel("presence-")
    world.listener(channel)
    assert world.sdk().ask("users", channel)["users"] == [{"id": "listener"}]


@feature(Kind.SDK, "sends to a user", "4.2", needs="user authentication")
def send_to_user(world: World) -> None:
    user = world.user()
    listener = world.listener(user=user)
    listener.do("signin")
    listener.wait_for(told="signed in")
    world.sdk().ask("send_to_user", user, "notice", DATA)
    assert listener.wait_for(told="user event", event="notice")["data"] == DATA


@feature(Kind.SDK, "sends a user away", "4.3", needs="user authentication")
def terminate_user(world: World) -> None:
    user = world.user()
    listener = world.listener(user=user)
    listener.do("signin")
    listener.wait_for(told="signed in")
    world.sdk().ask("terminate", user)
    listener.wait_for(told="state", state="disconnected")


@feature(Kind.SDK, "signs for private and presence channels", "2.3")
def authorize(world: World) -> None:
    sdk = world.sdk()

    def sign(_: str, socket_id: str, channel: str) -> Mapping[str, Any]:
        member = {"user_id": "zoé", "user_info": {"name": "Zoé"}} if channel.startswith("presence-") else None
        signed: Mapping[str, Any] = sdk.ask("authorize", socket_id, channel, member)
        return signed

    world.site.sign = sign
    private, room = world.channel("private-"), world.channel("presence-")
    listener = world.listener(private, room)
    world.members(listener, room, {"zoé": {"name": "Zoé"}})


@feature(Kind.SDK, "tells the secret of encrypted channels", "8.2")
def shared_secret(world: World) -> None:
    sdk = world.sdk()
    world.site.sign = lambda _, socket_id, channel: sdk.ask("authorize", socket_id, channel, None)
    channel = world.channel("private-encrypted-")
    listener = world.listener(channel)
    world.publish(channel, "paid", DATA)
    assert listener.wait_for(channel=channel, event="paid")["data"] == DATA


@feature(Kind.SDK, "signs users in", "8.2", needs="user authentication")
def authenticate(world: World) -> None:
    sdk, user = world.sdk(), world.user()
    world.site.sign = lambda _, socket_id, __: sdk.ask("authenticate", socket_id, {"id": user, "user_info": {}})
    listener = world.listener(user=user)
    listener.do("signin")
    assert listener.wait_for(told="signed in")["user"]["id"] == user


@feature(Kind.SDK, "knows a genuine webhook from a forged one", "7.4")
def webhook(world: World) -> None:
    app, sdk = world.target.app, world.sdk()
    events = [{"name": "channel_occupied", "channel": "orders"}]
    body = json.dumps({"time_ms": int(time.time() * 1000), "events": events})
    signature = hmac.new(app.secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "x-pusher-key": app.key, "x-pusher-signature": signature}
    assert sdk.ask("webhook", headers, body) == events
    assert sdk.ask("webhook", headers, body.replace("orders", "others")) is None


@feature(Kind.SDK, "is told that its secret is wrong", "6.5")
def wrong_secret(world: World) -> None:
    _is_refused(world, "nature", secret="another-secret", data={})


@feature(Kind.SDK, "is told that its event is too large", "6.5")
def too_large(world: World) -> None:
    _is_refused(world, "exceed", data="x" * 10_241)


def _is_refused(world: World, why: str, data: object, secret: str | None = None) -> None:
    try:
        world.sdk(secret=secret).ask("trigger", [world.channel()], "paid", data, None)
    except Rejected as rejected:
        told = str(rejected)
    else:
        raise AssertionError("the server took it")
    if world.target.ours:  # others have words of their own
        assert why in told, f"the reason does not say {why!r}: {told}"


@feature(Kind.SDK, "publishes with TLS", "6", tls=True)
def trigger_with_tls(world: World) -> None:
    address = world.target.with_tls()
    assert address is not None
    channel = world.channel()
    listener = world.listener(channel, address=address)
    world.sdk(address=address).ask("trigger", [channel], "paid", DATA, None)
    assert listener.wait_for(channel=channel, event="paid")["data"] == DATA
