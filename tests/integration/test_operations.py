"""What operators ask over HTTP: an App's numbers and facts with its secret, and the console's API with its token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from relay import App, Hub
from relay.errors import RequestError, Unauthorized, UsageError
from relay.facts import ClientEvent, WebhookDelivered
from relay.reporting import KINDS, report
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient, add_console, operations, setup
from tests.integration import wire
from tests.integration.raw import connect
from tests.integration.serving import Served, running
from tests.integration.signer import KEY, NOW, SECRET, target
from tests.integration.wire import Answer, Wire

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_crashes")]
APP = App(id="1001", key=KEY, secret=SECRET)
OTHER = App(id="1002", key="other-key", secret="other-secret")
TOKEN = "a-token-for-the-console"
BEARER = f"Authorization: Bearer {TOKEN}\r\n"
JSON = "Content-Type: application/json\r\n"
EVENT = b'{"app":"1001","channel":"orders","event":"paid","data":{"id":7}}'


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def served(clock: ManualClock) -> AsyncIterator[Served]:
    hub = Hub(APP, OTHER, clock=clock)
    app = web.Application()
    add_console(app, hub, token=TOKEN, prefix="/realtime")
    setup(app, hub, prefix="/realtime", drain_over=0.0)
    async with running(app, hub) as served:
        yield served


@asynccontextmanager
async def reading(served: Served, path: str, headers: str = "", buffer: int | None = None) -> AsyncIterator[Wire]:
    """A stream that was begun; the head of the answer is read."""
    async with wire.dial(served.port, receive_buffer=buffer) as reader:
        reader.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode())
        async with asyncio.timeout(wire.PATIENCE):
            head = await reader.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert b"application/x-ndjson" in head
        yield reader


async def fact(reader: Wire) -> dict[str, Any]:
    """The next fact of a stream."""
    async with asyncio.timeout(wire.PATIENCE):
        while True:  # each chunk's size stands on a line of its own
            line = await reader.reader.readline()
            assert line, "the stream ended"
            if line.startswith(b"{"):
                told: dict[str, Any] = json.loads(line)
                return told


def signed(path: str, **query: str) -> str:
    return target("GET", f"/realtime/apps/1001/{path}", query=list(query.items()))


def api(served: Served, path: str, headers: str = BEARER) -> Any:
    return served.http("GET", f"/realtime/console/api/{path}", headers)


def post(served: Served, path: str, body: bytes, headers: str = BEARER + JSON) -> Any:
    return served.http("POST", f"/realtime/console/{path}", headers, body)


def login(served: Served, token: str = TOKEN) -> Any:
    return post(served, "login", json.dumps({"token": token}).encode(), JSON)


def cookie(answer: Answer) -> str:
    return f"Cookie: {answer.headers['set-cookie'].partition(';')[0]}\r\n"


# With an App's secret


async def test_an_app_learns_its_own_numbers(served):
    await served.hub.trigger("orders", "paid", {}, app="1001")
    await served.hub.trigger("orders", "paid", {}, app="1002")
    answer = await served.http("GET", signed("stats"))
    assert answer.status == 200
    assert (answer.json["id"], answer.json["totals"]["published"]) == ("1001", 1)
    assert answer.json["stats"] == {"connections": 0, "channels": 0, "subscriptions": 0, "users": 0, "lost": 0}


async def test_facts_of_one_app_come_line_by_line_without_payloads(served):
    async with reading(served, signed("facts", type="Published,Connected")) as reader:
        await served.hub.trigger("orders", "unseen", {}, app="1002")
        await served.hub.trigger(["orders", "other"], "paid", {"card": "4111"}, app="1001")
        told = await fact(reader)
        assert (told["type"], told["app"], told["time"], told["event"]) == ("Published", "1001", NOW, "paid")
        assert [channel["channel"] for channel in told["receipt"]["channels"]] == ["orders", "other"]
        assert "4111" not in json.dumps(told)


async def test_facts_are_chosen_by_a_pattern(served):
    async with reading(served, signed("facts", channel="private-*")) as reader:
        for channel in "orders", "private-a":
            await served.hub.trigger(channel, "paid", {}, app="1001")
        assert (await fact(reader))["receipt"]["channels"][0]["channel"] == "private-a"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/realtime/apps/1001/facts", 401, "Missing parameter: auth_key"),
        (target("GET", "/realtime/apps/1002/facts"), 404, "Unknown app id '1002'"),
        (signed("facts") + "0", 401, "Invalid signature"),
        (signed("facts", type="Teapot"), 400, "there are no facts of type 'Teapot'"),
        (signed("facts", type="Connected", channel="a"), 400, "Connected is about no channel"),
        (target("GET", "/realtime/apps/1001/stats", now=NOW - 3600), 401, "Timestamp expired"),
    ],
)
async def test_who_may_not_or_asks_wrongly_is_refused(served, path, status, told):
    answer = await served.http("GET", path)
    assert (answer.status, told in answer.body.decode()) == (status, True), answer.body


async def test_a_reader_that_does_not_read_is_told_what_it_missed_and_slows_nobody(served):
    name, events = "n" * 150, 12_000
    async with (
        reading(served, signed("facts", type="Published"), buffer=4096) as slow,
        reading(served, signed("facts", channel="last")) as quick,
        connect(served.hub, KEY) as client,
    ):
        await client.subscribe("orders")
        heard: list[object] = []
        for number in range(events):
            await served.hub.trigger("orders", name, str(number), app="1001")
            if number % 100 == 99:
                heard += [event.data for event in await client.received() if event.event == name]
                await asyncio.sleep(0)  # the server's turn
        await served.hub.trigger("last", name, "", app="1001")
        assert (await fact(quick))["event"] == name
        assert heard == list(range(events))
        seen = missed = 0
        while seen + missed < events + 1:
            told = await fact(slow)
            seen, missed = seen + (told["type"] == "Published"), missed + told.get("count", 0)
        assert (seen + missed, missed > 0) == (events + 1, True)


async def test_so_many_streams_may_be_read_and_no_more(served):
    async with AsyncExitStack() as streams:
        for _ in range(20):
            await streams.enter_async_context(reading(served, signed("facts")))
        answer = await served.http("GET", signed("facts"))
        assert (answer.status, answer.body) == (503, b"20 streams of facts are read already: close one\n")


async def test_a_silent_stream_says_that_it_is_there(served, monkeypatch):
    monkeypatch.setattr(operations, "BEAT_SECONDS", 0.01)
    async with reading(served, signed("facts", type="Connected")) as reader, asyncio.timeout(wire.PATIENCE):
        assert await reader.reader.readexactly(12) == b"1\r\n\n\r\n" * 2


async def test_a_reader_that_takes_nothing_is_cut_off(served, monkeypatch):
    monkeypatch.setattr(operations, "PATIENCE_SECONDS", 0.05)
    async with reading(served, signed("facts"), buffer=4096) as reader:
        before = served.sockets
        async with asyncio.timeout(wire.PATIENCE):
            while served.sockets == before:
                await served.hub.trigger("orders", "n" * 150, "", app="1001")
                await asyncio.sleep(0)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.reader.readexactly(1 << 30)


async def test_streams_of_one_app_take_no_place_of_another(served):
    async with AsyncExitStack() as streams:
        for _ in range(20):
            await streams.enter_async_context(reading(served, signed("facts")))
        async with reading(served, "/realtime/console/api/facts?app=1001", BEARER):
            pass


async def test_streams_end_with_the_hub(served):
    async with reading(served, signed("facts", type="Connected")) as reader:
        ending = asyncio.ensure_future(served.runner.cleanup())
        async with asyncio.timeout(wire.PATIENCE):
            assert (await reader.reader.read()).endswith(b"0\r\n\r\n")
            await ending


async def test_the_rest_client_reads_facts(served):
    url = f"http://{KEY}:{SECRET}@127.0.0.1:{served.port}/realtime/apps/1001"
    clock = served.hub.clock
    async with RestClient(APP, url.replace(f"{KEY}:{SECRET}@", "").removesuffix("/apps/1001"), clock=clock) as client:
        async with aclosing(client.facts(types=["Published"], channel="orders")) as facts:
            waiting = asyncio.ensure_future(anext(facts))
            async with asyncio.timeout(wire.PATIENCE):
                while not waiting.done():  # until the stream was begun
                    await client.trigger("orders", "paid", {})
            assert (await waiting)["event"] == "paid"
        with pytest.raises(RequestError, match="no facts of type 'Teapot'"):
            await anext(client.facts(types=["Teapot"]))
    stranger = App(id="1001", key=KEY, secret="wrong-secret")
    async with RestClient(stranger, f"http://127.0.0.1:{served.port}/realtime", clock=clock) as client:
        with pytest.raises(Unauthorized, match="Invalid signature"):
            await anext(client.facts())


# With the console's token


@pytest.mark.parametrize("headers", ["", "Authorization: Bearer wrong\r\n", "Cookie: relay_console=9999999999.00\r\n"])
@pytest.mark.parametrize("path", ["stats", "channels?app=1001", "connections?app=1001", "facts"])
async def test_nothing_is_told_without_the_token(served, path, headers):
    answer = await api(served, path, headers)
    assert (answer.status, b"1001" in answer.body) == (401, False)


async def test_a_token_in_the_url_opens_nothing(served):
    assert (await api(served, f"stats?token={TOKEN}", "")).status == 401


async def test_login_gives_a_cookie_that_scripts_and_other_sites_cannot_use_and_that_ends(served, clock):
    answer = await login(served)
    flags = {flag.strip().partition("=")[0]: flag for flag in answer.headers["set-cookie"].split(";")}
    assert flags.keys() >= {"HttpOnly", "Max-Age"}
    assert (flags["SameSite"].strip(), flags["Path"].strip()) == ("SameSite=Strict", "Path=/realtime/console")
    assert TOKEN not in answer.headers["set-cookie"]
    assert (await api(served, "stats", cookie(answer))).status == 200
    await clock.advance(12 * 3600 + 1)
    assert (await api(served, "stats", cookie(answer))).status == 401


async def test_wrong_tokens_are_looked_at_a_few_times_and_then_slowly(served, clock):
    assert [(await login(served, "wrong")).status for _ in range(6)] == [401] * 5 + [429]
    refused = await login(served)
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    await clock.advance(10)
    assert [(await login(served)).status for _ in range(9)] == [200] * 9
    assert [(await login(served, "wrong")).status for _ in range(2)] == [401, 429]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (BEARER + JSON, 200),
        ("{cookie}X-Relay-Console: 1\r\n" + JSON, 200),
        ("{cookie}" + JSON, 403),
        ("{cookie}X-Relay-Console: 1\r\nContent-Type: text/plain\r\n", 415),
        (JSON, 401),
    ],
)
async def test_an_event_is_triggered_by_nobody_but_the_page_or_a_program_with_the_token(served, headers, status):
    opened = cookie(await login(served))
    assert (await post(served, "api/trigger", EVENT, headers.replace("{cookie}", opened))).status == status
    assert served.hub.totals(app="1001").published == (status == 200)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b'{"app":"1001","channel":"orders","event":"paid"}', 400),
        (b'{"app":"1001","channel":"or ders","event":"paid","data":1}', 400),
        (b'{"app":"1001","channel":7,"event":"paid","data":1}', 400),
        (b'{"app":"77","channel":"orders","event":"paid","data":1}', 404),
        (b'{"app":"1001","channel":"orders","event":"paid","data":"%s"}' % (b"x" * 20_000), 413),
    ],
)
async def test_what_cannot_be_triggered_is_refused(served, body, status):
    assert (await post(served, "api/trigger", body)).status == status
    assert served.hub.totals().published == 0


async def test_the_console_sees_channels_and_connections_of_every_app(served):
    async with connect(served.hub, KEY) as client:
        await client.subscribe("orders")
        assert (await api(served, "channels?app=1001")).json == {"total": 1, "channels": [["orders", 1, None]]}
        assert (await api(served, "channel?app=1001&name=orders")).json["subscriptions"] == 1
        found = (await api(served, "connections?app=1001")).json
        assert (found["total"], found["connections"][0][1:3]) == (1, [None, 1])
        socket_id = found["connections"][0][0]
        assert (await api(served, f"connection?app=1001&socket_id={socket_id}")).json["channels"] == ["orders"]
        assert (await api(served, "connection?app=1001&socket_id=1.1")).status == 404
        assert (await api(served, "channels?app=1002")).json["total"] == 0
    assert [app["id"] for app in (await api(served, "stats")).json["apps"]] == ["1001", "1002"]


async def test_the_console_hears_every_app(served):
    async with reading(served, "/realtime/console/api/facts?type=Published", BEARER) as reader:
        for app in "1001", "1002":
            await served.hub.trigger("orders", "paid", {}, app=app)
        assert [(await fact(reader))["app"] for _ in range(2)] == ["1001", "1002"]


async def test_the_page_may_load_nothing_from_elsewhere_and_stand_in_no_frame(served):
    for path in "", "/console.js", "/lists.js", "/server.js", "/console.css":
        answer = await served.http("GET", f"/realtime/console{path}")
        policy = answer.headers["content-security-policy"]
        assert answer.status == 200
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert TOKEN.encode() not in answer.body
    assert (await served.http("GET", "/realtime/console/")).headers["location"] == "../console"
    assert (await served.http("GET", "/realtime/console/../embed.py")).status == 404


@pytest.mark.parametrize("token", ["short", "with spaces in the token", "not-ascii-ééééééééé"])
def test_a_token_that_is_easily_guessed_is_refused(token):
    with pytest.raises(UsageError, match="should be 16 or more printable") as refused:
        add_console(web.Application(), Hub(APP), token=token)
    assert token not in str(refused.value)


def test_reports_leave_out_what_clients_say_and_what_urls_may_hide():
    said = ClientEvent(app="1", time=0.0, socket_id="1.1", channel="private-a", event="client-x", text=b"payload")
    assert "payload" not in str(report(said))
    url = "https://user:password@example.com/hook?key=secret"
    told = report(WebhookDelivered(app="1", time=0.0, url=url, events=1, status=200, attempts=1))
    assert told["url"] == "https://example.com/hook"
    assert "Missed" in KINDS
