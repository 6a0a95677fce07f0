"""Signed-in users: events for a user wherever it is, and closing all of its connections."""

import pytest

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
