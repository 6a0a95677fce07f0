"""What each client SDK really sends, and what it needs back: the quirks of protocol 11.1. Those of servers, 11.2, are
in test_server_quirks.py.

Rows that have their proof elsewhere, where the SDK itself runs:

    pusher-js 3.0 and 8.6      tests/e2e (Chromium and Node), fallbacks included
    pusher-js 4 to 7, Echo     tests/conformance
    Pysher, asyncpusher        tests/conformance; the ping before the handshake is played here too
    React Native, Flutter      wrap Java and Swift
    odd forms of data, error objects without a channel key
                               test_bad_frames.py
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import pytest

from relay import App, Hub, Member
from relay.testing import ManualClock
from tests.integration.raw import connect
from tests.integration.serving import Served, serving
from tests.integration.signer import KEY, NOW, SECRET
from tests.integration.wire import PING, PONG, TEXT, Frame, Wire, frame, upgrade, websocket

pytestmark = pytest.mark.usefixtures("nothing_crashes")

MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
APP = App(id="1001", key=KEY, secret=SECRET, client_events=True, encryption_master_key=MASTER_KEY)
ACK = "pusher_internal:subscription_succeeded"
PONG_EVENT = {"event": "pusher:pong", "data": "{}"}
JAVA = f"/app/{KEY}?client=java-client&protocol=5&version=2.4.4"
DOTNET = f"/app/{KEY}?protocol=5&client=pusher-dotnet-client&version=2.2.1"
SWIFT = f"/app/{KEY}?client=pusher-websocket-swift&version=10.1.5&protocol=7"
PYSHER = f"/app/{KEY}?client=Pysher&version=1.0.8&protocol=6"
LIB_PUSHER = f"/app/{KEY}?protocol=6&client=libPusher&version=1.6.5"
RUBY = f"/app/{KEY}?client=pusher-ruby-client&protocol=6&version=0.7.0"
PUSHER_JS = f"/app/{KEY}?protocol=7&client=js&version=8.6.0&flash=false"
OLD_JS = f"/app/{KEY}?protocol=5&client=js&version=1.12.7&flash=false"
CLIENTS = [JAVA, DOTNET, SWIFT, PYSHER, LIB_PUSHER, RUBY, PUSHER_JS, OLD_JS]
names = pytest.mark.parametrize("url", CLIENTS, ids=lambda url: url.partition("client=")[2].partition("&")[0])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(unix=NOW)


@pytest.fixture
async def served(clock: ManualClock) -> AsyncIterator[Served]:
    async with serving(Hub(APP, clock=clock)) as served:
        yield served


async def greeted(socket: Wire) -> str:
    """The socket id, as all SDKs read it: `data` is a string."""
    greeting = await socket.event()
    assert greeting.keys() == {"event", "data"}, "Pysher routes whatever has a channel key"
    data = json.loads(greeting["data"])
    assert data["activity_timeout"] > 0
    socket_id: str = data["socket_id"]
    return socket_id


def auth(socket_id: str, channel: str, channel_data: str | None = None) -> str:
    string = f"{socket_id}:{channel}" if channel_data is None else f"{socket_id}:{channel}:{channel_data}"
    return f"{KEY}:{hmac.new(SECRET.encode(), string.encode(), hashlib.sha256).hexdigest()}"


def subscribe(channel: str, **data: object) -> str:
    return json.dumps({"event": "pusher:subscribe", "data": {**data, "channel": channel}})


# Clients


@names
async def test_every_client_is_greeted_and_gets_data_as_strings(url, served):
    async with websocket(served.port, url) as socket:
        await greeted(socket)
        socket.send(subscribe("orders"))
        assert await socket.event() == {"event": ACK, "channel": "orders", "data": "{}"}
        await served.hub.trigger("orders", "paid", {"id": 7})
        assert await socket.event() == {"event": "paid", "channel": "orders", "data": '{"id":7}'}


@names
async def test_every_client_reads_an_error_as_an_object_without_a_channel(url, served):
    async with websocket(served.port, url) as socket:
        await greeted(socket)
        socket.send(subscribe("private-room", auth=f"{KEY}:forged"))
        error = await socket.event()
        assert error.keys() == {"event", "data"}
        assert error["event"] == "pusher:error"
        assert (error["data"]["code"], type(error["data"]["message"])) == (None, str)


@pytest.mark.parametrize("url", [OLD_JS, JAVA, PYSHER, PUSHER_JS])
async def test_unknown_key_is_told_in_an_error_before_the_close_for_those_who_ignore_codes(url, served):
    async with websocket(served.port, url.replace(KEY, "other")) as socket:
        error = await socket.event()
        assert (error["event"], error["data"]["code"]) == ("pusher:error", 4001)
        assert (await socket.closed()).code == 4001


@pytest.mark.parametrize(
    ("url", "text"),
    [
        pytest.param(JAVA, '{"event":"pusher:ping"}', id="Java and libPusher: no data"),
        pytest.param(PYSHER, '{"event":"pusher:ping","data":""}', id="Pysher: an empty string"),
        pytest.param(PUSHER_JS, '{"event":"pusher:ping","data":{}}', id="pusher-js: an object"),
    ],
)
async def test_ping_of_each_form_is_answered(url, text, served):
    async with websocket(served.port, url) as socket:
        await greeted(socket)
        socket.send(text)
        assert await socket.event() == PONG_EVENT


async def test_pysher_pings_before_it_was_greeted_and_gets_its_pong_after_the_greeting(served):
    async with served.dial() as socket:
        socket.write(upgrade(PYSHER) + frame(TEXT, b'{"event": "pusher:ping", "data": ""}'))
        await socket.reader.readuntil(b"\r\n\r\n")
        await greeted(socket)
        assert await socket.event() == PONG_EVENT


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"event":"pusher:pong","data":null}', id="Ruby"),
        pytest.param('{"event":"pusher:pong","data":""}', id="Pysher"),
        pytest.param('{"event":"pusher:pong","data":{}}', id="pusher-js"),
        pytest.param('{"event":"pusher:pong"}', id="none"),
    ],
)
async def test_pong_of_each_form_is_taken_without_an_answer(text, served):
    async with websocket(served.port, RUBY) as socket:
        await greeted(socket)
        socket.send(text)
        socket.send('{"event":"pusher:ping"}')
        assert await socket.event() == PONG_EVENT


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"channel": "orders"}, id="Java, Swift"),
        pytest.param({"auth": "", "channel": "orders"}, id="pusher-js"),
        pytest.param({"auth": None, "channel_data": None, "channel": "orders"}, id="Ruby"),
        pytest.param({"auth": "", "channel_data": "", "channel": "orders"}, id="libPusher"),
    ],
)
async def test_public_subscribe_of_each_form_is_acknowledged(data, served):
    async with websocket(served.port, RUBY) as socket:
        await greeted(socket)
        socket.send(json.dumps({"event": "pusher:subscribe", "data": data}))
        assert await socket.event() == {"event": ACK, "channel": "orders", "data": "{}"}


async def test_swift_lower_cases_the_auth_that_it_signs_itself(served):
    async with websocket(served.port, SWIFT) as socket:
        socket_id = await greeted(socket)
        socket.send(subscribe("private-Room", auth=auth(socket_id, "private-Room").lower()))
        assert (await socket.event())["event"] == ACK


@pytest.mark.parametrize("url", [JAVA, SWIFT, DOTNET, LIB_PUSHER])
async def test_who_never_answers_a_ping_event_is_pinged_by_the_websocket(url, served, clock):
    async with websocket(served.port, url) as socket:
        await greeted(socket)
        for _ in range(3):
            await clock.advance(120)
            assert await socket.receive() == Frame(PING, b"")
            socket.write(frame(PONG, b""))
            socket.send('{"event":"pusher:ping"}')
            assert await socket.event() == PONG_EVENT


async def test_dotnet_and_swift_ping_by_the_websocket_and_stay(served, clock):
    async with websocket(served.port, DOTNET) as socket:
        await greeted(socket)
        for second in range(5):
            await clock.advance(100)
            socket.write(frame(PING, b"%d" % second))
            assert await socket.receive() == Frame(PONG, b"%d" % second)


async def test_dotnet_and_echo_find_every_id_in_the_hash(served):
    async with connect(served.hub, KEY) as ada, websocket(served.port, DOTNET) as socket:
        await ada.subscribe("presence-room", Member("ada"))
        socket_id = await greeted(socket)
        me = '{"user_id":7}'
        socket.send(subscribe("presence-room", auth=auth(socket_id, "presence-room", me), channel_data=me))
        presence = json.loads((await socket.event())["data"])["presence"]
        assert presence == {"count": 2, "ids": ["ada", "7"], "hash": {"ada": None, "7": None}}


async def test_java_and_js_send_client_events_as_they_like_and_swift_gets_a_string(served):
    async with websocket(served.port, JAVA) as java, websocket(served.port, SWIFT) as swift:
        for socket in (java, swift):
            socket_id = await greeted(socket)
            socket.send(subscribe("private-room", auth=auth(socket_id, "private-room")))
            assert (await socket.event())["event"] == ACK
        java.send('{"event":"client-typing","channel":"private-room","data":"{\\"who\\":\\"ada\\"}"}')
        java.send('{"event":"client-typing","channel":"private-room","data":{"who":"ada"}}')
        for _ in range(2):
            assert (await swift.event())["data"] == '{"who":"ada"}'


async def test_java_gets_nothing_on_an_encrypted_channel_that_it_could_not_decrypt(clock):
    counting = App(id="1001", key=KEY, secret=SECRET, encryption_master_key=MASTER_KEY, subscription_counts=True)
    channel = "private-encrypted-cache-a"
    async with serving(Hub(counting, clock=clock)) as served, websocket(served.port, JAVA) as socket:
        socket_id = await greeted(socket)
        socket.send(subscribe(channel, auth=auth(socket_id, channel)))
        assert [(await socket.event())["data"] for _ in range(2)] == ["{}", "{}"]  # acknowledgement, cache miss
        await served.hub.settle()
        await served.hub.trigger(channel, "paid", {"id": 7})
        assert json.loads((await socket.event())["data"]).keys() == {"nonce", "ciphertext"}


async def test_pusher_js_unsubscribes_right_after_the_acknowledgement(served):
    async with websocket(served.port, PUSHER_JS) as socket:
        await greeted(socket)
        for _ in range(2):
            socket.send(subscribe("orders", auth=""))
            assert (await socket.event())["event"] == ACK
            socket.send('{"event":"pusher:unsubscribe","data":{"channel":"orders"}}')
        socket.send('{"event":"pusher:ping","data":{}}')
        assert await socket.event() == PONG_EVENT


@pytest.mark.parametrize("event", ["App\\Events\\OrderPaid", "order.paid", ".OrderPaid", "Order:Paid"])
async def test_echo_names_events_after_classes(event, served):
    async with websocket(served.port, PUSHER_JS) as socket:
        await greeted(socket)
        socket.send(subscribe("orders", auth=""))
        await socket.event()
        await served.hub.trigger("orders", event, "")
        assert (await socket.event())["event"] == event
