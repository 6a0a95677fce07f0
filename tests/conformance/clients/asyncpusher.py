"""asyncpusher from PyPI, in an environment of its own."""

from __future__ import annotations

import json

from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS


def _start(runtime: Runtime, start: Start) -> Session:
    address = start.address
    options = {
        "custom_host": address.host,
        "custom_port": address.port,
        "secure": address.tls,
        "auto_sub": True,
    }
    command = [runtime.python("asyncpusher"), DRIVERS / "asyncpusher_driver.py"]
    return Program([*command, start.key, json.dumps(options), start.site.url, start.user], start.environment())


_NONE = "it has no users"

CLIENTS = [
    Client(
        "asyncpusher",
        Kind.CLIENT,
        "Python",
        _start,
        {
            "ping": "it pings with WebSocket frames, which it does not tell of",
            "client_event_user": "its callbacks are given the data only",
            "encrypted": "it does not decrypt",
            "here_joining_leaving": "words of Laravel Echo",
            "to_others": "a word of Laravel Echo",
            **dict.fromkeys(("xhr_streaming", "xhr_polling"), "it has no transport but WebSockets"),
            **dict.fromkeys(("sign_in", "server_to_user", "terminate", "presence_by_sign_in", "watchlist"), _NONE),
        },
        environment="asyncpusher",
        package="asyncpusher",
        official=False,
    )
]
