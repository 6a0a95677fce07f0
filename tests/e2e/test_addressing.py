"""All but the sender, and one client only: what applications do with `pusher.connection.socket_id`."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def pages(library, open_page):
    """Two browsers with the same page, both subscribed."""
    pages = [open_page("messages.html", library=library) for _ in range(2)]
    for page in pages:
        expect(page.locator("#status")).to_have_text("subscribed")
    return pages


def test_sender_does_not_receive_what_the_sdk_publishes_for_it(pages, site, sdk):
    site.publish = sdk.trigger
    sender, other = pages
    with sender.expect_response("**/say"):
        sender.get_by_role("button").click()
    sdk.trigger("my-channel", "my-event", {"message": "to all"})
    expect(other.locator("#messages li")).to_have_text(["hello", "to all"])
    expect(sender.locator("#messages li")).to_have_text(["to all"])


def test_sender_does_not_receive_what_the_application_publishes_for_it(pages, site):
    sender, other = pages
    with sender.expect_response("**/say"):
        sender.get_by_role("button").click()
    site.run(site.hub.trigger, "my-channel", "my-event", {"message": "to all"})
    expect(other.locator("#messages li")).to_have_text(["hello", "to all"])
    expect(sender.locator("#messages li")).to_have_text(["to all"])


def test_channel_named_after_its_socket_id_reaches_one_client(library, open_client, sdk):
    payer, other = open_client(library), open_client(library)
    for client in payer, other:
        client.subscribe(f"pay_channel{client.socket_id}")
    sdk.trigger(f"pay_channel{payer.socket_id}", "pay_notify", {"message": "pay success!"})
    sdk.trigger([f"pay_channel{client.socket_id}" for client in (payer, other)], "done", {})
    for client in payer, other:
        client.wait_for("done")
    assert payer.events() == [("pay_notify", {"message": "pay success!"}), ("done", {})]
    assert other.events() == [("done", {})]


def test_unknown_socket_id_excludes_nobody(library, open_client, some_sdk):
    client = open_client(library)
    client.subscribe("orders")
    some_sdk.trigger("orders", "paid", {"id": 7}, "1.1")
    assert client.wait_for("paid") == {"id": 7}


def test_sender_is_spared_in_a_batch_too(open_client, sdk):
    sender = open_client("8.6.0")
    sender.subscribe("orders")
    for_others = {"channel": "orders", "name": "theirs", "data": {}, "socket_id": sender.socket_id}
    sdk.trigger_batch([for_others, {"channel": "orders", "name": "everybody's", "data": {}}])
    sender.wait_for("everybody's")
    assert sender.events() == [("everybody's", {})]
