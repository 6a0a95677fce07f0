"""REST over real HTTP, signed by hand: every refusal has its status and text, every quirk of an SDK is understood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import web

from relay import App, Hub, Member, TooLarge, UsageError, User
from relay.api import respond
from relay.protocol.rest import Request
from relay.testing import ManualClock
from relay_transports.aiohttp import setup, subapp
from tests.integration.raw import Client, connect, ended
from tests.integration.serving import Served, running, serving
from tests.integration.signer import KEY, NOW, SECRET, authentic, escaped, md5, raw, signature, target
from tests.integration.wire import PATIENCE, Answer, dial, http

pytestmark = pytest.mark.usefixtures("nothing_crashes")

APP = App(id="1001", key=KEY, secret=SECRET)
OTHER = App(id="1002", key="other-key", secret="other-secret")
DISABLED = App(id="1003", key="disabled-key", secret="disabled-secret", enabled=False)
EVENTS, BATCH, CHANNELS = "/apps/1001/events", "/apps/1001/batch_events", "/apps/1001/channels"
PAID = {"name": "paid", "channel": "orders", "data": "{}"}
TOO_LARGE = "The data content of this event exceeds the allowed maximum (10240 bytes)."
NO_PREFIX = (
    "user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-"
)
RESERVED = "The 'pusher' namespace is reserved for internal usage"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(Hub(APP, OTHER, DISABLED, clock=ManualClock(unix=NOW))) as served:
        yield served


@pytest.fixture
async def reader(served: Served) -> AsyncIterator[Client]:
    """Somebody who listens to what is published, and to whom nothing was sent yet."""
    async with connect(served.hub, KEY) as client:
        for channel, member in ("orders", None), ("private-team_1", None), ("presence-room", Member("ada")):
            await client.subscribe(channel, member)
        await client.received()
        yield client


def safe(answer: Answer) -> Answer:
    """``answer``, which must not tell a secret."""
    for app in APP, OTHER, DISABLED:
        assert app.secret not in answer.body.decode()
        assert app.secret not in str(answer.headers)
    return answer


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and text of an answer that must be one line of plain text."""
    text = safe(answer).body.decode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.splitlines(keepends=True) == [text], "one line that ends in a newline"
    assert text.endswith("\n")
    assert "Traceback" not in text
    return answer.status, text.removesuffix("\n")


async def post(served: Served, path: str, body: object) -> Answer:
    """A genuine POST; ``body`` is JSON unless it is bytes already."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return safe(await http(served.port, "POST", target("POST", path, content), content))


async def get(served: Served, path: str, *query: tuple[str, str]) -> Answer:
    """A genuine GET."""
    return safe(await http(served.port, "GET", target("GET", path, query=query)))


def matches(seen: tuple[int, str], status: int, text: str) -> tuple[int, str]:
    """``seen`` shortened to what ``text`` tells about it, when that ends in ``...``."""
    known = text.removesuffix("...")
    return (seen[0], text) if known != text and seen[1].startswith(known) else seen


# What may not be published


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        pytest.param(b"nonsense", 400, "The body is no valid JSON", id="no JSON"),
        pytest.param(b'{"name":"paid"', 400, "The body is no valid JSON", id="half an object"),
        pytest.param(b'{"name":NaN}', 400, "The body is no valid JSON", id="NaN"),
        pytest.param(b'{"name":"\xff"}', 400, "The body is no valid JSON", id="no UTF-8"),
        pytest.param(b'{"name":"\\ud800"}', 400, "The body is no valid JSON", id="a lone surrogate"),
        pytest.param(b'{"a":' * 50_000, 400, "The body is no valid JSON", id="nested without end"),
        pytest.param(b"[]", 400, "The body must be a JSON object, got list", id="a list"),
        pytest.param(b'"paid"', 400, "The body must be a JSON object, got str", id="a string"),
        pytest.param(b"null", 400, "The body must be a JSON object, got NoneType", id="null"),
        pytest.param({"channel": "orders", "data": ""}, 400, "Expected name parameter to be a string...", id="no name"),
        pytest.param({**PAID, "name": 7}, 400, "Expected name parameter to be a string...", id="name a number"),
        pytest.param({**PAID, "name": ""}, 400, "Expected name parameter to be a string...", id="name empty"),
        pytest.param(
            {**PAID, "name": "x" * 201}, 400, "Event name has 201 characters, allowed are 200", id="name too long"
        ),
        pytest.param({**PAID, "name": "pusher:ping"}, 400, RESERVED, id="pusher:"),
        pytest.param({**PAID, "name": "pusher_internal:x"}, 400, RESERVED, id="pusher_internal:"),
        pytest.param({**PAID, "name": "pusher-note"}, 400, RESERVED, id="pusher-"),
        pytest.param({"name": "paid", "channel": "orders"}, 400, "Missing required parameter: data", id="no data"),
        pytest.param({"name": "paid", "data": ""}, 400, "Missing required parameter: channel", id="no channel"),
        pytest.param({**PAID, "channels": []}, 400, "Missing required parameter: channel", id="no channels"),
        pytest.param({**PAID, "channels": {}}, 400, "channels must be a list of names, got dict", id="channels a dict"),
        pytest.param({**PAID, "channels": 7}, 400, "channels must be a list of names, got int", id="channels a number"),
        pytest.param({**PAID, "channels": ["orders", 7]}, 400, "Invalid channel name 7", id="a number in channels"),
        pytest.param({**PAID, "channels": [None]}, 400, "Invalid channel name None", id="null in channels"),
        pytest.param({**PAID, "channel": ""}, 400, "Invalid channel name ''", id="channel empty"),
        pytest.param({**PAID, "channel": "or ders"}, 400, "Invalid channel name 'or ders'", id="a space"),
        pytest.param({**PAID, "channel": "orders\n"}, 400, "Invalid channel name 'orders\\n'", id="a newline"),
        pytest.param({**PAID, "channel": "caf\u00e9"}, 400, "Invalid channel name 'caf\u00e9'", id="an accent"),
        pytest.param({**PAID, "channel": "#orders"}, 400, "Invalid channel name '#orders'", id="#"),
        pytest.param({**PAID, "channel": "#server-to-user-"}, 400, "Invalid channel name...", id="nobody"),
        pytest.param({**PAID, "channel": "x" * 201}, 400, "Invalid channel name...", id="201 characters"),
        pytest.param(
            {**PAID, "channels": [f"c{i}" for i in range(101)]}, 400, "Too many channels (101 > 100)", id="101 channels"
        ),
        pytest.param({**PAID, "data": "x" * 10_241}, 413, TOO_LARGE, id="10,241 bytes"),
        pytest.param({**PAID, "data": "\u00e9" * 5_121}, 413, TOO_LARGE, id="10,242 bytes in 5,121 characters"),
        pytest.param({**PAID, "data": ["x" * 10_237]}, 413, TOO_LARGE, id="10,241 bytes of JSON"),
        pytest.param(b" " * (4 << 20) + b" ", 413, "The body exceeds the allowed maximum (4194304 bytes).", id="4 MB"),
        pytest.param({**PAID, "info": "bogus"}, 400, "Unknown info attribute 'bogus': allowed are...", id="info"),
        pytest.param({**PAID, "info": 7}, 400, "info must be a comma list, got int", id="info a number"),
    ],
)
async def test_event_that_may_not_be_published_is_refused_and_nobody_gets_it(body, status, text, served, reader):
    assert matches(refusal(await post(served, EVENTS, body)), status, text) == (status, text)
    assert await reader.received() == []
    assert (await post(served, EVENTS, PAID)).status == 200
    assert [event.event for event in await reader.received()] == ["paid"]


@pytest.mark.parametrize("socket_id", ["", "1", "1.", "1.2.3", "-1.2", "1.2\n", "a.b", "\u0661.\u0662", 1.2, ["1.2"]])
async def test_bad_socket_id_is_refused_and_nobody_gets_the_event(socket_id, served, reader):
    status, text = refusal(await post(served, EVENTS, {**PAID, "socket_id": socket_id}))
    assert (status, text.partition(":")[0]) == (400, f"Invalid socket id {socket_id!r}")
    assert await reader.received() == []


@pytest.mark.parametrize(
    ("batch", "status", "text"),
    [
        pytest.param({"batch": [PAID] * 11}, 400, "Batch too large (11 > 10)", id="11 events"),
        pytest.param({}, 400, "Missing required parameter: batch, a list of events", id="no batch"),
        pytest.param({"batch": {}}, 400, "Missing required parameter: batch, a list of events", id="a dict"),
        pytest.param({"batch": [PAID, 7]}, 400, "An event must be a JSON object, got int", id="a number"),
        pytest.param({"batch": [PAID, {**PAID, "name": "pusher:x"}]}, 400, RESERVED, id="one reserved name"),
        pytest.param({"batch": [PAID, {**PAID, "data": "x" * 10_241}]}, 413, TOO_LARGE, id="one too large"),
        pytest.param({"batch": [PAID, {**PAID, "socket_id": "x"}]}, 400, "Invalid socket id...", id="one socket id"),
    ],
)
async def test_batch_with_one_bad_event_publishes_none(batch, status, text, served, reader):
    assert matches(refusal(await post(served, BATCH, batch)), status, text) == (status, text)
    assert await reader.received() == []


@pytest.mark.parametrize(
    ("event", "error", "text"),
    [
        (([f"c{i}" for i in range(101)], "paid", ""), UsageError, "Too many channels (101 > 100)"),
        (("or ders", "paid", ""), UsageError, "Invalid channel name 'or ders'"),
        (([], "paid", ""), UsageError, "Missing required parameter: channel"),
        (("orders", "pusher:paid", ""), UsageError, RESERVED),
        (("orders", "paid", "x" * 10_241), TooLarge, TOO_LARGE),
        (("orders", "paid", {1, 2}.__iter__()), UsageError, "Event data cannot be said in JSON: "),
        (("orders", "paid", "\ud800"), UsageError, "Event data cannot be said in JSON: "),
        (("orders", "\ud800", ""), UsageError, ""),
        (("orders", "paid", float("nan")), UsageError, "Event data cannot be said in JSON: "),
        (("orders", "paid", {"rate": float("inf")}), UsageError, "Event data cannot be said in JSON: "),
    ],
)
async def test_the_hubs_own_verbs_refuse_in_the_same_words(event, error, text, served, reader):
    with pytest.raises(error) as refused:
        await served.hub.trigger(*event, app=APP)
    assert str(refused.value).startswith(text)
    assert await reader.received() == []


# Who may not publish


def changed(query: Sequence[tuple[str, str]], name: str, value: str | None) -> list[tuple[str, str]]:
    """``query`` with one parameter replaced, or left out."""
    return [(key, old if key != name else value) for key, old in query if key != name or value is not None]  # type: ignore[misc]


BODY = json.dumps(PAID).encode()
EXPIRED = (
    "Timestamp expired: Given timestamp (2025-10-09T08:43:20Z) not within 600s of server time (2025-10-09T08:53:20Z)"
)


@pytest.mark.parametrize(
    ("parameter", "status", "text"),
    [
        (("auth_key", None), 401, "Missing parameter: auth_key"),
        (("auth_key", ""), 401, "Missing parameter: auth_key"),
        (("auth_key", "unknown"), 400, "Unknown auth_key"),
        (("auth_key", OTHER.key), 404, "Unknown app id '1001' for this auth_key"),
        (("auth_version", None), 401, "Version required"),
        (("auth_version", "2.0"), 401, "Version not supported"),
        (("auth_timestamp", None), 401, "Timestamp required"),
        (("auth_timestamp", ""), 401, "Timestamp required"),
        (("auth_timestamp", "yesterday"), 401, "Timestamp required..."),
        (("auth_timestamp", "-1760000000"), 401, "Timestamp required..."),
        (("auth_timestamp", "1.76e9"), 401, "Timestamp required..."),
        (("auth_timestamp", "9" * 5000), 401, "Timestamp required..."),
        (("auth_timestamp", "9" * 15), 401, "Timestamp expired..."),
        (("auth_timestamp", str(NOW - 600)), 401, EXPIRED),
        (("auth_timestamp", str(NOW + 600)), 401, "Timestamp expired: Given timestamp (2025-10-09T09:03:20Z)..."),
        (("body_md5", None), 401, "Missing parameter: body_md5"),
        (("body_md5", md5(b"other")), 401, "Invalid body MD5..."),
        (("body_md5", md5(b"")), 401, "Invalid body MD5..."),
        (("body_md5", ""), 401, "Invalid body MD5..."),
        (("body_md5", "\u00e9"), 401, "Invalid body MD5..."),
    ],
)
async def test_request_with_a_wrong_parameter_is_refused_though_its_signature_is_right(
    parameter, status, text, served, reader
):
    query = changed(authentic(BODY), *parameter)
    url = f"{EVENTS}?{escaped(query)}&auth_signature={signature('POST', EVENTS, query)}"
    seen = refusal(await http(served.port, "POST", url, BODY))
    assert matches(seen, status, text) == (status, text)
    assert await reader.received() == []


@pytest.mark.parametrize("seconds", [-599, 599])
async def test_clock_of_the_caller_may_be_almost_ten_minutes_off(seconds, served):
    url = target("POST", EVENTS, BODY, now=NOW + seconds)
    assert (await http(served.port, "POST", url, BODY)).status == 200


async def test_wrong_signature_is_told_what_should_have_been_signed_and_not_with_what(served, reader):
    query = authentic(BODY)
    assert refusal(await http(served.port, "POST", f"{EVENTS}?{raw(query)}&auth_signature=forged", BODY)) == (
        401,
        (
            f'Invalid signature: you should have sent HmacSHA256Hex("POST\\n/apps/1001/events\\n{raw(query)}",'
            ' your_secret_key), but you sent "forged"'
        ),
    )
    assert await reader.received() == []


@pytest.mark.parametrize(
    "signed",
    [
        pytest.param(("GET", EVENTS, BODY, SECRET), id="another method"),
        pytest.param(("POST", BATCH, BODY, SECRET), id="another path"),
        pytest.param(("POST", EVENTS, BODY, OTHER.secret), id="another App's secret"),
        pytest.param(("POST", EVENTS, BODY, SECRET + " "), id="almost the secret"),
        pytest.param(("POST", EVENTS, BODY + b" ", SECRET), id="another body"),
    ],
)
async def test_signature_of_something_else_is_refused(signed, served, reader):
    method, path, body, secret = signed
    forged = signature(method, path, authentic(body), secret)
    url = f"{EVENTS}?{raw(authentic(BODY))}&auth_signature={forged}"
    status, text = refusal(await http(served.port, "POST", url, BODY))
    assert (status, text.partition(":")[0]) == (401, "Invalid signature")
    assert await reader.received() == []


async def test_request_without_signature_is_refused(served, reader):
    url = f"{EVENTS}?{raw(authentic(BODY))}"
    assert refusal(await http(served.port, "POST", url, BODY)) == (401, "Missing parameter: auth_signature")
    assert await reader.received() == []


async def test_parameter_added_after_signing_is_refused(served):
    url = target("GET", CHANNELS) + "&info=subscription_count"
    assert (await http(served.port, "GET", url)).status == 401


async def test_disabled_app_is_refused_with_403_once_its_signature_is_right(served):
    query = authentic(key=DISABLED.key)
    url = f"/apps/1003/channels?{raw(query)}&auth_signature="
    right = signature("GET", "/apps/1003/channels", query, DISABLED.secret)
    assert refusal(await http(served.port, "GET", url + right)) == (403, "App is disabled")
    assert (await http(served.port, "GET", url + "forged")).status == 401


async def test_hub_that_stopped_refuses_with_503():
    hub = Hub(APP, clock=ManualClock(unix=NOW))
    response = await respond(hub, Request("GET", target("GET", CHANNELS)))
    assert (response.status, response.body) == (503, b"Not accepting requests now\n")


async def test_target_that_is_no_utf8_is_a_wrong_signature_and_no_crash(served):
    """Servers other than aiohttp's C parser let such bytes through, as surrogates."""
    query = f"{raw(authentic())}&note=\udcff&auth_signature=forged"
    response = await respond(served.hub, Request("GET", f"{CHANNELS}?{query}"))
    assert response.status == 401


# Where nothing is


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/apps/", 404, "Unknown path: the API lives under /apps/APP_ID/"),
        ("GET", "/apps/1001", 404, "Unknown path..."),
        ("GET", "/apps/1001/nothing", 404, "Unknown path..."),
        ("GET", "/apps/1001//channels", 404, "Unknown path..."),
        ("GET", "/apps/1001/channels/a/b/c", 404, "Unknown path..."),
        ("GET", "/apps/1001/channels/../channels", 404, "Unknown path..."),
        ("POST", "/users/", 404, "Unknown path..."),
        ("GET", "/apps/9999/channels", 404, "Unknown app id '9999' for this auth_key"),
        ("GET", "/apps/1002/channels", 404, "Unknown app id '1002' for this auth_key"),
        ("GET", EVENTS, 405, "GET is not allowed here, only POST"),
        ("DELETE", CHANNELS, 405, "DELETE is not allowed here, only GET"),
        ("PUT", EVENTS, 405, "PUT is not allowed here, only POST"),
        ("GET", f"{CHANNELS}/or%20ders", 400, "Invalid channel name"),
        ("GET", f"{CHANNELS}/or%2Fders", 400, "Invalid channel name"),
        ("GET", f"{CHANNELS}/or%00ders", 400, "Invalid channel name"),
        ("GET", f"{CHANNELS}/orders%0A", 400, "Invalid channel name"),
        ("GET", f"{CHANNELS}/%FF", 400, "Invalid channel name"),
        ("GET", f"{CHANNELS}/%23orders", 400, "Invalid channel name"),
        ("GET", f"{CHANNELS}/{'x' * 201}", 400, "Invalid channel name"),
        ("GET", f"{CHANNELS}/or%20ders/users", 400, "Invalid channel name"),
        ("POST", f"{CHANNELS}/or%20ders/events", 400, "Invalid channel name"),
    ],
)
async def test_address_of_nothing_is_refused(method, path, status, text, served):
    seen = refusal(await http(served.port, method, target(method, path)))
    assert matches(seen, status, text) == (status, text)


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        (
            CHANNELS,
            ("info", "user_count"),
            NO_PREFIX,
        ),
        (
            f"{CHANNELS}/orders",
            ("info", "user_count"),
            "Cannot retrieve the user count unless the channel is a presence channel",
        ),
        (f"{CHANNELS}/orders/users", ("x", "y"), "Users can only be retrieved for presence channels"),
        (CHANNELS, ("info", "bogus"), "Unknown info attribute 'bogus': allowed are..."),
        (f"{CHANNELS}/orders", ("info", "subscription_count,bogus"), "Unknown info attribute 'bogus'..."),
    ],
)
async def test_query_for_what_there_is_not_is_refused(path, query, text, served):
    assert matches(refusal(await get(served, path, query)), 400, text) == (400, text)


# Quirks of genuine requests


@pytest.mark.parametrize("writes", [raw, escaped])
async def test_query_values_may_come_raw_or_escaped(writes, served, reader):
    query = [*authentic(), ("filter_by_prefix", "presence-"), ("info", "user_count,subscription_count")]
    url = f"{CHANNELS}?{writes(query)}&auth_signature={signature('GET', CHANNELS, query)}"
    assert (await http(served.port, "GET", url)).json == {"channels": {"presence-room": {"user_count": 1}}}


@pytest.mark.parametrize("turn", range(5))
async def test_parameters_may_come_in_any_order(turn, served):
    query = [("auth_signature", signature("POST", EVENTS, authentic(BODY))), *authentic(BODY)]
    url = f"{EVENTS}?{raw([*query[turn:], *query[:turn]])}"
    assert (await http(served.port, "POST", url, BODY)).status == 200


async def test_hex_may_come_in_upper_case(served):
    query = changed(authentic(BODY), "body_md5", md5(BODY).upper())
    url = f"{EVENTS}?{raw(query)}&auth_signature={signature('POST', EVENTS, query).upper()}"
    assert (await http(served.port, "POST", url, BODY)).status == 200


async def test_get_may_carry_the_md5_of_its_empty_body(served):
    assert (await get(served, CHANNELS, ("body_md5", "d41d8cd98f00b204e9800998ecf8427e"))).status == 200


async def test_keys_are_signed_in_lower_case(served):
    assert (await get(served, CHANNELS, ("X-Extra", "1"), ("AppVersion", "2"))).status == 200


async def test_escaped_path_may_be_signed_as_it_is_sent_or_as_it_is_meant(served):
    for path in f"{CHANNELS}/presence-a%2Cb", f"{CHANNELS}/presence-a,b":
        url = f"{CHANNELS}/presence-a%2Cb?{raw(authentic())}&auth_signature={signature('GET', path, authentic())}"
        assert (await http(served.port, "GET", url)).json == {"occupied": False}


@pytest.mark.parametrize(
    ("sent", "meant", "status"),
    [("a+b", "a+b", 200), ("a+b", "a b", 200), ("a%2Bb", "a+b", 200), ("a%2Bb", "a b", 401)],
)
async def test_plus_is_itself_or_a_space(sent, meant, status, served):
    forms = signature("GET", CHANNELS, [*authentic(), ("note", meant)])
    url = f"{CHANNELS}?{raw(authentic())}&note={sent}&auth_signature={forms}"
    assert (await http(served.port, "GET", url)).status == status


@pytest.mark.parametrize("meant", ["a+b", "a b"])
async def test_plus_is_delivered_as_it_was_signed(meant, served, reader):
    query = [*authentic(), ("name", "paid"), ("channel", "orders")]
    forms = signature("POST", EVENTS, [*query, ("data", meant)])
    await http(served.port, "POST", f"{EVENTS}?{raw(query)}&data=a+b&auth_signature={forms}")
    assert [event.data for event in await reader.received()] == [meant]


async def test_event_may_come_in_the_query_without_a_body(served, reader):
    query = [("name", "paid"), ("data", "a=b&c"), ("channels[]", "orders"), ("channels[]", "presence-room")]
    answer = await http(served.port, "POST", target("POST", EVENTS, query=query))
    assert (answer.status, answer.json) == (200, {})
    assert [(event.channel, event.data) for event in await reader.received()] == [
        ("orders", "a=b&c"),
        ("presence-room", "a=b&c"),
    ]


def in_prefix(hub: Hub) -> web.Application:
    app = web.Application()
    setup(app, hub, prefix="/realtime")
    return app


def in_subapp(hub: Hub) -> web.Application:
    app = web.Application()
    app.add_subapp("/realtime", subapp(hub))
    return app


def in_subapp_with_prefix(hub: Hub) -> web.Application:
    app, inner = web.Application(), web.Application()
    setup(inner, hub, prefix="/time")
    app.add_subapp("/real", inner)
    return app


@pytest.mark.parametrize("signs_prefix", [True, False], ids=["prefix signed", "prefix not signed, as PHP does"])
@pytest.mark.parametrize(
    ("place", "prefix"),
    [(in_prefix, "/realtime"), (in_subapp, "/realtime"), (in_subapp_with_prefix, "/real/time")],
)
@pytest.mark.parametrize("path", ["/apps/1001/users/ada/terminate_connections", "/users/ada/terminate_connections"])
async def test_prefix_may_be_signed_or_not(place, prefix, signs_prefix, path):
    hub = Hub(APP, clock=ManualClock(unix=NOW))
    async with running(place(hub), hub) as served:
        forms = signature("POST", (prefix if signs_prefix else "") + path, authentic(b"{}"))
        url = f"{prefix}{path}?{raw(authentic(b'{}'))}&auth_signature={forms}"
        answer = await http(served.port, "POST", url, b"{}")
        assert (answer.status, answer.json) == (200, {})


async def test_refusal_below_a_prefix_is_in_the_same_words():
    hub = Hub(APP, clock=ManualClock(unix=NOW))
    async with running(in_subapp(hub), hub) as served:
        answer = await http(served.port, "GET", f"/realtime{CHANNELS}?auth_key=unknown")
        assert refusal(answer) == (400, "Unknown auth_key")


@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("path", ["/apps/1001/users/ada/terminate_connections", "/users/ada/terminate_connections"])
async def test_signed_in_user_is_closed_with_4009_with_or_without_the_apps_prefix(path, body, served):
    async with connect(served.hub, KEY) as client, connect(served.hub, KEY) as member:
        await member.subscribe("presence-room", Member("ada"))
        auth = served.hub.authenticate_user(client.socket_id, User("ada"), app=APP)
        await client.send(json.dumps({"event": "pusher:signin", "data": auth}))
        assert (await post(served, path, body)).json == {}
        assert ended(client) == (4009, "You got disconnected by the app.")
        assert ended(member) is None  # a presence member is not a signed-in user


async def test_terminating_nobody_is_fine(served):
    answer = await post(served, "/apps/1001/users/no%20body/terminate_connections", b"{}")
    assert (answer.status, answer.json) == (200, {})


@pytest.mark.parametrize(
    ("given", "delivered"),
    [
        ({"channels": "orders", "data": "x"}, "x"),
        ({"channels": ["orders", "orders"], "data": ""}, ""),
        ({"channels": None, "channel": "orders", "data": {"id": 7}}, {"id": 7}),
        ({"channel": "orders", "data": 7, "socket_id": None, "info": None}, 7),
        ({"channel": "orders", "data": None, "info": ""}, None),
        ({"channel": "orders", "data": "\u00e9" * 5120}, "\u00e9" * 5120),
        ({"channel": "orders", "data": 10**40}, 10**40),
        ({"channel": "orders", "data": "x", "socket_id": "1.1", "tags": {}, "idempotency_key": 7}, "x"),
    ],
)  # fmt: skip
async def test_lenient_forms_of_an_event_are_delivered(given, delivered, served, reader):
    answer = await post(served, EVENTS, {"name": "paid", **given})
    assert (answer.status, answer.json) == (200, {})
    assert [event.data for event in await reader.received()] == [delivered]


async def test_hundred_channels_and_ten_events_are_not_too_many(served, reader):
    assert (await post(served, EVENTS, {**PAID, "channels": [f"c{i}" for i in range(100)]})).json == {}
    assert (await post(served, BATCH, {"batch": [PAID] * 10})).json == {}
    assert len(await reader.received()) == 10


async def test_info_of_a_batch_is_an_array_in_the_order_of_the_request(served, reader):
    batch = [PAID, {**PAID, "channel": "presence-room", "info": "user_count"}, {**PAID, "info": "subscription_count"}]
    answer = await post(served, BATCH, {"batch": batch})
    assert answer.json == {"batch": [{}, {"user_count": 1}, {"subscription_count": 1}]}


async def test_info_of_an_event_leaves_out_what_does_not_apply(served, reader):
    event = {**PAID, "channels": ["orders", "presence-room", "empty"], "info": "user_count,subscription_count"}
    assert (await post(served, EVENTS, event)).json == {
        "channels": {
            "orders": {"subscription_count": 1},
            "presence-room": {"user_count": 1},
            "empty": {"subscription_count": 0},
        }
    }


async def test_info_cache_is_the_last_event_and_null_where_there_is_none(served):
    bus = f"{CHANNELS}/cache-bus"
    assert (await get(served, bus, ("info", "cache"))).json == {"occupied": False, "cache": None}
    await post(served, EVENTS, {"name": "position", "channel": "cache-bus", "data": '{"lat":1}', "info": "cache"})
    answer = {"occupied": False, "cache": {"data": '{"lat":1}', "ttl": 1800}}
    assert (await get(served, bus, ("info", "cache"))).json == answer
    answer = {"occupied": False, "subscription_count": 0, "cache": answer["cache"]}
    assert (await get(served, bus, ("info", "subscription_count,cache"))).json == answer
    assert (await get(served, bus)).json == {"occupied": False}


async def test_info_cache_is_left_out_where_it_does_not_apply(served, reader):
    assert (await get(served, f"{CHANNELS}/orders", ("info", "cache"))).json == {"occupied": True}
    assert (await get(served, CHANNELS, ("info", "cache"))).json["channels"]["orders"] == {}
    event = {**PAID, "channels": ["orders", "cache-bus"], "info": "cache,subscription_count"}
    counts = {"orders": {"subscription_count": 1}, "cache-bus": {"subscription_count": 0}}
    assert (await post(served, EVENTS, event)).json == {"channels": counts}


async def test_event_to_a_user_is_no_channel_of_the_listing(served):
    async with connect(served.hub, KEY) as client:
        auth = served.hub.authenticate_user(client.socket_id, User("ada"), app=APP)
        await client.send(json.dumps({"event": "pusher:signin", "data": auth}))
        await client.subscribe("#server-to-user-ada")
        await client.received()
        assert (await post(served, EVENTS, {**PAID, "channel": "#server-to-user-ada"})).json == {}
        assert [event.event for event in await client.received()] == ["paid"]
        assert (await get(served, CHANNELS)).json == {"channels": {}}


@pytest.mark.parametrize(
    ("path", "query", "answer"),
    [
        (CHANNELS, [], {"channels": {"orders": {}, "presence-room": {}, "private-team_1": {}}}),
        (CHANNELS, [("filter_by_prefix", "p")], {"channels": {"presence-room": {}, "private-team_1": {}}}),
        (CHANNELS, [("filter_by_prefix", "nothing-")], {"channels": {}}),
        (CHANNELS, [("info", "")], {"channels": {"orders": {}, "presence-room": {}, "private-team_1": {}}}),
        (f"{CHANNELS}/orders", [("info", "subscription_count")], {"occupied": True, "subscription_count": 1}),
        (f"{CHANNELS}/presence-room", [("info", "user_count")], {"occupied": True, "user_count": 1}),
        (f"{CHANNELS}/unknown", [], {"occupied": False}),
        (f"{CHANNELS}/presence-room/users", [], {"users": [{"id": "ada"}]}),
        (f"{CHANNELS}/presence-empty/users", [], {"users": []}),
        (f"{CHANNELS}/presence%2Droom/stats", [], {"occupied": True, "user_count": 1, "connection_count": 1}),
    ],
)
async def test_query_is_answered_with_an_object(path, query, answer, served, reader):
    seen = await get(served, path, *query)
    assert (seen.status, seen.headers["content-type"], seen.json) == (200, "application/json", answer)


async def test_socket_that_caused_the_event_does_not_get_it(served, reader):
    async with connect(served.hub, KEY) as cause:
        await cause.subscribe("orders")
        await cause.received()
        await post(served, EVENTS, {**PAID, "socket_id": cause.socket_id})
        assert await cause.received() == []
        assert len(await reader.received()) == 1


async def test_legacy_publish_delivers_the_raw_body_and_is_accepted_with_202(served, reader):
    body = "caf\u00e9 {".encode()
    url = target("POST", f"{CHANNELS}/orders/events", body, [("name", "paid")])
    answer = await http(served.port, "POST", url, body)
    assert (answer.status, answer.json) == (202, {})
    assert [(event.event, event.data) for event in await reader.received()] == [("paid", "caf\u00e9 {")]


@pytest.mark.parametrize(
    ("given", "status", "text"),
    [
        ((b"\xff", [("name", "paid")]), 400, "The body must be UTF-8"),
        ((b"x", []), 400, "Expected name parameter to be a string..."),
        ((b"x", [("name", "pusher:x")]), 400, RESERVED),
        ((b"x", [("name", "paid"), ("socket_id", "1")]), 400, "Invalid socket id '1'..."),
        ((b"x" * 10_241, [("name", "paid")]), 413, TOO_LARGE),
    ],
)
async def test_bad_legacy_publish_is_refused(given, status, text, served, reader):
    body, query = given
    url = target("POST", f"{CHANNELS}/orders/events", body, query)
    assert matches(refusal(await http(served.port, "POST", url, body)), status, text) == (status, text)
    assert await reader.received() == []


async def test_body_that_is_not_packed_as_it_says_is_refused(served, reader, caplog):
    answer = await http(served.port, "POST", target("POST", EVENTS, BODY), BODY, "Content-Encoding: gzip\r\n")
    assert refusal(answer)[0] == 400
    assert await reader.received() == []
    caplog.clear()  # aiohttp logs such a body by itself


@pytest.mark.parametrize("promise", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_body_that_breaks_off_is_nobodys_error(promise, served, reader):
    async with dial(served.port) as connection:
        connection.write(f"POST {target('POST', EVENTS, BODY)} HTTP/1.1\r\nHost: x\r\n{promise}\r\n\r\n1".encode())
        await connection.drain()
    assert (await post(served, EVENTS, PAID)).status == 200
    assert len(await reader.received()) == 1


FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", "", 403),
        (b"socket_id=1.1", FORM, 403),
        (b"socket_id=1.1&channel_name=", FORM, 403),
        (b"socket_id=1.1&channel_name=orders", FORM, 403),
        (b"socket_id=1.1&channel_name=private-or+ders", FORM, 403),
        (b"socket_id=1.1&channel_name=private-orders%0A", FORM, 403),
        (b"socket_id=1.1:x&channel_name=private-orders", FORM, 403),
        (b"socket_id=1.1%0A&channel_name=private-orders", FORM, 403),
        (b"socket_id=1.1&channel_name=%23server-to-user-ada", FORM, 403),
        (b'{"socket_id":"1.1","channel_name":"private-orders"}', "Content-Type: application/json\r\n", 403),
        (b"socket_id=1.1&channel_name=\xff", FORM, 400),
        (b"x", "Content-Type: multipart/form-data\r\n", 400),
        (b"socket_id=1.1", FORM.replace("\r", "; charset=klingon\r"), 400),
    ],
)
async def test_bad_question_to_the_auth_endpoint_is_refused(body, headers, status):
    async def authorize(request: web.Request, channel: str) -> Member | bool:
        return Member("ada")

    async with serving(Hub(APP), authorize=authorize) as served:
        answer = await http(served.port, "POST", "/pusher/auth", body, headers)
        assert refusal(answer)[0] == status


@pytest.mark.parametrize("said", [False, None, 0, "", "ada", 1])
async def test_auth_endpoint_signs_only_when_the_authorizer_says_true_or_who(said):
    async def authorize(request: web.Request, channel: str) -> Any:
        return said

    async with serving(Hub(APP), authorize=authorize) as served:
        answer = await http(served.port, "POST", "/pusher/auth", b"socket_id=1.1&channel_name=private-orders", FORM)
        assert refusal(answer) == (403, "Not authorized to subscribe to private-orders")


async def test_connection_is_kept_for_the_next_request_after_a_refusal(served):
    request = f"GET {CHANNELS}?auth_key=unknown HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with dial(served.port) as connection, asyncio.timeout(PATIENCE):
        for _ in range(3):
            connection.write(request)
            assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
            assert await connection.reader.readline() == b"Unknown auth_key\n"


async def test_body_that_never_ends_is_not_kept(served):
    async with dial(served.port) as connection, asyncio.timeout(PATIENCE):
        connection.write(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(5):
            connection.write(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
        assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
