"""Connections that end: a server that restarts, a key that nobody knows."""

import json
import re
import sys
import time

import pytest
from pusher import Pusher

from .application import APP, HOST, PUSHER_JS
from .programs import Program

OVER_HTTP = ["xhr_streaming", "xhr_polling"]


@pytest.fixture
def serve():
    """`serve(port)` runs `relay serve`; returns the program and the port it listens on."""
    started = []

    def serve(port=0):
        credentials = ["--app-id", APP.id, "--key", APP.key, "--secret", APP.secret]
        server = Program([sys.executable, "-m", "relay", "serve", "--host", HOST, "--port", str(port), *credentials])
        started.append(server)
        listening = re.search(rf"http://{re.escape(HOST)}:(\d+)", server.line())
        assert listening is not None
        return server, int(listening[1])

    yield serve
    for server in started:
        server.stop()


@pytest.mark.parametrize(
    ("version", "transport"), [*((version, "ws") for version in PUSHER_JS), *(("8.6.0", name) for name in OVER_HTTP)]
)
def test_browser_comes_back_by_itself_after_a_restart(version, transport, open_client, serve):
    server, port = serve()
    client = open_client(version, port=str(port), transport=transport)
    client.subscribe("orders")
    before = client.socket_id
    client.page.clock.install()
    assert server.terminate() == 0
    client.wait_until("pusher.connection.state !== 'connected'")
    serve(port)
    client.page.clock.fast_forward(15_000)  # how long pusher-js rests after it was not let in
    client.wait_until("heard.filter((one) => one.event === 'pusher:subscription_succeeded').length === 2")
    Pusher(APP.id, APP.key, APP.secret, ssl=False, host=HOST, port=port).trigger("orders", "paid", {"id": 7})
    assert client.wait_for("paid") == {"id": 7}
    assert client.socket_id != before
    assert client.run("pusher.connection.connection.transport.name") == transport
    client.page.close()  # nobody else should get the page with this clock


@pytest.mark.parametrize("transport", OVER_HTTP)
def test_node_client_over_http_comes_back_by_itself_after_a_restart(transport, run_node, serve):
    server, port = serve()
    options = {"cluster": "none", "httpHost": HOST, "httpPort": port, "forceTLS": False}
    client = run_node("client.mjs", APP.key, json.dumps({**options, "enabledTransports": [transport]}), "orders")
    client.wait_for(event="pusher:subscription_succeeded", channel="orders")
    assert server.terminate() == 0
    client.wait_for(state="connecting")
    serve(port)
    client.wait_for(event="pusher:subscription_succeeded", channel="orders")
    Pusher(APP.id, APP.key, APP.secret, ssl=False, host=HOST, port=port).trigger("orders", "paid", {"id": 7})
    assert client.wait_for(event="paid")["data"] == {"id": 7}


def test_stopping_server_tells_clients_to_reconnect(open_client, serve):
    server, port = serve()
    client = open_client("8.6.0", port=str(port))
    assert server.terminate() == 0
    client.wait_until("errors.length > 0")
    assert client.run("errors[0].code") == 4200


def test_stopping_server_does_not_keep_browsers_waiting(open_client, serve):
    server, port = serve()
    client = open_client("8.6.0", port=str(port))
    asked = time.monotonic()
    assert server.terminate() == 0
    client.wait_until("errors.length > 0")
    assert time.monotonic() - asked < 2  # as long as Chromium waits for a server that does not hang up


def test_unknown_key_ends_the_attempts_with_4001(library, open_page):
    page = open_page("client.html", library=library, key="nobodys-key")
    page.wait_for_function("pusher.connection.state === 'disconnected'")
    assert page.evaluate("errors[0].code") == 4001
