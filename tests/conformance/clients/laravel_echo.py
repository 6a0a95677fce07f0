"""Laravel Echo 2 on pusher-js 8.6, in Node, with axios for the application's own requests."""

from __future__ import annotations

import json

from tests.conformance.clients import pusher_js
from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS


def _start(runtime: Runtime, start: Start) -> Session:
    options = json.dumps(pusher_js.options(start))
    arguments = [str(runtime.node_modules), "pusher-js-8", start.key, options, start.site.url]
    return Program(["node", DRIVERS / "echo.cjs", *arguments], start.environment())


_NOT_ITS_OWN = "Echo has no word for it; its pusher-js does it"

CLIENTS = [
    Client(
        "Laravel Echo 2",
        Kind.CLIENT,
        "Node",
        _start,
        {
            "presence": "its words are here, joining and leaving, a check of their own",
            "client_event_user": "listenForWhisper is given the data only",
            "cache": "Echo has words only for public, private, presence and encrypted channels",
            **dict.fromkeys(
                ("ping", "sign_in", "server_to_user", "terminate", "presence_by_sign_in", "watchlist"), _NOT_ITS_OWN
            ),
        },
        package="laravel-echo",
    )
]
