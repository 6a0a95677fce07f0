"""Pysher from PyPI, in an environment of its own. It signs for itself, with the App's secret."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS


def _start(runtime: Runtime, start: Start) -> Session:
    options = {
        "custom_host": start.address.host,
        "port": start.address.port,
        "secure": start.address.tls,
        "secret": start.site.app.secret,
        "reconnect_interval": 0.2,
        "auto_sub": True,
    }
    command: list[str | Path] = [
        runtime.python("pysher"),
        DRIVERS / "pysher_driver.py",
        start.key,
        json.dumps(options),
        start.user,
    ]
    return Program(command, start.environment())


_NONE = "it has no users"

CLIENTS = [
    Client(
        "Pysher",
        Kind.CLIENT,
        "Python",
        _start,
        {
            "wrong_signature": "it signs for itself, correctly",
            "client_event_user": "its callbacks are given the data only",
            "encrypted": "it does not decrypt",
            "reconnect": "it stays away after a clean close: it comes back only after an error of the socket",
            "here_joining_leaving": "words of Laravel Echo",
            "to_others": "a word of Laravel Echo",
            **dict.fromkeys(("xhr_streaming", "xhr_polling"), "it has no transport but WebSockets"),
            **dict.fromkeys(("sign_in", "server_to_user", "terminate", "presence_by_sign_in", "watchlist"), _NONE),
        },
        environment="pysher",
        package="pysher",
        official=False,
    )
]
