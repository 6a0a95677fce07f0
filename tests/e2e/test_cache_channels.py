"""Cache channels as pusher-js shows them: the last event for whoever comes later, or `pusher:cache_miss`."""

import json

import pytest
from playwright.sync_api import expect

KINDS = ["cache-bus", "private-cache-bus", "presence-cache-bus"]
MISS = "pusher:cache_miss"


@pytest.mark.parametrize("channel", KINDS)
def test_who_subscribes_after_the_publish_gets_the_event(channel, library, open_client, some_sdk):
    some_sdk.trigger(channel, "position", {"lat": 0})
    some_sdk.trigger(channel, "position", {"lat": 1})
    client = open_client(library)
    client.subscribe(channel)
    assert client.wait_for("position") == {"lat": 1}
    some_sdk.trigger(channel, "done", {})
    client.wait_for("done")
    assert client.events() == [("position", {"lat": 1}), ("done", {})]
    assert MISS not in [one["event"] for one in client.run("heard")]


@pytest.mark.parametrize("channel", KINDS)
def test_who_comes_first_is_told_of_the_miss_and_gets_what_follows(channel, library, open_client, some_sdk):
    client = open_client(library)
    client.run(
        f"""() => {{
            window.missed = 0;
            pusher.subscribe("{channel}").bind("{MISS}", () => missed++);
        }}"""
    )
    client.wait_until("missed === 1")
    some_sdk.trigger(channel, "position", {"lat": 1})
    other = open_client(library, "bob")
    other.subscribe(channel)
    assert other.wait_for("position") == {"lat": 1}
    assert client.run("missed") == 1


def test_the_member_list_comes_before_the_last_event(library, open_client, some_sdk):
    ada = open_client(library, "ada")
    ada.subscribe("presence-cache-bus")
    some_sdk.trigger("presence-cache-bus", "position", {"lat": 1})
    bob = open_client(library, "bob")
    bob.run(
        """() => {
            const channel = pusher.subscribe("presence-cache-bus");
            channel.bind("position", () => { window.count = channel.members.count });
        }"""
    )
    bob.wait_until("window.count !== undefined")
    assert bob.run("count") == 2


def test_last_event_is_replayed_after_a_reconnect(library, open_client, some_sdk):
    client = open_client(library)
    client.subscribe("cache-bus")
    client.wait_for(MISS)
    some_sdk.trigger("cache-bus", "position", {"lat": 1})
    client.wait_for("position")
    client.run("pusher.disconnect()")
    some_sdk.trigger("cache-bus", "position", {"lat": 2})
    client.run("pusher.connect()")
    client.wait_until("heard.filter((one) => one.event === 'position').length === 2")
    assert client.events() == [("position", {"lat": 1}), ("position", {"lat": 2})]


def test_servers_may_ask_for_the_last_event(sdk):
    assert sdk.channel("cache-bus", ["cache"]) == {"occupied": False, "cache": None}
    sdk.trigger("cache-bus", "position", {"lat": 1})
    told = sdk.channel("cache-bus", ["cache"])
    assert json.loads(told["cache"]["data"]) == {"lat": 1}
    assert 1790 < told["cache"]["ttl"] <= 1800


def test_page_of_the_guide(library, open_page, some_sdk):
    early = open_page("cache.html", library=library)
    expect(early.locator("#position")).to_have_text('"not known"')
    some_sdk.trigger("cache-bus-7", "position", {"lat": 1})
    for page in (early, open_page("cache.html", library=library)):
        expect(page.locator("#position")).to_have_text('{"lat":1}')


def test_encrypted_channels_replay_what_was_encrypted(open_client, make_sdk):
    client = open_client("8.6.0", build="pusher-with-encryption")
    client.subscribe("private-encrypted-cache-bus")
    client.wait_for(MISS)
    make_sdk("npm").trigger("private-encrypted-cache-bus", "position", {"lat": 1})
    client.wait_for("position")
    other = open_client("8.6.0", build="pusher-with-encryption", user="bob")
    other.subscribe("private-encrypted-cache-bus")
    assert other.wait_for("position") == client.wait_for("position") == {"lat": 1}
