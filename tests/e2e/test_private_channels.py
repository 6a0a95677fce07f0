"""Public channels need nobody's leave; private ones need the application's, given at an endpoint of its own."""

import pytest
from playwright.sync_api import Error, expect

ENDPOINTS = ["/pusher/auth", "/auth/hub", "/auth/pypi"]


def test_public_channel_needs_no_authentication(library, open_client, some_sdk):
    client = open_client(library)
    asked = []
    client.page.on("request", lambda request: asked.append(request.url))
    client.subscribe("orders")
    some_sdk.trigger("orders", "paid", {"id": 7})
    assert client.wait_for("paid") == {"id": 7}
    assert asked == []


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_private_channel_is_joined_with_the_endpoints_signature(endpoint, library, open_client, some_sdk):
    client = open_client(library, auth=endpoint)
    with client.page.expect_response("**" + endpoint) as answer:
        client.subscribe("private-team")
    some_sdk.trigger("private-team", "paid", {"id": 7})
    assert client.wait_for("paid") == {"id": 7}
    assert answer.value.json()["auth"].startswith("app-key:")


def test_whom_the_endpoint_refuses_stays_outside(library, open_client, some_sdk):
    client = open_client(library, user="bob")
    with pytest.raises(Error, match="refused 403"):
        client.subscribe("private-user-ada")
    client.subscribe("orders")
    some_sdk.trigger(["private-user-ada", "orders"], "paid", {"id": 7})
    client.wait_for("paid")
    assert [one["channel"] for one in client.run("heard") if one["event"] == "paid"] == ["orders"]


def test_signature_for_another_channel_lets_nobody_in(library, open_client, site):
    client = open_client(library, auth="/auth/careless")
    client.run("name => { pusher.subscribe(name) }", "private-team")
    client.wait_until("errors.length > 0")
    assert "Invalid signature" in client.run("errors[0].message")
    assert site.run(site.hub.channels) == {}


def test_private_channel_of_the_user_the_page_was_rendered_for(library, open_page, sdk):
    ada, bob = (open_page("messages.html", library=library, user=user) for user in ("ada", "bob"))
    for page in ada, bob:
        expect(page.locator("#status")).to_have_text("subscribed")
    sdk.trigger("private-user-ada", "my-event", {"message": "for Ada"})
    sdk.trigger(["private-user-ada", "private-user-bob"], "my-event", {"message": "for both"})
    expect(ada.locator("#messages li")).to_have_text(["for Ada", "for both"])
    expect(bob.locator("#messages li")).to_have_text(["for both"])
