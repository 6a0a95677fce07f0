"""Webhooks as they are on the wire: what is sent, and how an application knows a genuine one (protocol 7)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from relay.app import App
from relay.errors import InvalidWebhook
from relay.protocol import messages

MAX_AGE = 300.0
"""Seconds a webhook's ``time_ms`` may differ from the receiver's time; the Python SDK's own bound (protocol 7.4)."""

KEY_HEADER, SIGNATURE_HEADER = "X-Pusher-Key", "X-Pusher-Signature"


class WebhookEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened; None for what does not belong to its ``name`` (protocol 7.2).

    ``event``, ``data`` (a string) and ``socket_id`` come with ``client_event``, ``user_id`` with member events
    and with client events on presence channels.
    """

    name: str
    channel: str = ""
    user_id: str | None = None
    event: str | None = None
    data: str | None = None
    socket_id: str | None = None
    subscription_count: int | None = None


class Webhook(msgspec.Struct, frozen=True):
    """One genuine request: the App it is about, when it was made (Unix milliseconds), and what happened, in order."""

    app: App
    time_ms: int
    events: tuple[WebhookEvent, ...]


encode_event = msgspec.json.Encoder().encode
"""One :class:`WebhookEvent` as JSON, without what does not belong to its name."""


def body_of(events: Sequence[bytes], time_ms: int) -> bytes:
    """The body of a request with ``events``, which are encoded already; ``time_ms`` is when it is made (7.1)."""
    return b'{"time_ms":%d,"events":[%b]}' % (time_ms, b",".join(events))


def headers_of(app: App, body: bytes) -> dict[str, str]:
    """The headers that prove ``body`` to be the App's. Some SDKs compare the whole media type (7.1)."""
    return {
        "Content-Type": "application/json",
        KEY_HEADER: app.key,
        SIGNATURE_HEADER: _signature(app, body),
    }


def verify(
    apps: App | Iterable[App],
    headers: Mapping[str, str],
    body: bytes,
    now: float | None = None,
    *,
    max_age: float = MAX_AGE,
) -> Webhook:
    """What a request to a webhook endpoint says, once it is known to come from the holder of the App's secret.

    ``headers`` are found whatever their case, ``body`` is the raw bytes. With ``now`` (Unix seconds) a webhook
    made more than ``max_age`` seconds before or after is refused, so that a recorded one cannot be sent again
    much later; without, its age does not matter. Within that time the same webhook may come twice: hosts send
    it again when our answer is lost.

    Raises :class:`InvalidWebhook`, for which 401 is a good answer. Nothing of the body is looked at before its
    signature is proven, in constant time.
    """
    given = {name.lower(): value for name, value in headers.items()}
    key, signature = given.get(KEY_HEADER.lower(), ""), given.get(SIGNATURE_HEADER.lower(), "")
    app = next((app for app in ((apps,) if isinstance(apps, App) else apps) if _same(app.key, key)), None)
    if app is None:
        raise InvalidWebhook(f"{KEY_HEADER} should be the key of an App, got {key[:40]!r}")
    if not _same(_signature(app, body), signature.lower()):
        raise InvalidWebhook(f"{SIGNATURE_HEADER} should be the hex HMAC-SHA256 of the raw body with the App's secret")
    sent = _read(body)
    if now is not None and not abs(now - sent.time_ms / 1000) <= max_age:
        raise InvalidWebhook(f"time_ms is {now - sent.time_ms / 1000:.0f} s ago, allowed are {max_age:.0f} s")
    return Webhook(app, sent.time_ms, tuple(_event(event) for event in sent.events))


class _Event(msgspec.Struct):
    """An event as it may come: some hosts do not know that ``data`` is a string (protocol 7.2)."""

    name: str
    channel: str = ""
    user_id: str | int | None = None
    event: str | None = None
    data: object = None
    socket_id: str | None = None
    subscription_count: int | None = None


class _Body(msgspec.Struct):
    time_ms: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    events: list[_Event]


_decode = msgspec.json.Decoder(_Body).decode


def _read(body: bytes) -> _Body:
    try:
        return _decode(body)
    except messages.INVALID_JSON as error:
        raise InvalidWebhook(f"the body is signed but no webhook: {error}") from None


def _event(given: _Event) -> WebhookEvent:
    return WebhookEvent(
        given.name,
        given.channel,
        None if given.user_id is None else str(given.user_id),
        given.event,
        None if given.data is None else messages.json_text(given.data),
        given.socket_id,
        given.subscription_count,
    )


def _signature(app: App, body: bytes) -> str:
    return hmac.new(app.secret.encode(), body, hashlib.sha256).hexdigest()


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode("utf-8", "replace"), given.encode("utf-8", "replace"))
