"""Signed-in users: events for a user wherever it is, and closing all of its connections."""

import pytest
from playwright.sync_api import expect

SIGNED_IN = "pusher.user.user_data !== null && pusher.user.serverToUserChannel.subscribed"


@pytest.fixture
def sign_in(open_client):
    """A browser with pusher-js 8.6.0 (3.0.0 has no sign-in) signed in as `user`."""

    def sign_in(user, **query):
        client = open_client("8.6.0", user, **query)
        client.run("pusher.signin()")
        client.wait_until(SIGNED_IN)
        client.run("pusher.user.bind_global((event, data) => heard.push({ event, data }))")
        return client

    return sign_in


def test_sign_in_tells_who_one_is(sign_in):
    assert sign_in("ada").run("pusher.user.user_data") == {"id": "ada", "user_info": {"name": "Ada"}}


def test_event_for_a_user_reaches_all_its_browsers_and_nobody_else(sign_in, sdk):
    ada, ada_again, bob = sign_in("ada"), sign_in("ada"), sign_in("bob")
    sdk.send_to_user("ada", "notice", {"text": "for Ada"})
    sdk.send_to_user("bob", "notice", {"text": "for Bob"})
    for client in ada, ada_again:
        assert client.wait_for("notice") == {"text": "for Ada"}
    bob.wait_for("notice")
    assert bob.events() == [("notice", {"text": "for Bob"})]


def test_terminating_a_user_closes_its_signed_in_browsers_with_4009(sign_in, open_client, sdk):
    ada, bob, guest = sign_in("ada"), sign_in("bob"), open_client("8.6.0", "ada")
    assert sdk.terminate_user_connections("ada") == {}
    ada.wait_until("pusher.connection.state === 'disconnected'")
    assert {error["code"] for error in ada.run("errors")} == {4009}
    for client in bob, guest:
        client.subscribe("done")
        assert client.run("errors") == []


def test_signed_in_user_joins_presence_as_itself(sign_in):
    ada = sign_in("ada", auth="/auth/unnamed")
    with ada.page.expect_response("**/auth/unnamed") as answer:
        ada.subscribe("presence-room")
    assert "channel_data" not in answer.value.json()
    assert ada.run("pusher.channel('presence-room').members.me") == {"id": "ada", "info": {"name": "Ada"}}


def watch(client):
    """Note what a browser's watchlist says from now on."""
    client.run(
        """() => {
            window.watched = [];
            for (const name of ["online", "offline"])
                pusher.user.watchlist.bind(name, ({ user_ids }) => watched.push([name, user_ids]));
        }"""
    )


def test_a_browser_is_told_when_those_on_its_watchlist_come_and_go(site, open_client, sign_in):
    site.watchlists["bob"] = ["ada", "eve"]
    eve = sign_in("eve")
    bob = open_client("8.6.0", "bob")
    watch(bob)
    bob.run("pusher.signin()")
    bob.wait_until("watched.length === 2")
    ada, tab = sign_in("ada"), sign_in("ada")
    bob.wait_until("watched.length === 3")
    tab.run("pusher.disconnect()")
    eve.run("pusher.disconnect()")
    bob.wait_until("watched.length === 4")
    ada.run("pusher.disconnect()")
    bob.wait_until("watched.length === 5")
    assert bob.run("watched") == [
        ["online", ["eve"]],
        ["offline", ["ada"]],
        ["online", ["ada"]],
        ["offline", ["eve"]],
        ["offline", ["ada"]],
    ]


def test_a_browser_with_too_long_a_watchlist_is_signed_in_and_told_4302(site, open_client):
    site.watchlists["bob"] = [f"u{number}" for number in range(101)]
    bob = open_client("8.6.0", "bob")
    watch(bob)
    bob.run("pusher.signin()")
    bob.wait_until(SIGNED_IN)
    bob.wait_until("watched.length === 1")
    assert bob.run("watched") == [["offline", [f"u{number}" for number in range(100)]]]
    assert [error["code"] for error in bob.run("errors")] == [4302]
    assert bob.run("pusher.connection.state") == "connected"


def test_pusher_js_in_node_is_told_when_those_on_its_watchlist_come_and_go(site, subscribe, sdk):
    site.watchlists["bob"] = ["ada"]
    bob = subscribe(user="bob", sign_in=True)
    assert bob.wait_for(watchlist="offline")["user_ids"] == ["ada"]
    ada = subscribe(user="ada", sign_in=True)
    assert bob.wait_for(watchlist="online")["user_ids"] == ["ada"]
    sdk.terminate_user_connections("ada")
    ada.wait_for(state="disconnected")
    assert bob.wait_for(watchlist="offline")["user_ids"] == ["ada"]


def test_page_of_the_guide(site, open_page, sign_in, make_sdk):
    site.watchlists["bob"] = ["ada"]
    page = open_page("users.html", library="8.6.0", user="bob")
    expect(page.locator("#friends")).to_have_text('{"ada":"away"}')
    ada = sign_in("ada")
    expect(page.locator("#friends")).to_have_text('{"ada":"here"}')
    page.wait_for_function("pusher.user.serverToUserChannel.subscribed")
    make_sdk("npm").send_to_user("bob", "notice", {"text": "hi"})
    expect(page.locator("#notice")).to_have_text("hi")
    ada.run("pusher.disconnect()")
    expect(page.locator("#friends")).to_have_text('{"ada":"away"}')
