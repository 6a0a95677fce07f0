"""Relay's own client for Python."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS


def _start(runtime: Runtime, start: Start) -> Session:
    address = start.address
    scheme = "wss" if address.tls else "ws"
    options = {
        "url": f"{scheme}://{address.host}:{address.port}{address.prefix}/app/{start.key}",
        "auth_endpoint": f"{start.site.url}/pusher/auth",
        "user_auth_endpoint": f"{start.site.url}/pusher/user-auth",
        "auth_headers": {"X-User": start.user},
        "authority": address.authority and str(address.authority),
    }
    command: list[str | Path] = [runtime.python(""), DRIVERS / "relay_driver.py", json.dumps(options)]
    return Program(command, start.environment())


CLIENT = Client(
    "Relay's client",
    Kind.CLIENT,
    "Python",
    _start,
    {
        "ping": "it pings with WebSocket frames, which it does not tell of",
        "here_joining_leaving": "words of Laravel Echo",
        "to_others": "a word of Laravel Echo",
        **dict.fromkeys(("xhr_streaming", "xhr_polling"), "it has no transport but WebSockets"),
    },
    official=False,
)

CLIENTS = [CLIENT]
