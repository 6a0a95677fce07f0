"""The stock pusher-js as it is by default, behind a proxy that lets no WebSocket through: it gets in over HTTP."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration import nginx

from .application import HOST

LOCATION = "location /realtime/ {"
UPGRADE = "proxy_set_header Upgrade    $http_upgrade;"
CONNECTION = "proxy_set_header Connection $connection_upgrade;"


def refusing(status: int):
    """Answer every attempt to upgrade with ``status``."""
    return lambda text: replaced(text, LOCATION, f"location / {{\nif ($http_upgrade) {{ return {status}; }}")


def stripping(text: str) -> str:
    """Pass requests on, without the headers that ask for an upgrade."""
    text = replaced(text, LOCATION, "location / {")
    return replaced(replaced(text, UPGRADE, ""), CONNECTION, 'proxy_set_header Connection "";')


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.fixture(params=[refusing(403), refusing(400), stripping], ids=["403", "400", "headers stripped"])
def blocked(request, require, issuer, site):
    """Nginx before the site, with a mind of its own about WebSockets."""
    program = require("nginx", "apt-get install nginx")
    with TemporaryDirectory() as folder:
        pair, relay = issuer.issue_cert(HOST), f"{HOST}:{site.port}"
        with nginx.running(program, Path(folder), pair, relay, "60s", changed=request.param) as ports:
            yield {"port": str(ports.port), "tls_port": str(ports.tls_port), "transport": "default"}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_pusher_js_falls_back_by_itself_and_misses_nothing(blocked, tls, open_client, site):
    ada = open_client("8.6.0", "ada", tls=tls, **blocked)
    assert ada.run("pusher.config.enabledTransports === undefined")
    assert ada.run("pusher.connection.connection.transport.name") == "xhr_streaming"
    ada.subscribe("presence-room")
    eve = open_client("8.6.0", "eve")
    eve.subscribe("presence-room")
    assert ada.wait_for("pusher:member_added") == {"id": "eve", "info": {"name": "Eve"}}
    assert eve.run("Object.keys(pusher.channel('presence-room').members.members)") == ["ada", "eve"]
    site.run(site.hub.trigger, "presence-room", "paid", {"id": 7})
    for client in ada, eve:
        assert client.wait_for("paid") == {"id": 7}
    ada.run("() => { pusher.channel('presence-room').trigger('client-typing', {text: 'hello'}) }")
    assert eve.wait_for("client-typing") == {"text": "hello"}
