"""Clients over HTTP, byte for byte: what they are told, and in which response (protocol 9)."""

from __future__ import annotations

import asyncio
import json

import pytest

from relay import App, Hub, Member
from relay.testing import ManualClock
from tests.integration import wire
from tests.integration.over_http import Poller, events_of, lines_of, streaming
from tests.integration.serving import serving, until
from tests.unit.command import CREDENTIALS, port_in
from tests.unit.command import serving as serving_command

APP = App(id="1001", key="app-key", secret="app-secret", client_events=True)
BOTH_DOORS = True
SUBSCRIBE = '{"event":"pusher:subscribe","data":{"channel":"orders"}}'
OTHER_ORIGIN = "Origin: https://other.example\r\n"

pytestmark = pytest.mark.usefixtures("nothing_crashes")


def say(event: str, **data: object) -> str:
    return json.dumps({"event": event, "data": data})


async def test_poll_opens_a_session_and_each_one_ends_with_what_there_is(served):
    client = Poller(served)
    opened, established = await client.poll()
    [event] = events_of([established])
    assert (opened, event["event"]) == ("o", "pusher:connection_established")
    await client.send(SUBSCRIBE)
    assert [event["event"] for event in await client.events()] == ["pusher_internal:subscription_succeeded"]
    for number in range(3):
        await served.hub.trigger("orders", "paid", {"id": number})
    assert [event["data"] for event in await client.events()] == ['{"id":0}', '{"id":1}', '{"id":2}']


async def test_poll_is_held_until_something_happens(served):
    client = await Poller(served).open()
    await client.send(SUBSCRIBE)
    await client.events()
    held = asyncio.create_task(client.events())
    await served.hub.settle()
    await served.hub.trigger("orders", "paid", {"id": 7})
    assert [event["event"] for event in await held] == ["paid"]


async def test_stream_says_all_of_one_turn_of_the_loop_in_one_chunk(served):
    client = Poller(served)
    async with streaming(client) as stream:
        assert await stream.line() == "o"
        assert (await stream.event())["event"] == "pusher:connection_established"
        await client.send(SUBSCRIBE)
        assert (await stream.event())["event"] == "pusher_internal:subscription_succeeded"
        for number in range(3):
            await served.hub.trigger("orders", "paid", {"id": number})
        chunk = await stream.chunk()
    assert [event["data"] for event in events_of(lines_of(chunk))] == ['{"id":0}', '{"id":1}', '{"id":2}']


async def test_stream_is_not_to_be_kept_back_or_changed_on_its_way(served):
    async with streaming(Poller(served)) as stream:
        head = stream.head.decode().lower()
    assert head.startswith("http/1.1 200 ")
    for header in (
        "content-type: application/javascript; charset=utf-8",
        "cache-control: no-store, no-cache, no-transform, must-revalidate, max-age=0",
        "x-accel-buffering: no",
        "access-control-allow-origin: *",
        "transfer-encoding: chunked",
    ):
        assert header in head
    assert "content-encoding" not in head


async def test_stream_to_a_proxy_that_speaks_http_1_0_has_no_chunks(served):
    async with streaming(Poller(served), http="1.0") as stream:
        assert b"chunked" not in stream.head
        assert (await stream.wire.reader.readexactly(2051))[2048:] == b"\no\n"


async def test_browser_of_any_origin_may_ask_before_it_posts_json(served):
    for what in ("xhr", "xhr_streaming", "xhr_send"):
        asked = "Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n"
        answer = await served.http("OPTIONS", f"/pusher/app/app-key/1/abcdefgh/{what}?t=1&n=2", asked)
        assert (answer.status, answer.body) == (204, b"")
        assert {name: value for name, value in answer.headers.items() if name.startswith("access-control-")} == {
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "POST, OPTIONS",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": "86400",
        }


async def test_prefix_comes_before_pusher():
    async with serving(Hub(APP), prefix="/realtime") as served:
        client = Poller(served)
        assert (await client.post("xhr")).status == 404
        client.path = "/realtime" + client.path
        await client.open()


async def test_relay_serve_without_fallbacks_has_no_such_paths():
    for flags, status in ((), 200), (("--no-fallbacks",), 404):
        with serving_command("--port", "0", *CREDENTIALS, *flags) as (_, line):
            answer = await wire.http(port_in(line), "POST", "/pusher/app/app-key/1/abcdefgh/xhr?protocol=7")
            assert answer.status == status


async def test_relay_serve_bounds_its_clients_over_http():
    with serving_command("--port", "0", *CREDENTIALS, "--max-fallback-sessions", "1") as (_, line):
        first, second = [
            await wire.http(port_in(line), "POST", f"/pusher/app/app-key/1/{name}/xhr?protocol=7")
            for name in ("first000", "second00")
        ]
    assert b"pusher:connection_established" in first.body
    assert json.loads(lines_of(second.body)[-1].removeprefix("c")) == [4100, "Over capacity"]


# Re-opening and staying away


async def test_newer_stream_takes_over_without_a_second_opening_or_a_loss(served):
    client = Poller(served)
    async with streaming(client) as first:
        await first.line()
        await first.event()
        await client.send(SUBSCRIBE)
        await first.event()
        async with streaming(client) as second:
            await served.hub.trigger("orders", "paid", {"id": 7})
            assert (await second.event())["event"] == "paid"
            assert await first.chunk() == b""


async def test_what_happens_between_two_requests_is_kept(served):
    client = Poller(served)
    async with streaming(client) as first:
        await first.line()
        await first.event()
        await client.send(SUBSCRIBE)
        await first.event()
    await hung_up(served)
    for number in range(2):
        await served.hub.trigger("orders", "paid", {"id": number})
    async with streaming(client) as second:
        told = events_of([await second.line()])
    assert [event["data"] for event in told] == ['{"id":0}', '{"id":1}']


async def hung_up(served):
    """Return when the server knows that its clients did."""
    async with asyncio.timeout(10):
        while served.sockets:  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(0)


async def test_client_that_stays_away_is_gone_after_10_seconds_and_its_session_with_it():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub) as served:
        client = await Poller(served).open()
        await client.send(SUBSCRIBE)
        await clock.advance(9.9)
        assert hub.stats().connections == 1
        await clock.advance(0.1)
        assert (hub.stats().connections, await hub.channels()) == (0, {})
        assert (await client.post("xhr_send", b"[]")).status == 404
        assert (await client.poll())[0] == "o"


@pytest.mark.parametrize("how", ["reset", "finish"])
async def test_client_that_hangs_up_is_noticed_at_once_and_gone_10_seconds_later(how):
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub) as served:
        async with streaming(Poller(served)) as stream:
            await stream.line()
            getattr(stream.wire, how)()
            await hung_up(served)
        await clock.advance(10)
        assert hub.stats().connections == 0


async def test_silent_stream_and_held_poll_get_a_heartbeat_every_25_seconds():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub) as served:
        poller = await Poller(served, "1/poller00").open()
        held = asyncio.create_task(poller.poll())
        async with streaming(Poller(served, "1/stream00")) as stream:
            await stream.line()
            await stream.event()
            await clock.advance(25)
            assert (await held, await stream.line()) == (["h"], "h")
            held = asyncio.create_task(poller.poll())
            await clock.advance(0)
            await clock.advance(25)
            assert (await held, await stream.line()) == (["h"], "h")
        assert hub.stats().connections == 2


async def test_client_that_answers_heartbeats_lives_and_one_that_does_not_is_closed_with_4201():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub) as served:
        alive, deaf = Poller(served, "1/alive000"), Poller(served, "1/deaf0000")
        async with streaming(alive) as living, streaming(deaf) as dead:
            for stream in living, dead:
                await stream.line()
                await stream.event()
            lines: list[str] = []
            for _ in range(6):
                await clock.advance(25)
                assert await living.line() == "h"
                assert (await alive.post("xhr_send", b"[]")).status == 204
            while not lines or lines[-1][0] != "c":
                lines.append(await dead.line())
        pinged = [event["event"] for line in lines if line[0] == "a" for event in events_of([line])]
        assert (pinged, lines[-1]) == (["pusher:ping"], 'c[4201,"Pong reply not received"]')


# Turning away


@pytest.mark.parametrize(
    ("key", "query", "code"),
    [
        ("nobody", "?protocol=7", 4001),
        ("app-key", "", 4008),
        ("app-key", "?protocol=4", 4007),
        ("app-key", "?protocol=x", 4006),
    ],
)
async def test_refusal_is_told_in_an_open_session_that_then_is_closed(served, key, query, code):
    client = Poller(served, key=key)
    opened, error, closed = await client.poll(query)
    assert (opened, events_of([error])[0]["data"]["code"]) == ("o", code)
    assert json.loads(closed.removeprefix("c"))[0] == code
    assert (await client.post("xhr_send", b"[]")).status == 404


async def test_app_for_tls_only_believes_a_trusted_proxy():
    async with serving(
        Hub(App(id="1", key="app-key", secret="s", tls_only=True)), forwarded_from=["127.0.0.1"]
    ) as served:
        assert (await Poller(served).poll())[-1].startswith("c[4000,")
        await Poller(served, headers="X-Forwarded-Proto: https\r\n").open()


async def test_pages_of_other_origins_are_closed_with_4009():
    app = App(id="1", key="app-key", secret="s", allowed_origins=("https://shop.example",))
    async with serving(Hub(app)) as served:
        assert (await Poller(served, headers=OTHER_ORIGIN).poll())[-1] == 'c[4009,"Origin not allowed"]'
        await Poller(served, headers="Origin: https://shop.example\r\n").open()


async def test_address_with_too_many_connections_is_closed_with_4004_until_one_ends():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub, max_connections_per_address=2) as served:
        for number in range(2):
            await Poller(served, f"1/client0{number}").open()
        assert (await Poller(served, "1/client02").poll())[-1].startswith("c[4004,")
        async with served.websocket("/app/app-key?protocol=7") as websocket:
            assert (await websocket.event())["data"]["code"] == 4004
        await clock.advance(10)
        await Poller(served, "1/client02").open()


async def test_half_open_sessions_are_bounded_and_go_by_themselves():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub, max_fallback_sessions=20) as served:
        told = [(await Poller(served, f"1/client{number:02}").poll())[-1][:7] for number in range(40)]
        assert [line for line in told if line == "c[4100,"] == told[20:]
        assert hub.stats().connections == 20
        await clock.advance(10)
        assert hub.stats().connections == 0
        await Poller(served).open()


async def test_subscriber_without_auth_is_vouched_for_by_the_authorizer(tls):
    async def authorize(request, channel):
        return Member(id=request.headers["X-User"], info={})

    async with serving(Hub(APP), tls=tls, authorize=authorize) as served:
        client = await Poller(served, headers="X-User: ada\r\n").open()
        await client.send(say("pusher:subscribe", channel="presence-room"))
        [joined] = await client.events()
        assert json.loads(joined["data"])["presence"]["ids"] == ["ada"]


# Shutting down


async def test_hub_that_stops_tells_its_clients_over_http_to_come_back(tls):
    hub, before = Hub(APP), asyncio.all_tasks()
    async with serving(hub, tls=tls, patience=20) as served:
        poller = await Poller(served, "1/poller00").open()
        held = asyncio.create_task(poller.poll())
        async with streaming(Poller(served, "1/stream00")) as stream:
            await stream.line()
            await stream.event()
            await until(hub, lambda: hub.stats().connections == 2)
            await served.runner.cleanup()
            told = 'c[4200,"Please reconnect immediately"]'
            assert (await held, await stream.line(), await stream.chunk()) == ([told], told, b"")
    assert asyncio.all_tasks() == before


async def test_closed_session_goes_on_telling_why_for_a_while():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub) as served:
        client = await Poller(served).open()
        await client.send(*['{"event":"nonsense"}'] * 2000)
        assert hub.stats().connections == 0
        while (lines := await client.poll())[-1].startswith("a"):  # a poll takes 64 KiB
            assert len(lines) == 1
        assert lines[-1].startswith("c[1008,")
        assert await client.poll() == lines[-1:]
        await clock.advance(10)
        assert (await client.post("xhr_send", b"[]")).status == 404
