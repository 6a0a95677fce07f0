"""Who may do what: HMAC strings of channels, users and REST calls, compared in constant time.

Channel and user strings: protocol 2.3. REST strings: protocol 6.7.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from urllib.parse import unquote, unquote_plus

import msgspec

from relay.app import App
from relay.errors import RequestError, Unproven

TIMESTAMP_WINDOW = 600
"""Seconds a REST call's timestamp may differ from the server's time (protocol 6.7)."""

_LONGEST_STRING = 400
"""Characters of a string to sign that are told back: socket id, channel and most members fit."""


def sign(secret: str, text: str) -> str:
    """Lower-case hex HMAC-SHA256 of ``text``."""
    return hmac.digest(secret.encode(), text.encode("utf-8", "surrogateescape"), "sha256").hex()


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def sign_channel(app: App, socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """The ``auth`` value that lets ``socket_id`` subscribe to ``channel``."""
    return f"{app.key}:{sign(app.secret, channel_string(socket_id, channel, channel_data))}"


def sign_user(app: App, socket_id: str, user_data: str) -> str:
    """The ``auth`` value that signs ``socket_id`` in as the user of ``user_data``."""
    return f"{app.key}:{sign(app.secret, user_string(socket_id, user_data))}"


def channel_string(socket_id: str, channel: str, channel_data: str | None) -> str:
    """What is signed to let ``socket_id`` into ``channel``."""
    return f"{socket_id}:{channel}" if channel_data is None else f"{socket_id}:{channel}:{channel_data}"


def user_string(socket_id: str, user_data: str) -> str:
    """What is signed to sign ``socket_id`` in."""
    return f"{socket_id}::user::{user_data}"


class _Claim(msgspec.Struct, frozen=True):
    """What an ``auth`` value says it signs: the strings it may be of, and the words for a refusal."""

    forms: Sequence[str]
    what: str
    short: str
    channel: str | None = None


def verify_channel(
    app: App, socket_id: str, channel: str, *, channel_data: str | None, auth: str | None, presence: bool
) -> None:
    """Check the ``auth`` of a subscribe; ``channel_data`` must be the exact string received.

    On private channels that carry a channel_data both forms are right, since some authorizers sign it and
    some do not. Raises :class:`Unproven` with hosted's wording.
    """
    if not auth:
        raise Unproven(f"Auth info required to subscribe to {channel}", channel=channel)
    forms = [channel_string(socket_id, channel, channel_data)]
    if channel_data is not None and not presence:
        forms.append(channel_string(socket_id, channel, None))
    _verify(app, auth, _Claim(forms, f"subscription to {channel}", "subscription", channel))


def verify_user(app: App, socket_id: str, user_data: str, auth: str) -> None:
    """Check the ``auth`` of a sign-in. Raises :class:`Unproven`."""
    _verify(app, auth, _Claim([user_string(socket_id, user_data)], "signin", "signin"))


def _verify(app: App, auth: str, claim: _Claim) -> None:
    key, colon, signature = auth.partition(":")
    if not colon:
        raise Unproven(
            f"Auth value for {claim.what} is invalid: should be of format 'key:signature'", channel=claim.channel
        )
    if not _same(app.key, key):
        raise Unproven(f"Invalid key in {claim.short} auth data: '{_cut(key)}'", channel=claim.channel)
    right = [_same(sign(app.secret, form), signature) for form in claim.forms]  # all of them: constant time
    if not any(right):
        raise Unproven(
            f"Invalid signature: Expected HMAC SHA256 hex digest of {_cut(claim.forms[0], _LONGEST_STRING)},"
            f" but got {_cut(signature)}",
            channel=claim.channel,
        )


def _cut(value: str, most: int = 64) -> str:
    """A client's value, short enough to be sent back and remembered."""
    return value if len(value) <= most else value[:most] + "..."


Query = Sequence[tuple[str, str]]
_key = itemgetter(0)


def parse_query(raw: str, *, plus_is_space: bool = False) -> list[tuple[str, str]]:
    """Key and value of a query, URL-decoded, in the order they came; values may come escaped or raw."""
    pairs = [part.partition("=") for part in raw.split("&") if part]
    if "%" not in raw and not plus_is_space:  # as most SDKs send it
        return [(key, value) for key, _, value in pairs]
    decode = unquote_plus if plus_is_space else unquote
    return [(decode(key), decode(value)) for key, _, value in pairs]


def rest_string(method: str, path: str, query: Query) -> str:
    """What a REST call signs: lower-cased sorted keys, values unescaped, ``auth_signature`` left out."""
    pairs = [(lower, value) for key, value in query if (lower := key.lower()) != "auth_signature"]
    pairs.sort(key=_key)
    return f"{method.upper()}\n{path}\n{'&'.join(map('='.join, pairs))}"


def sign_rest(app: App, method: str, path: str, *, query: Query, body: bytes, now: float) -> list[tuple[str, str]]:
    """``query`` with the five parameters that make the call genuine, ready to be escaped."""
    signed = [
        *query,
        ("auth_key", app.key),
        ("auth_timestamp", str(int(now))),
        ("auth_version", "1.0"),
        ("body_md5", _md5(body)),
    ]
    return [*signed, ("auth_signature", sign(app.secret, rest_string(method, path, signed)))]


def verify_rest(
    app: App, method: str, path: str, *, raw_query: str, body: bytes, now: float, parsed: Query | None = None
) -> Query:
    """Check one REST call, in the order of protocol 6.7; ``path`` is as received, ``now`` in Unix seconds.

    ``parsed`` is ``raw_query`` as :func:`parse_query` reads it, if that is done already. The caller has found ``app``
    by ``auth_key``. Returns the query as its sender meant it. Raises :class:`RequestError` 401 with hosted's wording.
    """
    if parsed is None:
        parsed = parse_query(raw_query)
    query = dict(parsed)
    if "auth_version" not in query:
        raise RequestError(401, "Version required")
    if query["auth_version"] != "1.0":
        raise RequestError(401, "Version not supported")
    _verify_timestamp(query.get("auth_timestamp", ""), now)
    given_md5 = query.get("body_md5")
    if given_md5 is None and body:
        raise RequestError(401, "Missing parameter: body_md5")
    if given_md5 is not None and not _same(_md5(body), given_md5.lower()):
        raise RequestError(401, "Invalid body MD5: body_md5 must be the hex MD5 of the raw body")
    given = query.get("auth_signature")
    if given is None:
        raise RequestError(401, "Missing parameter: auth_signature")
    for meant, string in _candidates(method, path, raw_query, parsed):
        if _same(sign(app.secret, string), given.lower()):
            return meant
    shown = rest_string(method, path, parsed).replace("\n", "\\n")
    raise RequestError(
        401,
        f'Invalid signature: you should have sent HmacSHA256Hex("{shown}", your_secret_key),'
        f' but you sent "{_cut(given)}"',
    )


def _candidates(method: str, path: str, raw_query: str, parsed: Query) -> Iterator[tuple[Query, str]]:
    """Strings a well-meaning SDK may have signed, the likely one first: path raw, decoded or without a mount
    prefix; ``+`` both ways.
    """
    yield parsed, rest_string(method, path, parsed)
    mounted = path.find("/apps/")
    paths = dict.fromkeys((path, unquote(path), path[mounted:] if mounted > 0 else path))
    queries = [parsed, parse_query(raw_query, plus_is_space=True)] if "+" in raw_query else [parsed]
    for query in queries:
        for candidate in paths:
            yield query, rest_string(method, candidate, query)


def _verify_timestamp(value: str, now: float) -> None:
    if not value:
        raise RequestError(401, "Timestamp required")
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise RequestError(401, f"Timestamp required: auth_timestamp must be Unix seconds, got {value[:40]!r}")
    if abs(int(value) - now) >= TIMESTAMP_WINDOW:
        raise RequestError(
            401,
            f"Timestamp expired: Given timestamp ({_iso(int(value))}) not within {TIMESTAMP_WINDOW}s"
            f" of server time ({_iso(int(now))})",
        )


def _iso(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
