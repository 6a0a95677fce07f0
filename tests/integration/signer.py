"""REST requests signed by hand, from protocol 6.7, with nothing of Relay's."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote

NOW = 1_760_000_000
KEY, SECRET = "b1946ac92492d2347c62", "5d41402abc4b2a76b971"
Query = Sequence[tuple[str, str]]


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def signature(method: str, path: str, query: Query, secret: str = SECRET) -> str:
    """What the request is signed with: keys in lower case and sorted, values as they are meant."""
    pairs = sorted(((key.lower(), value) for key, value in query), key=lambda pair: pair[0])
    string = "\n".join((method, path, "&".join(f"{key}={value}" for key, value in pairs)))
    return hmac.new(secret.encode(), string.encode(), hashlib.sha256).hexdigest()


def authentic(body: bytes = b"", *, now: float = NOW, key: str = KEY) -> list[tuple[str, str]]:
    """The parameters that every request has; ``body_md5`` only where there is a body."""
    query = [("auth_key", key), ("auth_timestamp", str(int(now))), ("auth_version", "1.0")]
    return [*query, ("body_md5", md5(body))] if body else query


def raw(query: Query) -> str:
    """A query as Go, Node, PHP, .NET and Python write it: nothing is escaped."""
    return "&".join(f"{key}={value}" for key, value in query)


def escaped(query: Query) -> str:
    """A query as Java and Ruby write it."""
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query)


def target(method: str, path: str, body: bytes = b"", query: Query = (), *, now: float = NOW) -> str:
    """Path and query of a genuine request."""
    pairs = [*authentic(body, now=now), *query]
    return f"{path}?{escaped(pairs)}&auth_signature={signature(method, path, pairs)}"
