"""What a server SDK does, in a few lines with nothing of Relay's: it signs, encrypts, asks (protocol 2.3, 6.7, 8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from nacl.secret import SecretBox

from tests.integration import signer

MASTER_KEY = base64.b64encode(b"the master key of the reference!").decode()
"""What encrypted channels' secrets are made from, by every SDK here. A server need not know it."""
TIMEOUT = 15.0


@dataclass(frozen=True)
class Credentials:
    """One App, as its owner knows it."""

    id: str
    key: str
    secret: str = field(repr=False)

    def sign(self, text: str) -> str:
        """``KEY:SIGNATURE`` of ``text``, as every ``auth`` is written."""
        return f"{self.key}:{hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()}"


def shared_secret(channel: str) -> bytes:
    """The key of one encrypted channel."""
    return hashlib.sha256(channel.encode() + base64.b64decode(MASTER_KEY)).digest()


def encrypted(channel: str, data: object) -> str:
    """``data`` as it travels on an encrypted channel."""
    box = SecretBox(shared_secret(channel)).encrypt(json.dumps(data).encode())
    parts = {"nonce": box.nonce, "ciphertext": box.ciphertext}
    return json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()})


def authorization(app: Credentials, socket_id: str, channel: str, member: Mapping[str, Any]) -> dict[str, str]:
    """What an auth endpoint answers; ``member`` is told on presence channels only."""
    if channel.startswith("presence-"):
        told = json.dumps(member)
        return {"auth": app.sign(f"{socket_id}:{channel}:{told}"), "channel_data": told}
    answer = {"auth": app.sign(f"{socket_id}:{channel}")}
    if channel.startswith("private-encrypted-"):
        answer["shared_secret"] = base64.b64encode(shared_secret(channel)).decode()
    return answer


def authentication(app: Credentials, socket_id: str, user: Mapping[str, Any]) -> dict[str, str]:
    """What a user-auth endpoint answers."""
    told = json.dumps(user)
    return {"auth": app.sign(f"{socket_id}::user::{told}"), "user_data": told}


@dataclass(frozen=True)
class Rest:
    """The HTTP API of a server at ``url``; ``trust`` is for one with TLS."""

    app: Credentials
    url: str
    trust: ssl.SSLContext | None = None

    def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """The decoded answer below ``/apps/ID``. Raises :class:`AssertionError` for a status that is not 200."""
        parts = urlsplit(self.url)
        raw = b"" if body is None else json.dumps(body).encode()
        signed = f"/apps/{self.app.id}{path}"
        pairs = [*signer.authentic(raw, now=time.time(), key=self.app.key), *query.items()]
        signature = signer.signature(method, signed, pairs, self.app.secret)
        where = f"{parts.path}{quote(signed)}?{signer.escaped(pairs)}&auth_signature={signature}"
        if parts.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=TIMEOUT, context=self.trust
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
        try:
            connection.request(method, where, raw or None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{method} {signed} was answered with {answer.status}: {text[:200]!r}"
        return json.loads(text)

    def publish(self, channel: str, event: str, data: object, socket_id: str | None = None) -> None:
        """``trigger`` of the official SDKs, encrypting where they do."""
        text = encrypted(channel, data) if channel.startswith("private-encrypted-") else json.dumps(data)
        body = {"name": event, "channels": [channel], "data": text}
        self.call("POST", "/events", body | ({"socket_id": socket_id} if socket_id else {}))
