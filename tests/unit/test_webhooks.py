"""Webhooks are believed only when they are genuine, complete and fresh."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pusher
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import App
from relay.errors import InvalidWebhook
from relay.protocol.webhooks import Webhook, WebhookEvent, verify
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient

APP = App(id="1001", key="b1946ac92492d2347c62", secret="5d41402abc4b2a76b971")
OTHER = App(id="1002", key="other-key", secret="other-secret")
WORKED = b'{"time_ms":1760000000123,"events":[{"name":"channel_occupied","channel":"orders"}]}'
WORKED_HEADERS = {
    "X-Pusher-Key": APP.key,
    "X-Pusher-Signature": "59257375031affc51cc1b279601aae447a05601090217946fdab46b4552ff5d5",
}
NOW = 1_760_000_000.0


def headers(body: bytes, app: App = APP) -> dict[str, str]:
    """What a host sends with ``body``, computed with nothing of Relay's."""
    signature = hmac.new(app.secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Pusher-Key": app.key, "X-Pusher-Signature": signature}


def body(*events: object, time_ms: object = 1_760_000_000_123) -> bytes:
    return json.dumps({"time_ms": time_ms, "events": events}).encode()


def test_worked_webhook_is_genuine():
    assert verify(APP, WORKED_HEADERS, WORKED, NOW) == Webhook(
        APP, 1_760_000_000_123, (WebhookEvent("channel_occupied", "orders"),)
    )


@pytest.mark.parametrize(
    ("sent", "event"),
    [
        ({"name": "channel_vacated", "channel": "orders"}, WebhookEvent("channel_vacated", "orders")),
        (
            {"name": "member_added", "channel": "presence-room", "user_id": "u-42"},
            WebhookEvent("member_added", "presence-room", user_id="u-42"),
        ),
        (
            {"name": "member_removed", "channel": "presence-room", "user_id": 42},
            WebhookEvent("member_removed", "presence-room", user_id="42"),
        ),
        (
            {
                "name": "client_event",
                "channel": "presence-room",
                "event": "client-typing",
                "data": '{"who":"ada"}',
                "socket_id": "183923.7465120",
                "user_id": "u-42",
            },
            WebhookEvent(
                "client_event", "presence-room", "u-42", "client-typing", '{"who":"ada"}', socket_id="183923.7465120"
            ),
        ),
        (
            {"name": "client_event", "channel": "private-a", "event": "client-x", "data": {"who": "ada"}},
            WebhookEvent("client_event", "private-a", event="client-x", data='{"who":"ada"}'),
        ),
        (
            {"name": "subscription_count", "channel": "orders", "subscription_count": 3},
            WebhookEvent("subscription_count", "orders", subscription_count=3),
        ),
        ({"name": "of_tomorrow", "more": [1]}, WebhookEvent("of_tomorrow")),
    ],
)
def test_event_comes_typed(sent, event):
    given = body(sent, sent)
    assert verify(APP, headers(given), given).events == (event, event)


def test_headers_are_found_in_any_case_and_the_signature_too():
    given = {name.upper(): value.upper() for name, value in headers(WORKED).items()}
    given["X-PUSHER-KEY"] = APP.key
    verify(APP, given, WORKED)


def test_key_says_which_app_it_is_about():
    assert verify([APP, OTHER], headers(WORKED, OTHER), WORKED).app == OTHER


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, "X-Pusher-Key should be"),
        ({"X-Pusher-Key": "nobody", "X-Pusher-Signature": WORKED_HEADERS["X-Pusher-Signature"]}, "got 'nobody'"),
        ({"X-Pusher-Key": OTHER.key, "X-Pusher-Signature": WORKED_HEADERS["X-Pusher-Signature"]}, "Signature should"),
        ({"X-Pusher-Key": APP.key}, "Signature should"),
        ({"X-Pusher-Key": APP.key, "X-Pusher-Signature": "0" * 64}, "Signature should"),
        ({"X-Pusher-Key": APP.key, "X-Pusher-Signature": "\udcff\u20ac"}, "Signature should"),
        ({"X-Pusher-Key": "\udcff\u20ac", "X-Pusher-Signature": ""}, "Key should"),
    ],
)
def test_webhook_that_is_not_genuine_is_refused_and_told_no_secret(given, error):
    with pytest.raises(InvalidWebhook, match=error) as refused:
        verify([APP, OTHER], given, WORKED)
    assert APP.secret not in str(refused.value)
    assert WORKED_HEADERS["X-Pusher-Signature"] not in str(refused.value)


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_webhook_with_any_byte_changed_is_refused(padding, at, change):
    changed = bytearray(WORKED + b" " + padding)
    genuine = headers(bytes(changed))
    changed[at % len(changed)] ^= change
    with pytest.raises(InvalidWebhook, match="Signature"):
        verify(APP, genuine, bytes(changed))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"time_ms":1760000000123}',
        b'{"time_ms":"1","events":[]}',
        b'{"time_ms":1' + b"0" * 400 + b',"events":[]}',
        b'{"time_ms":-1,"events":[]}',
        b'{"time_ms":1,"events":{}}',
        b'{"time_ms":1,"events":[7]}',
        b'{"time_ms":1,"events":[{"channel":"no name"}]}',
    ],
)
def test_signed_rubbish_is_refused(sent):
    with pytest.raises(InvalidWebhook, match="signed but no webhook"):
        verify(APP, headers(sent), sent, NOW)


@given(st.binary(max_size=300))
def test_whatever_is_signed_is_a_webhook_or_refused(sent):
    try:
        assert isinstance(verify(APP, headers(sent), sent, NOW), Webhook)
    except InvalidWebhook:
        pass


@pytest.mark.parametrize(("seconds", "fresh"), [(299.8, True), (300.2, False), (-299.8, True), (-300.2, False)])
def test_old_webhook_is_refused_and_one_from_the_future_too(seconds, fresh):
    given = body(time_ms=int(NOW * 1000))
    if fresh:
        verify(APP, headers(given), given, NOW + seconds)
    else:
        with pytest.raises(InvalidWebhook, match="allowed are 300 s"):
            verify(APP, headers(given), given, NOW + seconds)
    verify(APP, headers(given), given, NOW + seconds, max_age=600)
    verify(APP, headers(given), given)


def test_rest_client_verifies_with_its_own_app_and_clock():
    client = RestClient(APP, "http://host", clock=ManualClock(unix=NOW))
    assert client.webhook(WORKED_HEADERS, WORKED).events[0].channel == "orders"
    late = RestClient(APP, "http://host", clock=ManualClock(unix=NOW + 1000))
    with pytest.raises(InvalidWebhook):
        late.webhook(WORKED_HEADERS, WORKED)
    late.webhook(WORKED_HEADERS, WORKED, max_age=2000)
    with pytest.raises(InvalidWebhook):
        RestClient(OTHER, "http://host").webhook(WORKED_HEADERS, WORKED)


@pytest.mark.parametrize("age", [0, 1000])
@pytest.mark.parametrize("forged", [False, True])
def test_python_sdk_is_of_the_same_opinion(age, forged):
    sdk: Any = pusher.Pusher(app_id="1001", key=APP.key, secret=APP.secret)
    given = body({"name": "channel_occupied", "channel": "orders"}, time_ms=int((time.time() - age) * 1000))
    signed = headers(given, OTHER if forged else APP) | {"X-Pusher-Key": APP.key}
    theirs = sdk.validate_webhook(signed["X-Pusher-Key"], signed["X-Pusher-Signature"], given.decode())
    try:
        ours = verify(APP, signed, given, time.time())
    except InvalidWebhook:
        assert theirs is None
    else:
        assert (theirs["time_ms"], theirs["events"][0]["channel"]) == (ours.time_ms, ours.events[0].channel)
