"""A page that loads pusher-js, turns its logging on, subscribes, binds, and shows what the server triggers."""

import pytest
from playwright.sync_api import expect


@pytest.mark.parametrize(("library", "logging"), [("8.6.0", "logToConsole"), ("8.6.0", "log"), ("3.0.0", "log")])
def test_page_shows_and_logs_what_the_server_triggers(library, logging, open_page, sdk):
    page = open_page("messages.html", library=library, logging=logging)
    expect(page.locator("#status")).to_have_text("subscribed")
    with page.expect_console_message(lambda line: "hello world" in line.text) as log:
        sdk.trigger("my-channel", "my-event", {"message": "hello world"})
    assert log.value.text.startswith("Pusher : ")
    expect(page.locator("#messages li")).to_have_text("hello world")


def test_page_over_tls_shows_what_the_server_triggers(library, open_page, make_sdk):
    page = open_page("messages.html", library=library, tls=True)
    expect(page.locator("#status")).to_have_text("subscribed")
    make_sdk("pypi", tls=True).trigger("my-channel", "my-event", {"message": "hello world"})
    expect(page.locator("#messages li")).to_have_text("hello world")


def test_page_receives_no_more_after_unsubscribe(library, open_client, some_sdk):
    client = open_client(library)
    for channel in "orders", "news":
        client.subscribe(channel)
    client.run("pusher.unsubscribe('orders')")
    client.subscribe("done")  # answered after the unsubscribe was
    some_sdk.trigger(["orders", "news"], "paid", {})
    client.wait_for("paid")
    assert [one["channel"] for one in client.run("heard") if one["event"] == "paid"] == ["news"]
