"""pusher-js: the newest release of six lines, in Node, and in Chromium where that is where they belong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS, fragment

_BEFORE_7_1 = "sign-in came with 7.1"
_USERS = dict.fromkeys(("sign_in", "server_to_user", "terminate", "presence_by_sign_in", "watchlist"), _BEFORE_7_1)
_ECHO = {
    "here_joining_leaving": "words of Laravel Echo",
    "to_others": "a word of Laravel Echo",
}
_NODE = {"ping": "in Node it pings with WebSocket frames, which it does not tell of"}
_COUNTS = {"subscription_count": "came with 7.2"}
_SENDER = {"client_event_user": "came with 4.4"}
_FALLBACKS_3 = dict.fromkeys(
    ("xhr_streaming", "xhr_polling"), "before 3.1 the script of the fallbacks is fetched from Pusher's own hosts"
)
_BLIND = {"encrypted": "came with 4.3"}
_NOT_IN_NODE = {"encrypted": "in Node it works since 5.0, as its change log says"}


def options(start: Start) -> dict[str, Any]:
    """Options that every version understands, or does not see."""
    address, endpoint = start.address, {"headers": {"X-User": start.user}}
    return {
        "cluster": "none",  # wanted by pusher-js 8; wsHost is what counts
        "wsHost": address.host,
        "wsPort": address.port,
        "wssPort": address.port,
        "wsPath": address.prefix,
        "httpHost": address.host,
        "httpPort": address.port,
        "httpsPort": address.port,
        "httpPath": f"{address.prefix}/pusher",
        "forceTLS": address.tls,
        "encrypted": address.tls,  # what forceTLS was called in 3.0
        "enabledTransports": [start.transport],
        "disableStats": True,
        "activityTimeout": 500 if start.impatient else 120_000,
        "authEndpoint": f"{start.site.url}/pusher/auth",
        "auth": endpoint,
        "userAuthentication": {"endpoint": f"{start.site.url}/pusher/user-auth", **endpoint},
    }


def in_node(package: str, runtime: Runtime, start: Start) -> Session:
    """A client in Node."""
    arguments = [str(runtime.node_modules), package, start.key, json.dumps(options(start))]
    return Program(["node", DRIVERS / "subscriber.cjs", *arguments], start.environment())


def in_page(package: str, file: str, runtime: Runtime, start: Start) -> Session:
    """A client in a page of the site."""
    script = f"{package}.js"
    start.site.scripts[script] = runtime.node_modules / "node_modules" / package / file
    told = {"script": f"/scripts/{script}", "key": start.key, "options": options(start)}
    assert runtime.pages is not None
    return runtime.pages.open(f"{start.site.url}/drivers/subscriber.html{fragment(told)}")


def _node(line: str, **lacks: Mapping[str, str]) -> Client:
    package = f"pusher-js-{line.partition('.')[0]}"
    missing = {name: why for group in (_ECHO, _NODE, *lacks.values()) for name, why in group.items()}
    start = partial(in_node, package)
    return Client(f"pusher-js {line} in Node", Kind.CLIENT, "Node", start, missing, package=package)


def _page(line: str, file: str, **lacks: Mapping[str, str]) -> Client:
    package = f"pusher-js-{line.partition('.')[0]}"
    missing = {name: why for group in (_ECHO, *lacks.values()) for name, why in group.items()}
    start = partial(in_page, package, file)
    return Client(
        f"pusher-js {line} in Chromium", Kind.CLIENT, "Chromium", start, missing, package=package, browser=True
    )


CLIENTS = [
    _page("3.0", "dist/pusher.js", a=_USERS, b=_COUNTS, c=_SENDER, d=_FALLBACKS_3, e=_BLIND),
    _node("4.4", a=_USERS, b=_COUNTS, c=_NOT_IN_NODE),
    _node("5.1", a=_USERS, b=_COUNTS),
    _node("6.0", a=_USERS, b=_COUNTS),
    _node("7.6"),
    _node("8.6"),
    _page("4.4", "dist/web/pusher.js", a=_USERS, b=_COUNTS),
    _page("5.1", "dist/web/pusher.js", a=_USERS, b=_COUNTS),
    _page("6.0", "dist/web/pusher-with-encryption.js", a=_USERS, b=_COUNTS),
    _page("7.6", "dist/web/pusher-with-encryption.js"),
    _page("8.6", "dist/web/pusher-with-encryption.js"),
]
