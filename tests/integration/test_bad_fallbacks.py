"""What clients over HTTP get wrong, on purpose or not: each has its answer, nobody else notices (protocol 1.9, 9)."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import pytest

from relay import App, Hub, Member
from relay.facts import SlowConsumer
from relay.testing import ManualClock
from tests.integration.bad_frames import APP, BAD_FRAMES
from tests.integration.over_http import QUERY, Poller, events_of, streaming
from tests.integration.serving import serving, until
from tests.integration.wire import PATIENCE, dial

PROXY = ["127.0.0.1"]
HOME, ELSEWHERE = "X-Forwarded-For: 192.0.2.1\r\n", "X-Forwarded-For: 198.51.100.7\r\n"
SUBSCRIBE = '{"event":"pusher:subscribe","data":{"channel":"orders"}}'
MOST = 2 * APP.max_message_bytes + 1024

pytestmark = pytest.mark.usefixtures("nothing_crashes")


@pytest.mark.parametrize("bad", BAD_FRAMES, ids=[bad.name for bad in BAD_FRAMES])
async def test_bad_frame_gets_its_one_error(served, bad):
    client = await Poller(served).open()
    await client.send(*bad.frames(client.socket_id), '{"event":"pusher:ping"}')
    events = await client.events()
    while events[-1]["event"] != "pusher:pong":
        events += await client.events()
    assert [bad.seen(event) for event in events if event["event"] == "pusher:error"] == [bad.expected]
    assert served.hub.check() == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'[["x"]]', b'["open', b"\xff", b"[" * 50_000, b"data=x", b'"text"', b"[null]"]
)
async def test_body_that_is_no_array_of_strings_is_answered_with_400_and_the_session_lives(served, body):
    client = await Poller(served).open()
    answer = await client.post("xhr_send", body)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (400, "*")
    assert b"must be a JSON array of strings" in answer.body
    await client.send('{"event":"pusher:ping"}')
    assert [event["event"] for event in await client.events()] == ["pusher:pong"]


async def test_body_that_is_too_large_is_answered_with_413_before_it_is_all_there(served):
    client = await Poller(served).open()
    async with dial(served.port) as wire:
        head = f"POST {client.path}/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n"
        wire.write(head.encode() + b"x" * (MOST + 1))
        assert await wire.reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    await client.send('{"event":"pusher:ping"}')
    assert [event["event"] for event in await client.events()] == ["pusher:pong"]


async def test_endless_chunks_and_a_compressed_bomb_are_answered_with_413(served):
    client = await Poller(served).open()
    bomb = zlib.compress(b"x" * (64 << 20))
    for header, body in (
        ("Transfer-Encoding: chunked", b"4000\r\n" + b"x" * 0x4000 + b"\r\n"),
        (f"Content-Encoding: deflate\r\nContent-Length: {len(bomb)}", b""),
    ):
        async with dial(served.port) as wire:
            wire.write(f"POST {client.path}/xhr_send HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            wire.write(body * 40 or bomb)
            assert await wire.reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"


async def test_body_that_does_not_come_is_answered_with_408_and_the_session_lives(served, monkeypatch):
    monkeypatch.setattr("relay_transports.aiohttp.fallbacks._BODY_SECONDS", 0.05)
    client = await Poller(served).open()
    async with dial(served.port) as wire:
        wire.write(f"POST {client.path}/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[".encode())
        assert await wire.reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
    await client.send('{"event":"pusher:ping"}')
    assert [event["event"] for event in await client.events()] == ["pusher:pong"]


async def test_message_that_is_too_large_ends_the_connection_as_on_a_websocket(served):
    client = await Poller(served).open()
    await client.send("x" * APP.max_message_bytes)
    assert [event["event"] for event in await client.events()] == ["pusher:error"]
    await client.send("x" * (APP.max_message_bytes + 1))
    assert await client.poll() == ['c[1009,"message too big: the limit is 262144 bytes"]']


async def test_message_for_no_session_is_answered_with_404(served):
    for path in ("app-key/1/abcdefgh", "nobody/1/abcdefgh"):
        answer = await served.http("POST", f"/pusher/app/{path}/xhr_send", body=b"[]")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (404, "*")
    assert served.hub.stats().connections == 0


@pytest.mark.parametrize(
    "path",
    [
        "1/abcdefgh/xhr_stream",
        "1000/abcdefgh/xhr",
        "x/abcdefgh/xhr",
        "1/ab.cd/xhr",
        f"1/{'a' * 33}/xhr",
        "1//xhr",
        "1/xhr",
    ],
)
async def test_path_that_names_no_session_is_not_found(served, path):
    assert (await served.http("POST", f"/pusher/app/app-key/{path}{QUERY}")).status == 404


async def test_method_that_is_not_post_is_not_allowed(served):
    for method in ("GET", "PUT", "DELETE"):
        assert (await served.http(method, f"/pusher/app/app-key/1/abcdefgh/xhr{QUERY}")).status == 405


# Sessions of others


@pytest.mark.parametrize("stranger", [ELSEWHERE, HOME + "Origin: https://evil.example\r\n"], ids=["address", "origin"])
async def test_session_whose_name_was_stolen_answers_nobody_else_and_its_client_loses_nothing(stranger):
    hub = Hub(APP, clock=ManualClock())
    async with serving(hub, forwarded_from=PROXY) as served:
        owner = await Poller(served, headers=HOME).open()
        thief = Poller(served, headers=stranger)
        held = asyncio.create_task(owner.events())
        await hub.settle()
        for what, body in (("xhr", b""), ("xhr_streaming", b""), ("xhr_send", json.dumps([SUBSCRIBE]).encode())):
            assert (await thief.post(what, body)).status == 404
        await owner.send(SUBSCRIBE)
        assert [event["event"] for event in await held] == ["pusher_internal:subscription_succeeded"]
        assert hub.stats().connections == 1


async def test_client_with_another_address_of_its_ipv6_network_is_the_same():
    async with serving(Hub(APP), forwarded_from=PROXY) as served:
        client = await Poller(served, headers="X-Forwarded-For: 2001:db8::1\r\n").open()
        client.headers = "X-Forwarded-For: 2001:db8::2:1\r\n"
        await client.send(SUBSCRIBE)
        client.headers = "X-Forwarded-For: 2001:db8:0:1::1\r\n"
        assert (await client.post("xhr_send", b"[]")).status == 404


async def test_same_name_with_another_key_is_another_session():
    hub = Hub(APP, App(id="2", key="other", secret="s"))
    async with serving(hub) as served:
        one, two = await Poller(served).open(), await Poller(served, key="other").open()
        assert one.socket_id != two.socket_id
        assert hub.stats().connections == 2


# Too much, too slow, too long


async def test_half_open_sessions_are_no_more_than_the_bound_allows_however_many_are_tried():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub, max_fallback_sessions=100) as served, dial(served.port) as wire:
        for number in range(1_000):
            path = f"/pusher/app/app-key/1/{number:08}/xhr{QUERY}"
            wire.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            head = await wire.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await wire.reader.readexactly(size)
            assert (b"c[4100," in body) is (number >= 100)
        assert hub.stats().connections == 100
        await clock.advance(10)
        assert hub.stats().connections == 0


async def test_requests_that_wait_for_their_turn_are_bounded():
    asked, free = asyncio.Event(), asyncio.Event()

    async def authorize(request, channel):
        asked.set()
        await free.wait()
        return Member(id="ada")

    async with serving(Hub(APP), authorize=authorize) as served:
        client = await Poller(served).open()
        join, ping = (
            [json.dumps({"event": event, "data": {"channel": "private-x"}})]
            for event in ("pusher:subscribe", "pusher:ping")
        )
        requests = [asyncio.create_task(client.post("xhr_send", json.dumps(join).encode()))]
        await asked.wait()
        requests += [asyncio.create_task(client.post("xhr_send", json.dumps(ping).encode())) for _ in range(64)]
        [refused], waiting = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
        assert (refused.result().status, len(waiting)) == (429, 64)
        assert (await client.post("xhr_send", b"[]")).status == 204
        free.set()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {204}


async def test_stream_that_is_not_read_is_bounded_and_closed_with_4100():
    app = App(id="1", key="app-key", secret="s", max_backlog=100_000)
    hub = Hub(app)
    slow: list[SlowConsumer] = []
    hub.on(SlowConsumer, slow.append)
    async with serving(hub) as served, dial(served.port, receive_buffer=4096) as wire:
        client = Poller(served)
        wire.write(f"POST {client.path}/xhr_streaming{QUERY} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        await wire.reader.readuntil(b"connection_established")
        await client.send(SUBSCRIBE)
        for _ in range(5000):
            await hub.trigger("orders", "paid", "x" * 9000)
            await asyncio.sleep(0)
            if slow:
                break
        await until(hub, lambda: hub.stats().connections == 0)
    assert [fact.socket_id is not None for fact in slow] == [True]


async def test_policy_that_drops_keeps_a_slow_stream_and_counts_what_it_lost():
    app = App(id="1", key="app-key", secret="s", max_backlog=100_000, slow_consumers="drop_oldest")
    hub = Hub(app)
    async with serving(hub) as served:
        client = Poller(served)
        async with streaming(client) as stream:
            await stream.line()
            await stream.event()
            await client.send(SUBSCRIBE)
            await stream.event()
            for number in range(2000):
                await hub.trigger("orders", "paid", f"{number} {'x' * 9000}")
            await hub.trigger("orders", "done", "")
            events = await read_until(stream, "done")
        assert (len(events) - 1) + hub.stats().lost == 2000
        assert hub.stats().connections == 1


async def read_until(stream, name):
    events: list[dict[str, Any]] = []
    while not events or events[-1]["event"] != name:
        events += events_of([await stream.line()])
    return events


async def test_poll_held_open_for_ever_holds_no_more_than_its_session():
    hub = Hub(APP, clock=(clock := ManualClock()))
    async with serving(hub) as served, dial(served.port) as wire:
        client = await Poller(served).open()
        wire.write(f"POST {client.path}/xhr{QUERY} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        await client.post("xhr_send", b"[]")  # on another connection, so the poll is there when this is answered
        await clock.advance(25)
        async with asyncio.timeout(PATIENCE):
            assert (await wire.reader.readuntil(b"h\n")).startswith(b"HTTP/1.1 200 ")
        await clock.advance(10)
        assert hub.stats().connections == 0
