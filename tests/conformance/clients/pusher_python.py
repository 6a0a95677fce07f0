"""`pusher` from PyPI, the official server SDK for Python: the newest release, and the last of its first line."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.reference import MASTER_KEY
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS


def start(environment: str, encrypts: bool, runtime: Runtime, what: Start) -> Session:  # noqa: FBT001 - bound below
    """The SDK in a process of its own; ``encrypts`` says whether it knows encrypted channels."""
    address = what.address
    options: dict[str, object] = {
        "app_id": what.site.app.id,
        "key": what.key,
        "secret": what.secret,
        "host": address.host,
        "port": address.port,
        "ssl": address.tls,
    }
    if encrypts:
        options["encryption_master_key_base64"] = MASTER_KEY
    command: list[str | Path] = [runtime.python(environment), DRIVERS / "pusher_driver.py", json.dumps(options)]
    return Program(command, what.environment())


_NOT_YET = dict.fromkeys(("send_to_user", "terminate_user", "authenticate"), "users came with 3.3")
_PLAIN = dict.fromkeys(("trigger_encrypted", "shared_secret"), "encrypted channels came with 2.1")
_ITS_OWN = {"too_large": "it raises before anything is sent"}

CLIENTS = [
    Client("pusher 3 (PyPI)", Kind.SDK, "Python", partial(start, "pusher", True), _ITS_OWN, "pusher", "pusher"),
    Client(
        "pusher 1 (PyPI)",
        Kind.SDK,
        "Python",
        partial(start, "pusher-1", False),
        {**_NOT_YET, **_PLAIN, **_ITS_OWN},
        environment="pusher-1",
        package="pusher",
    ),
]
