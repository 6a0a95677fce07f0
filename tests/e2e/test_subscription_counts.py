"""Subscription counts as pusher-js shows them (7.2 and later), in Chromium and in Node."""

import msgspec
import pytest
from playwright.sync_api import expect

from .application import WATCHING

COUNT = "pusher:subscription_count"


@pytest.fixture
def served_app():
    return msgspec.structs.replace(WATCHING, subscription_counts=True)


def count(client, channel):
    """Note what a browser is told of `channel` from now on."""
    client.run(
        f"""() => {{
            window.counts = [];
            const channel = pusher.subscribe("{channel}");
            channel.bind("{COUNT}", (data) => counts.push(data.subscription_count));
        }}"""
    )


@pytest.mark.parametrize("channel", ["orders", "private-orders", "cache-orders"])
def test_browsers_are_told_of_each_who_comes_and_goes(channel, open_client):
    ada, bob = open_client("8.6.0", "ada"), open_client("8.6.0", "bob")
    count(ada, channel)
    ada.wait_until("counts.length === 1")
    count(bob, channel)
    ada.wait_until("counts.length === 2")
    bob.run(f"pusher.unsubscribe('{channel}')")
    ada.wait_until("counts.length === 3")
    assert ada.run("counts") == [1, 2, 1]
    assert bob.run("counts") == [2]
    assert ada.run(f"pusher.channel('{channel}').subscriptionCount") == 1


def test_a_reload_is_counted_anew(open_client):
    client = open_client("8.6.0")
    count(client, "orders")
    client.wait_until("counts.length === 1")
    client.run("pusher.disconnect()")
    client.run("pusher.connect()")
    client.wait_until("counts.length === 2")
    assert client.run("counts") == [1, 1]


def test_presence_and_encrypted_channels_have_no_count(open_client, make_sdk):
    client = open_client("8.6.0", build="pusher-with-encryption")
    for channel in ("presence-room", "private-encrypted-a"):
        client.subscribe(channel)
    count(client, "orders")
    client.wait_until("counts.length === 1")
    assert COUNT not in [one["event"] for one in client.run("heard")]
    assert client.run("errors") == []


def test_old_clients_take_no_notice(open_client, some_sdk, library):
    client = open_client(library)
    client.subscribe("orders")
    some_sdk.trigger("orders", "paid", {"id": 7})
    assert client.wait_for("paid") == {"id": 7}
    assert client.run("errors") == []


def test_node_clients_are_told(subscribe):
    ada = subscribe("orders")
    assert ada.wait_for(event=COUNT)["data"] == {"subscription_count": 1}
    bob = subscribe("orders", user="bob")
    assert bob.wait_for(event=COUNT)["data"] == {"subscription_count": 2}
    assert ada.wait_for(event=COUNT)["data"] == {"subscription_count": 2}


def test_page_of_the_guide(open_page):
    first = open_page("counts.html", library="8.6.0")
    expect(first.locator("#viewers")).to_have_text("1")
    second = open_page("counts.html", library="8.6.0")
    for page in (first, second):
        expect(page.locator("#viewers")).to_have_text("2")
