"""Relay's own REST client for Python."""

from __future__ import annotations

import json

from tests.conformance.features import Kind
from tests.conformance.programs import Program, Session
from tests.conformance.reference import MASTER_KEY
from tests.conformance.running import Client, Runtime, Start
from tests.conformance.runtime import DRIVERS


def _start(runtime: Runtime, start: Start) -> Session:
    app = start.site.app
    credentials = {"id": app.id, "key": app.key, "secret": start.secret, "encryption_master_key": MASTER_KEY}
    authority = start.address.authority
    options = {"app": credentials, "url": start.address.url, "authority": authority and str(authority)}
    return Program([runtime.python(""), DRIVERS / "rest_driver.py", json.dumps(options)], start.environment())


CLIENTS = [
    Client(
        "Relay's REST client",
        Kind.SDK,
        "Python",
        _start,
        {"too_large": "it raises before anything is sent"},
        official=False,
    )
]
