"""The stock pusher-js through nginx, set up as docs/how-to/nginx.md says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration import nginx

from .application import APP, HOST
from .programs import Program

HUB = ["--app-id", APP.id, "--key", APP.key, "--secret", APP.secret, "--prefix", "/realtime"]


@pytest.fixture
def behind(require, issuer):
    """Nginx before a `relay serve` that trusts it and lets TLS in only."""
    program = require("nginx", "apt-get install nginx")
    with TemporaryDirectory() as folder:
        where = f"{folder}/relay.sock"
        command = [
            sys.executable,
            "-m",
            "relay",
            "serve",
            *HUB,
            "--unix",
            where,
            "--tls-only",
            "--forwarded-from",
            "unix",
        ]
        hub = Program(command)
        try:
            assert hub.line().startswith("Relay listens on unix:")
            with nginx.running(program, Path(folder), issuer.issue_cert(HOST), f"unix:{where}", "180s") as ports:
                yield ports
        finally:
            hub.stop()


@pytest.mark.parametrize("tls", [True, False])
def test_pusher_js_gets_in_with_tls_or_comes_back_with_it(behind, run_node, tls):
    options = {
        "cluster": "none",
        "wsHost": HOST,
        "wsPort": behind.port,
        "wssPort": behind.tls_port,
        "wsPath": "/realtime",
        "forceTLS": tls,
        "enabledTransports": ["ws", "wss"],
    }
    client = run_node("client.mjs", APP.key, json.dumps(options), "orders")
    client.wait_for(event="pusher:subscription_succeeded", channel="orders")


@pytest.mark.parametrize("transport", ["xhr_streaming", "xhr_polling"])
def test_pusher_js_gets_in_over_http_through_the_same_lines(behind, run_node, transport):
    options = {
        "cluster": "none",
        "httpHost": HOST,
        "httpPort": behind.port,
        "httpsPort": behind.tls_port,
        "httpPath": "/realtime/pusher",
        "forceTLS": True,
        "enabledTransports": [transport],
    }
    client = run_node("client.mjs", APP.key, json.dumps(options), "orders")
    client.wait_for(event="pusher:subscription_succeeded", channel="orders")
