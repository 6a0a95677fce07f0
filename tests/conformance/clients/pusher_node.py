"""Server SDKs from npm: `pusher`, the official one, now and in its second line, and `pusher-http-edge`, a fork."""

from __future__ import annotations

import base64
import json
from functools import partial

from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.reference import MASTER_KEY
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS


def _start(package: str, runtime: Runtime, start: Start) -> Session:
    address = start.address
    options: dict[str, object] = {
        "appId": start.site.app.id,
        "key": start.key,
        "secret": start.secret,
        "host": address.host,
        "port": address.port,
        "useTLS": address.tls,
    }
    if package == "pusher-2":  # an older word for the same
        options |= {"encryptionMasterKey": base64.b64decode(MASTER_KEY).decode()}
    else:
        options["encryptionMasterKeyBase64"] = MASTER_KEY
    arguments = [str(runtime.node_modules), package, json.dumps(options)]
    return Program(["node", DRIVERS / "sdk.cjs", *arguments], start.environment())


_NOT_YET = dict.fromkeys(("send_to_user", "terminate_user", "authenticate"), "users came with 5.1")

CLIENTS = [
    Client("pusher 5 (npm)", Kind.SDK, "Node", partial(_start, "pusher"), package="pusher"),
    Client("pusher 2 (npm)", Kind.SDK, "Node", partial(_start, "pusher-2"), _NOT_YET, package="pusher-2"),
    Client(
        "pusher-http-edge (npm)",
        Kind.SDK,
        "Node",
        partial(_start, "pusher-http-edge"),
        package="pusher-http-edge",
        official=False,
    ),
]
