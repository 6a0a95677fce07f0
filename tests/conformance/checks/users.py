"""Users: sign-in, events to a user, being sent away, watchlists (protocol 4)."""

from __future__ import annotations

from tests.conformance.features import Kind, feature
from tests.conformance.programs import Session
from tests.conformance.running import World


def signed_in(world: World, user: str) -> Session:
    """A client that is signed in and subscribed to its own events."""
    client = world.connect(user=user)
    client.do("signin")
    assert client.wait_for(told="signed in")["user"]["id"] == user
    client.wait_for(told="user event", event="pusher:subscription_succeeded")
    return client


@feature(Kind.CLIENT, "signs in", "4.1", needs="user authentication")
def sign_in(world: World) -> None:
    signed_in(world, world.user())


@feature(Kind.CLIENT, "gets events that are sent to its user", "4.2", needs="user authentication")
def server_to_user(world: World) -> None:
    user = world.user()
    tabs = [signed_in(world, user), signed_in(world, user)]
    other = signed_in(world, world.user())
    world.publish(f"#server-to-user-{user}", "notice", {"text": "hi"})
    for tab in tabs:
        assert tab.wait_for(told="user event", event="notice")["data"] == {"text": "hi"}
    assert other.events("notice") == []


@feature(Kind.CLIENT, "is sent away with its user", "4.3", needs="user authentication")
def terminate(world: World) -> None:
    user = world.user()
    client = signed_in(world, user)
    world.rest().call("POST", f"/users/{user}/terminate_connections", {})
    client.wait_for(told="state", state="disconnected")


@feature(Kind.CLIENT, "joins presence channels as the user it is signed in as", "2.3", needs="user authentication")
def presence_by_sign_in(world: World) -> None:
    user, channel = world.user(), world.channel("presence-unnamed-")
    client = signed_in(world, user)
    client.do("subscribe", channel)
    client.wait_for(channel=channel, event="pusher:subscription_succeeded")
    world.members(client, channel, {user: {"name": user.title()}})


@feature(Kind.CLIENT, "is told when those it watches come and go", "4.5", needs="watchlists")
def watchlist(world: World) -> None:
    watcher, watched = world.user(), world.user()
    world.site.watchlists[watcher] = [watched]
    client = signed_in(world, watcher)
    friend = signed_in(world, watched)
    client.wait_for(told="online", user_ids=[watched])
    friend.stop()
    # The first word may be that the watched is not there yet; the one that counts comes after it was.
    online = client.heard.index({"told": "online", "user_ids": [watched]})
    while client.wait_for(told="offline", user_ids=[watched]) not in client.heard[online:]:
        pass
