"""A hub with `debug` says why it refuses, over WebSocket and REST; one without says what it always said."""

from __future__ import annotations

import json
import logging

import pytest

from relay import App, Hub
from relay.facts import RefusedRequest
from relay.protocol import signing
from relay.protocol.messages import Member
from relay.testing import ManualClock
from tests.integration.serving import Served, serving
from tests.integration.wire import http

SECRET = "5d41402abc4b2a76b971"
APP = App(id="1001", key="app-key", secret=SECRET, subscription_errors=True)
OTHER = App(id="2002", key="other-key", secret="other-secret")
NOW = 1_760_000_000
WEBSOCKET = "/app/app-key?protocol=7"
BODY = b'{"name":"paid","data":"{}","channels":["orders"]}'

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_crashes")]


async def refused(served: Served, frame: str) -> tuple[str, str, str]:
    """What pusher:error and pusher:subscription_error say to a frame, and the connection's socket id."""
    async with served.websocket(WEBSOCKET) as client:
        socket_id = json.loads((await client.event())["data"])["socket_id"]
        client.send(frame.replace("SOCKET", socket_id))
        error, more = await client.event(), await client.event()
    assert (error["event"], list(error["data"]), error["data"]["code"]) == ("pusher:error", ["code", "message"], None)
    return error["data"]["message"], more["data"]["error"], socket_id


def subscribe(auth: str | None, channel: str = "private-x") -> str:
    data = {"channel": channel} if auth is None else {"auth": auth, "channel": channel}
    return json.dumps({"event": "pusher:subscribe", "data": data})


def target(secret: str = SECRET, *, key: str = "app-key", now: int = NOW) -> str:
    app = App(id="1001", key=key, secret=secret)
    pairs = signing.sign_rest(app, "POST", "/apps/1001/events", query=[], body=BODY, now=now)
    return "/apps/1001/events?" + "&".join(map("=".join, pairs))


async def test_subscribe_is_explained(caplog):
    hub = Hub(APP, OTHER, clock=ManualClock(), debug=True)
    facts: list[RefusedRequest] = []
    hub.on(RefusedRequest, facts.append)
    async with serving(hub) as served:
        message, error, socket_id = await refused(served, subscribe("app-key:00"))
    plain = f"Invalid signature: Expected HMAC SHA256 hex digest of {socket_id}:private-x, but got 00"
    assert message.startswith(f"{plain}. Most likely cause: unknown - ")
    right = signing.sign(SECRET, f"{socket_id}:private-x")
    assert message.endswith(f'To be signed: "{socket_id}:private-x". Expected signature: {right[:8]}...; sent: 00.')
    assert error == message
    [fact] = facts
    assert (fact.reason, fact.explanation) == (plain, message.removeprefix(f"{plain}. "))
    [record] = [record for record in caplog.records if record.name == "relay.explain"]
    assert (record.levelno, record.getMessage()) == (logging.WARNING, fact.explanation)


async def test_subscribe_without_auth_and_signin_are_explained():
    async with serving(Hub(APP, clock=ManualClock(), debug=True)) as served:
        message, _, _ = await refused(served, subscribe(None))
        assert message.startswith("Auth info required to subscribe to private-x. Most likely cause: no auth - ")
        async with served.websocket(WEBSOCKET) as client:
            await client.event()
            client.send('{"event":"pusher:signin","data":{"auth":"app-key:00","user_data":"{}"}}')
            assert "Most likely cause: unknown" in (await client.event())["data"]["message"]


async def test_what_has_no_proof_in_it_is_answered_as_ever():
    async with serving(Hub(APP, clock=ManualClock(), debug=True)) as served, served.websocket(WEBSOCKET) as client:
        await client.event()
        client.send('{"event":"nonsense"}')
        assert (await client.event())["data"]["message"] == "Unsupported event received on socket: nonsense"
        client.send(subscribe(None, "orders"))
        client.send(subscribe("app-key:00", "orders"))
        await client.event()
        assert (await client.event())["data"]["message"] == "Existing subscription to channel orders"


async def test_whom_the_hubs_own_authorizer_refuses_is_told_no_more():
    async def nobody(request: object, channel: str) -> Member | bool:
        return False

    async with serving(Hub(APP, clock=ManualClock(), debug=True), authorize=nobody) as served:
        message, _, _ = await refused(served, subscribe(None))
    assert message == "Not authorized to subscribe to private-x"


@pytest.mark.parametrize(
    ("call", "status", "plain", "cause"),
    [
        (target("wrong"), 401, "Invalid signature: ", "unknown"),
        (target("other-secret"), 401, "Invalid signature: ", "wrong secret"),
        (target(now=NOW * 1000), 401, "Timestamp expired: ", "wrong clock"),
        (target(key="nobody"), 400, "Unknown auth_key", "wrong key"),
        ("/apps/1001/events", 401, "Missing parameter: auth_key", "no auth"),
    ],
)
async def test_rest_call_is_explained_in_debug_mode_only(call, status, plain, cause):
    answers = {}
    for debug in (True, False):
        async with serving(Hub(APP, OTHER, clock=ManualClock(), debug=debug)) as served:
            answers[debug] = await http(served.port, "POST", call, BODY)
    told, short = answers[True].body.decode(), answers[False].body.decode()
    assert [answer.status for answer in answers.values()] == [status, status]
    assert short.startswith(plain)
    assert "Most likely" not in short
    assert told.startswith(f"{short.rstrip()}. Most likely cause: {cause} - ")
    assert told.endswith("\n")
    assert told.count("\n") == 1
    assert SECRET not in told


async def test_genuine_call_with_a_bad_body_is_answered_as_ever():
    pairs = signing.sign_rest(APP, "POST", "/apps/1001/events", query=[], body=b"[]", now=NOW)
    call = "/apps/1001/events?" + "&".join(map("=".join, pairs))
    async with serving(Hub(APP, clock=ManualClock(), debug=True)) as served:
        answer = await http(served.port, "POST", call, b"[]")
    assert (answer.status, answer.body) == (400, b"The body must be a JSON object, got list\n")


async def test_without_debug_nothing_is_explained_or_logged(caplog):
    hub = Hub(APP, clock=ManualClock())
    facts: list[RefusedRequest] = []
    hub.on(RefusedRequest, facts.append)
    async with serving(hub) as served:
        message, _, socket_id = await refused(served, subscribe("app-key:00"))
        await http(served.port, "POST", target("wrong"), BODY)
    assert message == f"Invalid signature: Expected HMAC SHA256 hex digest of {socket_id}:private-x, but got 00"
    assert [fact.explanation for fact in facts] == [None]
    assert [record for record in caplog.records if record.name == "relay.explain"] == []
