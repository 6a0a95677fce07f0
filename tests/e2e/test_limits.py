"""What `relay serve` lets clients do, and what pusher-js 8.6 makes of it when one goes too far: Chromium and Node."""

import json
import re
import sys

import pytest

from .application import APP, HOST
from .programs import Program

LIBRARY = "8.6.0"
TRANSPORTS = ["ws", "xhr_streaming", "xhr_polling"]


@pytest.fixture
def serve():
    """`serve("--max-members", "1")` runs `relay serve` with these flags; returns the port it listens on."""
    started = []

    def serve(*flags):
        credentials = ["--app-id", APP.id, "--key", APP.key, "--secret", APP.secret]
        listen = ["--host", HOST, "--port", "0"]
        server = Program([sys.executable, "-m", "relay", "serve", *listen, *credentials, *flags])
        started.append(server)
        listening = re.search(rf"http://{re.escape(HOST)}:(\d+)", server.line())
        assert listening is not None
        return int(listening[1])

    yield serve
    for server in started:
        server.stop()


@pytest.fixture
def node_client(site, run_node):
    """`node_client(port, "ws", channel, ...)`: pusher-js in Node, not waited for."""

    def node_client(port, transport, *channels, auth="/pusher/auth"):
        options = {
            "cluster": "none",
            "wsHost": HOST,
            "wsPort": port,
            "httpHost": HOST,
            "httpPort": port,
            "forceTLS": False,
            "enabledTransports": [transport],
            "channelAuthorization": {"endpoint": site.url(auth), "headers": {"X-User": "ada"}},
        }
        return run_node("client.mjs", APP.key, json.dumps(options), *channels)

    return node_client


@pytest.fixture
def turned_away(open_page):
    """`turned_away(port, "ws")`: the code with which a page is closed, after which it stays away."""

    def turned_away(port, transport):
        page = open_page("client.html", library=LIBRARY, port=str(port), transport=transport)
        page.wait_for_function("pusher.connection.state === 'disconnected'")
        (code,) = page.evaluate("errors.map((error) => error.code).filter((code, at, all) => all.indexOf(code) === at)")
        return code

    return turned_away


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_page_that_proves_nothing_in_time_is_closed_with_4009_and_one_in_a_private_channel_stays(
    transport, serve, open_client, turned_away
):
    port = serve("--authorized-within", "2")
    ada = open_client(LIBRARY, port=str(port), transport=transport)
    ada.subscribe("private-team")
    assert turned_away(port, transport) == 4009  # it came later than Ada, whose time is over too
    assert ada.run("[pusher.connection.state, errors]") == ["connected", []]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_node_client_that_proves_nothing_in_time_stays_away(transport, serve, node_client):
    client = node_client(serve("--authorized-within", "1"), transport, "orders")
    client.wait_for(event="pusher:subscription_succeeded")
    assert client.wait_for(state="disconnected")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_page_of_another_origin_is_closed_with_4009(transport, serve, turned_away):
    assert turned_away(serve("--allowed-origin", "https://example.com"), transport) == 4009


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_page_of_an_allowed_origin_gets_in(transport, serve, site, open_client):
    port = serve("--allowed-origin", "https://example.com", "--allowed-origin", site.url())
    open_client(LIBRARY, port=str(port), transport=transport).subscribe("orders")


def test_node_client_has_no_origin_and_gets_in(serve, node_client):
    client = node_client(serve("--allowed-origin", "https://example.com"), "ws", "orders")
    assert client.wait_for(event="pusher:subscription_succeeded")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("flag", ["--max-connections", "--max-connections-per-address"])
def test_page_that_is_one_too_many_is_closed_with_4004(flag, transport, serve, open_client, turned_away):
    port = serve(flag, "1")
    first = open_client(LIBRARY, port=str(port))
    assert turned_away(port, transport) == 4004
    assert first.run("[pusher.connection.state, errors]") == ["connected", []]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_node_client_that_is_one_too_many_stays_away(transport, serve, node_client):
    port = serve("--max-connections", "1")
    first = node_client(port, "ws")
    assert first.wait_for(state="connected")
    assert node_client(port, transport).wait_for(state="disconnected")


def test_member_too_many_is_refused_and_stays_connected(serve, open_client):
    port = serve("--max-members", "1")
    ada, bob = (open_client(LIBRARY, user, port=str(port)) for user in ("ada", "bob"))
    ada.subscribe("presence-room")
    bob.run("() => { subscribe('presence-room') }")
    bob.wait_until("errors.length > 0")
    refusal = {"code": None, "message": "Over member limit: presence-room has 1 users, allowed are 1"}
    assert bob.run("[pusher.connection.state, errors]") == ["connected", [refusal]]
    assert ada.run("pusher.channel('presence-room').members.count") == 1


@pytest.mark.parametrize("debug", [True, False], ids=["debug", "production"])
def test_refusal_is_explained_in_debug_mode_only(debug, serve, open_client, node_client):
    port = serve(*["--debug"] * debug)
    client = open_client(LIBRARY, port=str(port), auth="/auth/careless")
    client.run("() => { subscribe('private-team') }")
    client.wait_until("errors.length > 0")
    in_node = node_client(port, "ws", "private-team", auth="/auth/careless")
    while "error" not in (told := in_node.next()):
        pass
    for message in client.run("errors[0].message"), told["error"]["data"]["message"]:
        assert message.startswith("Invalid signature: ")
        assert ("Most likely cause: " in message) is debug
        assert APP.secret not in message
