"""What only a socket can do wrong: frames that are none, handshakes that end early, clients that vanish."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from anyio.lowlevel import checkpoint

from relay import App, Hub, Member
from tests.integration import wire
from tests.integration.bad_frames import APP, KEY, NEIGHBOURHOOD, moving_in, say, signed, subscribe
from tests.integration.raw import Client, connect
from tests.integration.serving import Served, serving, until
from tests.integration.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PONG,
    TEXT,
    Closed,
    Frame,
    Wire,
    frame,
    header,
)

pytestmark = pytest.mark.usefixtures("nothing_crashes")

BOTH_DOORS = True
URL = f"/app/{KEY}?protocol=7"
PING = say("pusher:ping").encode()
PONG_EVENT = Frame(TEXT, b'{"event":"pusher:pong","data":"{}"}')
BIG = 1 << 20


@pytest.fixture
async def neighbour(served: Served) -> AsyncIterator[Client]:
    """Somebody in every channel of the neighbourhood, who must notice nothing and get the next events."""
    async with connect(served.hub) as client:
        for text in moving_in(client.socket_id):
            await client.send(text)
        await client.received()
        yield client
        assert await client.received() == []
        await served.hub.trigger(NEIGHBOURHOOD, "paid", "{}")
        assert [event.channel for event in await client.received()] == list(NEIGHBOURHOOD)
        assert served.hub.check() == []


async def greeted(socket: Wire) -> str:
    """The socket id in the first frame."""
    greeting = await socket.event()
    assert greeting["event"] == "pusher:connection_established"
    socket_id: str = json.loads(greeting["data"])["socket_id"]
    return socket_id


# Frames


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"x" * BIG), 1009, id="1 MB"),
        pytest.param(header(0x80 | TEXT, BIG), 1009, id="1 MB announced"),
        pytest.param(header(0x80 | BINARY, 1 << 62), 1009, id="4 EB announced"),
        pytest.param(header(0x80 | TEXT, 1 << 63), 1009, id="a length with its top bit set"),
        pytest.param(frame(TEXT, b"x" * 200_000, final=False) + header(0x80, 100_000), 1009, id="too much in parts"),
        pytest.param(frame(TEXT, b"\xff\xfe"), 1007, id="text that is no UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="a surrogate in UTF-8"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="a close reason that is no UTF-8"),
        pytest.param(frame(TEXT, b"{}", reserved=4), 1002, id="a reserved bit"),
        pytest.param(frame(0x3, b""), 1002, id="an unknown opcode"),
        pytest.param(frame(CONTINUATION, b"{}"), 1002, id="a continuation of nothing"),
        pytest.param(frame(TEXT, b"{", final=False) + frame(TEXT, b"}"), 1002, id="a message inside a message"),
        pytest.param(frame(wire.PING, b"", final=False), 1002, id="half a ping"),
        pytest.param(frame(wire.PING, b"x" * 126), 1002, id="a ping of 126 bytes"),
        pytest.param(frame(CLOSE, b"x"), 1002, id="half a close code"),
        pytest.param(frame(CLOSE, (1006).to_bytes(2, "big")), 1002, id="a close code that is never sent"),
    ],
)
async def test_broken_frame_ends_its_connection_with_the_right_code(data, code, served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(data)
        assert (await socket.closed()).code == code
        await until(served.hub, lambda: served.hub.stats().connections == 1)


async def test_frame_without_a_mask_ends_a_connection_that_we_read_ourselves():
    async with serving(Hub(APP)) as served, served.websocket(URL) as socket:  # behind TLS aiohttp reads, and takes it
        await greeted(socket)
        socket.write(frame(TEXT, PING, masked=False))
        assert (await socket.closed()).code == 1002


async def test_what_came_before_a_broken_frame_is_answered_first(served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(frame(TEXT, PING) + frame(TEXT, b"\xff"))
        assert await socket.receive() == PONG_EVENT
        assert (await socket.closed()).code == 1007


async def test_whoever_breaks_the_rules_is_not_waited_for(served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(frame(TEXT, b"\xff"))
        assert (await socket.closed()).code == 1007
        async with asyncio.timeout(3):  # an answer to a close frame may take 5
            assert await socket.reader.read() == b""


async def test_frame_of_exactly_the_allowed_size_is_understood(served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(frame(TEXT, PING.rjust(APP.max_message_bytes)))
        assert await socket.receive() == PONG_EVENT


async def test_binary_frame_is_refused_and_the_connection_stays(served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(frame(BINARY, PING) + frame(TEXT, PING))
        assert await socket.event() == {
            "event": "pusher:error",
            "data": {"code": None, "message": "Binary messages are not supported: send text"},
        }
        assert await socket.receive() == PONG_EVENT


async def test_message_in_fragments_with_a_ping_between_is_one_message(served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(frame(TEXT, PING[:5], final=False) + frame(CONTINUATION, b"", final=False))
        socket.write(frame(wire.PING, b"between") + frame(CONTINUATION, PING[5:]))
        assert await socket.receive() == Frame(PONG, b"between")
        assert await socket.receive() == PONG_EVENT


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_frames_that_trickle_in_are_understood(size, served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        data = frame(TEXT, PING) + frame(wire.PING, b"")
        for start in range(0, len(data), size):
            socket.write(data[start : start + size])
            await checkpoint()
        assert await socket.receive() == PONG_EVENT
        assert await socket.receive() == Frame(PONG, b"")


async def test_flood_of_broken_text_ends_with_1008(served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(frame(TEXT, b"x") * 1001)
        told = [await socket.event() for _ in range(1001)]
        assert {event["data"]["code"] for event in told[:-1]} == {None}
        assert told[-1]["data"] == {"code": 1008, "message": "Too many invalid messages"}
        assert await socket.closed() == Closed(1008, "Too many invalid messages")


@pytest.mark.parametrize("sign_of_life", [frame(wire.PING, b"hi"), frame(BINARY, b""), frame(TEXT, b"rubbish")])
async def test_any_frame_counts_as_activity(sign_of_life, served):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        await served.hub.clock.advance(119)
        socket.write(sign_of_life)
        await socket.receive()
        await served.hub.clock.advance(119)
        socket.write(frame(TEXT, PING))
        assert await socket.receive() == PONG_EVENT  # and no ping before it


async def test_silent_socket_is_pinged_and_then_closed_with_4201(served):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        await served.hub.clock.advance(120)
        assert await socket.receive() == Frame(wire.PING, b"")
        await served.hub.clock.advance(30)
        assert await socket.closed() == Closed(4201, "Pong reply not received")
        assert served.hub.stats().connections == 0


# Ends


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe9going away", b"\x0f\xa1"])
async def test_clients_close_is_answered_with_its_code_and_nothing_after_it(payload, served, neighbour):
    async with served.websocket(URL) as socket:
        await greeted(socket)
        socket.write(frame(CLOSE, payload) + frame(TEXT, PING))
        assert await socket.receive() == Frame(CLOSE, payload[:2])
        assert await socket.reader.read() == b""
        await until(served.hub, lambda: served.hub.stats().connections == 1)


async def test_member_whose_connection_is_reset_is_removed(served):
    async with connect(served.hub) as witness, served.websocket(URL) as socket:
        await witness.subscribe("presence-room", Member("witness"))
        socket.send(signed("presence-room", '{"user_id":"ada"}')(await greeted(socket)))
        await socket.receive()
        socket.reset()
        seen = [(event.event, event.data) for event in [await witness.receive() for _ in range(3)][1:]]
        assert seen == [
            ("pusher_internal:member_added", {"user_id": "ada"}),
            ("pusher_internal:member_removed", {"user_id": "ada"}),
        ]
        assert served.hub.check() == []


class Authorizer:
    """Lets everybody in as ada, once the test allows it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, request: web.Request, channel: str) -> Member | bool:
        self.asked.set()
        await self.may_answer.wait()
        return Member("ada")


async def test_reset_in_the_middle_of_a_subscribe_leaves_nobody_behind(tls):
    authorizer, hub = Authorizer(), Hub(APP)
    async with serving(hub, authorize=authorizer, tls=tls) as served, connect(hub) as witness:
        await witness.subscribe("presence-room", Member("witness"))
        async with served.websocket(URL) as socket:
            await greeted(socket)
            socket.send(subscribe("presence-room"))
            await authorizer.asked.wait()
            socket.reset()
        authorizer.may_answer.set()
        await until(hub, lambda: hub.stats().connections == 1)
        await hub.settle()
        assert await hub.members("presence-room") == [Member("witness")]
        told = [event.event.removeprefix("pusher_internal:member_") for event in (await witness.received())[1:]]
        assert told in ([], ["added", "removed"])
        assert hub.check() == []


async def test_shutdown_in_the_middle_of_a_subscribe_closes_the_socket_with_4200(tls):
    authorizer, hub = Authorizer(), Hub(APP)
    async with serving(hub, authorize=authorizer, tls=tls) as served, served.websocket(URL) as socket:
        await greeted(socket)
        socket.send(subscribe("presence-room"))
        await authorizer.asked.wait()
        hub.close()
        authorizer.may_answer.set()
        assert await socket.closed() == Closed(4200, "Please reconnect immediately")


async def test_shutdown_ends_as_soon_as_the_clients_have_answered_their_close(tls):
    async with serving(Hub(APP), patience=10, tls=tls) as served, served.websocket(URL) as socket:
        await greeted(socket)
        async with asyncio.timeout(3), asyncio.TaskGroup() as tasks:
            tasks.create_task(served.runner.cleanup())
            assert await socket.closed() == Closed(4200, "Please reconnect immediately")
            socket.write(frame(CLOSE, (4200).to_bytes(2, "big")))
            assert await socket.reader.read() == b""
            await socket.close()


# Handshakes


@pytest.mark.parametrize(
    ("app", "target", "code", "message"),
    [
        pytest.param(
            {}, "/app/other?protocol=7", 4001,
            "App key other not in this cluster. Did you forget to specify the cluster?",
            id="unknown key",
        ),
        pytest.param({"enabled": False}, URL, 4003, "App is disabled", id="disabled"),
        pytest.param({"max_connections": 1}, URL, 4004, "Over connection quota", id="over quota"),
        pytest.param({}, f"/app/{KEY}/more?protocol=7", 4005, "Path not found", id="a longer path"),
        pytest.param(
            {}, f"/app/{KEY}?protocol=seven", 4006, "Invalid protocol version: should be 5, 6 or 7", id="no number"
        ),
        pytest.param(
            {}, f"/app/{KEY}?protocol=4", 4007, "Unsupported protocol version: should be 5, 6 or 7", id="too old"
        ),
        pytest.param(
            {}, f"/app/{KEY}?protocol=8", 4007, "Unsupported protocol version: should be 5, 6 or 7", id="too new"
        ),
        pytest.param({}, f"/app/{KEY}", 4008, "No protocol version: add protocol=7 to the URL", id="no protocol"),
        pytest.param(
            {}, f"/app/{KEY}?protocol=", 4008, "No protocol version: add protocol=7 to the URL", id="empty protocol"
        ),
    ],
)  # fmt: skip
async def test_refused_client_is_let_in_told_why_and_closed_with_the_code(app, tls, target, code, message):
    hub = Hub(App(id="1001", key=KEY, secret="s", **app))
    async with serving(hub, tls=tls) as served, served.websocket(URL), served.websocket(target) as socket:
        assert await socket.event() == {"event": "pusher:error", "data": {"code": code, "message": message}}
        assert await socket.closed() == Closed(code, message)
        socket.write(frame(CLOSE, code.to_bytes(2, "big")))
        assert await socket.reader.read() == b""


async def test_client_that_comes_without_tls_to_an_app_that_wants_it_is_told_so():
    hub = Hub(App(id="1001", key=KEY, secret="s", tls_only=True))
    async with serving(hub) as served, served.websocket(URL) as socket:
        assert (await socket.event())["data"]["message"] == "App accepts TLS only: connect with wss"
        assert (await socket.closed()).code == 4000


async def test_client_above_the_capacity_of_the_process_is_closed_with_4100(tls):
    async with serving(Hub(APP, max_connections=1), tls=tls) as served, served.websocket(URL) as first:
        await greeted(first)
        async with served.websocket(URL) as socket:
            assert (await socket.event())["data"] == {"code": 4100, "message": "Over capacity"}
            assert await socket.closed() == Closed(4100, "Over capacity")
        first.write(frame(TEXT, PING))
        assert await first.receive() == PONG_EVENT


async def test_quota_counts_living_connections_only(tls):
    hub = Hub(App(id="1001", key=KEY, secret="s", max_connections=1))
    async with serving(hub, tls=tls) as served:
        async with served.websocket(URL) as first:
            await greeted(first)
            first.reset()
            await until(hub, lambda: hub.stats().connections == 0)
        async with served.websocket(URL) as second:
            assert await greeted(second)


async def test_endless_key_is_answered_with_a_reason_that_fits_a_close_frame(served):
    async with served.websocket(f"/app/{'%C3%A9' * 500}?protocol=7") as socket:
        message = (await socket.event())["data"]["message"]
        code, reason = await socket.closed()
        assert (code, message[: len(reason)], len(reason.encode()) <= 123) == (4001, reason, True)
        assert len(message) < 200


async def test_refused_client_that_never_answers_the_close_is_not_listened_to(served, neighbour):
    async with served.websocket("/app/other?protocol=7") as socket:
        socket.send(say("pusher:subscribe", {"channel": "orders"}))
        assert (await socket.event())["data"]["code"] == 4001
        assert (await socket.closed()).code == 4001
        assert served.hub.stats().connections == 1


async def test_plain_get_is_asked_to_upgrade(served, neighbour):
    answer = await served.http("GET", URL)
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.body == b"This is a WebSocket endpoint\n"


@pytest.mark.parametrize("headers", ["Upgrade: h2c\r\n", "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n"])
async def test_strange_upgrade_is_refused_as_http(headers, served, neighbour):
    answer = await served.http("GET", URL, headers=headers)
    assert answer.status in (400, 426)


@pytest.mark.parametrize("size", [0, 1, 40, -1])
async def test_handshake_that_ends_early_leaves_nothing(size, served, neighbour):
    request = wire.upgrade(URL)
    async with served.dial() as socket:
        socket.write(request[: len(request) + size if size < 0 else size])
    async with served.websocket(URL) as next_one:
        await greeted(next_one)
        assert served.hub.stats().connections == 2


async def test_client_that_vanishes_right_after_its_handshake_leaves_nothing(served, neighbour):
    async with served.dial() as socket:
        socket.write(wire.upgrade(URL))
        await until(served.hub, lambda: served.hub.stats().connections == 2)
        socket.reset()
        await until(served.hub, lambda: served.hub.stats().connections == 1)


async def test_frames_sent_before_the_greeting_are_handled(served):
    async with served.dial() as socket:
        socket.write(wire.upgrade(URL) + frame(TEXT, PING))
        assert (await socket.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await greeted(socket)
        assert await socket.receive() == PONG_EVENT


@pytest.mark.parametrize("half", [b"", b"GET ", wire.upgrade(URL)[:-2]])
async def test_half_open_handshake_does_not_hold_up_a_shutdown(half, tls):
    async with serving(Hub(APP), tls=tls) as served, served.dial() as waiting:
        waiting.write(half)
        async with served.websocket(URL) as socket:
            await greeted(socket)
            served.hub.close()
            assert (await socket.closed()).code == 4200
        async with asyncio.timeout(5):
            await served.runner.cleanup()
