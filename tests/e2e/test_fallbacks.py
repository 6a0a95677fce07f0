"""The stock pusher-js over HTTP, where it cannot use WebSockets: in Chromium and in Node."""

import pytest

LIBRARY = "8.6.0"
LARGE = '\u00fc\u2028\U0001f600"\\' * 350
"""As much as an event may be; with characters that JSON, JavaScript or HTTP could stumble over."""


@pytest.fixture(params=["xhr_streaming", "xhr_polling"])
def transport(request) -> str:
    """What pusher-js may use."""
    return str(request.param)


@pytest.fixture
def open_http_client(open_client, transport):
    """A connected page that asked for nothing but ``transport``, and opened no WebSocket."""

    def open_http_client(user="ada", **query):
        client = open_client(LIBRARY, user, transport=transport, **query)
        assert client.run("pusher.connection.connection.transport.name") == transport
        return client

    return open_http_client


def test_page_hears_what_the_server_publishes_in_order(open_http_client, sdk):
    client = open_http_client()
    client.subscribe("orders")
    for number in range(20):
        sdk.trigger("orders", "paid", {"id": number})
    sdk.trigger("orders", "done", LARGE)
    assert client.wait_for("done") == LARGE
    assert [data["id"] for event, data in client.events() if event == "paid"] == list(range(20))


def test_page_in_a_private_channel_sends_client_events_to_the_others(open_http_client, open_client):
    ada, bob, eve = open_http_client("ada"), open_http_client("bob"), open_client(LIBRARY, "eve")
    for client in ada, bob, eve:
        client.subscribe("private-team")
    ada.run("text => { pusher.channel('private-team').trigger('client-typing', {text}) }", LARGE[:1000])
    for client in bob, eve:
        assert client.wait_for("client-typing") == {"text": LARGE[:1000]}
    eve.run("() => { pusher.channel('private-team').trigger('client-done', {}) }")
    ada.wait_for("client-done")
    assert ada.events() == [("client-done", {})]


def test_members_over_http_see_each_other_come_and_go(open_http_client, open_client):
    ada, bob, eve = open_http_client("ada"), open_http_client("bob"), open_client(LIBRARY, "eve")
    for client in ada, bob, eve:
        client.subscribe("presence-room")
    assert eve.run("pusher.channel('presence-room').members.count") == 3
    eve.run("pusher.disconnect()")
    assert ada.wait_for("pusher:member_removed") == {"id": "eve", "info": {"name": "Eve"}}
    bob.run("pusher.unsubscribe('presence-room')")
    ada.wait_until("pusher.channel('presence-room').members.count === 1")


def test_signed_in_page_gets_what_is_for_its_user(open_http_client, sdk):
    client = open_http_client("ada")
    client.run("() => { pusher.user.bind('notice', (data) => heard.push({event: 'notice', data})); pusher.signin() }")
    client.wait_until("pusher.user.user_data !== null")
    sdk.send_to_user("ada", "notice", {"text": "for Ada"})
    assert client.wait_for("notice") == {"text": "for Ada"}


def test_stream_that_has_carried_much_goes_on_in_another_response(open_client, site):
    client = open_client(LIBRARY, "ada", transport="xhr_streaming")
    asked = []
    client.page.on("request", lambda request: asked.append(request.url) if "xhr_streaming" in request.url else None)
    client.subscribe("orders")

    async def publish():
        for number in range(100):
            await site.hub.trigger("orders", "paid", {"id": number, "text": "x" * 8000})

    site.run(publish)
    client.wait_until("heard.filter((one) => one.event === 'paid').length === 100")
    assert [data["id"] for _, data in client.events()] == list(range(100))
    assert len(asked) >= 2
    assert client.run("pusher.connection.state") == "connected"


def test_closed_page_leaves_its_channels(open_http_client, open_client):
    ada, eve = open_http_client("ada"), open_client(LIBRARY, "eve")
    for client in eve, ada:
        client.subscribe("presence-room")
    ada.page.close()
    assert eve.wait_for("pusher:member_removed")["id"] == "ada"


def test_page_with_an_unknown_key_is_told_so(open_page, transport):
    page = open_page("client.html", library=LIBRARY, key="nobody", transport=transport)
    page.wait_for_function("errors.length > 0")
    assert page.evaluate("errors[0].code") == 4001
    page.wait_for_function("pusher.connection.state === 'disconnected'")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_node_client_subscribes_and_receives(transport, tls, subscribe, sdk):
    client = subscribe("orders", "presence-room", transport=transport, tls=tls)
    sdk.trigger("orders", "paid", {"id": 7, "text": LARGE[:1000]})
    assert client.wait_for(event="paid")["data"] == {"id": 7, "text": LARGE[:1000]}
    sdk.trigger("presence-room", "paid", {"id": 8})
    assert client.wait_for(event="paid")["data"] == {"id": 8}
