"""What each SDK really sends, and what it needs back: the quirk columns of protocol 11.

Rows that have their proof elsewhere, where the SDK itself runs:

    pusher-js 3.0 and 8.6      tests/e2e (Chromium and Node), fallbacks included
    pusher-js 4 to 7, Echo     tests/conformance
    Pysher, asyncpusher        tests/conformance; the ping before the handshake is played here too
    Python, Node (server)      tests/e2e/test_server_sdks.py; what they may do and these versions do not is played here
    React Native, Flutter      wrap Java and Swift
    unescaped and escaped queries, parameters in any order, upper-case hex, a literal +, the unsigned prefix of PHP,
    the path that Python terminates users at, every lenient form of an event
                               test_bad_requests.py
    odd forms of data, error objects without a channel key
                               test_bad_frames.py
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from relay import App, Hub, Member
from relay.testing import ManualClock
from tests.integration.raw import connect
from tests.integration.serving import Served, serving
from tests.integration.signer import KEY, NOW, SECRET, authentic, escaped, md5, raw, signature
from tests.integration.wire import PING, PONG, TEXT, Answer, Frame, Wire, frame, http, upgrade, websocket

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
        await ask(served, "POST", "/apps/1001/events", {"name": event, "data": "{}", "channels": ["orders"]})
        assert (await socket.event())["event"] == event


# Servers


@dataclass(frozen=True)
class Sdk:
    """How a server SDK puts a request together."""

    library: str
    escapes: bool = False
    signature_first: bool = False
    md5_always: bool = False
    content_type: bool = False

    def request(self, method: str, path: str, body: bytes, query: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """Target and headers."""
        pairs = [*authentic(body), *query]
        if self.md5_always and not body:
            pairs.append(("body_md5", md5(b"")))
        signed = ("auth_signature", signature(method, path, pairs))
        pairs = [signed, *pairs] if self.signature_first else [*pairs, signed]
        headers = f"X-Pusher-Library: {self.library}\r\n" if self.library else ""
        if body or self.content_type:
            headers += "Content-Type: application/json\r\n"
        return f"{path}?{(escaped if self.escapes else raw)(pairs)}", headers


SDKS = {
    "Ruby": Sdk("pusher-http-ruby 2.0.3", escapes=True),
    "Python": Sdk("pusher-http-python 3.3.2", md5_always=True, content_type=True),
    "Node": Sdk("pusher-http-node 5.2.0"),
    "PHP": Sdk("pusher-http-php 7.2.7", content_type=True),
    "Go": Sdk("pusher-http-go 5.1.1"),
    "Java": Sdk("", escapes=True),
    ".NET": Sdk("pusher-http-dotnet 5.0.0", signature_first=True),
    "Swift": Sdk("pusher-http-swift 0.2.0", escapes=True),
}
every_sdk = pytest.mark.parametrize("sdk", SDKS.values(), ids=list(SDKS))


async def ask(
    served: Served, method: str, path: str, body: object = None, *query: tuple[str, str], sdk: Sdk | None = None
) -> Answer:
    """A request of an SDK, answered well; None is no body."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    url, headers = (sdk or SDKS["Node"]).request(method, path, content, query)
    answer = await http(served.port, method, url, content, headers)
    assert 200 <= answer.status < 300, answer.body
    return answer


def strict(answer: Answer) -> Any:
    """What PHP (exactly 200), Ruby and .NET (an object) make of a success."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json, dict)
    return answer.json


@every_sdk
@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"channel": "orders"}, id="channel: PHP for one"),
        pytest.param({"channels": ["orders"]}, id="channels: Node for one too"),
        pytest.param({"channels": ["orders"], "socket_id": None, "info": ""}, id="nothing said: Ruby"),
    ],
)
async def test_publish_of_every_sdk_is_an_object_and_200(sdk, event, served):
    async with connect(served.hub, KEY) as reader:
        await reader.subscribe("orders")
        await reader.received()
        body = {"name": "paid", "data": '{"note":"caf\u00e9"}', **event}
        assert strict(await ask(served, "POST", "/apps/1001/events", body, sdk=sdk)) == {}
        assert [event.data for event in await reader.received()] == [{"note": "caf\u00e9"}]


@every_sdk
async def test_queries_of_every_sdk_have_types_that_go_and_swift_decode(sdk, served):
    assert strict(await ask(served, "GET", "/apps/1001/channels", sdk=sdk)) == {"channels": {}}  # PHP: no []
    async with connect(served.hub, KEY) as reader:
        await reader.subscribe("presence-room", Member("7"))
        info = ("info", "user_count,subscription_count")
        listed = strict(
            await ask(served, "GET", "/apps/1001/channels", None, ("filter_by_prefix", "presence-"), info, sdk=sdk)
        )
        assert listed == {"channels": {"presence-room": {"user_count": 1}}}
        one = strict(await ask(served, "GET", "/apps/1001/channels/presence-room", None, info, sdk=sdk))
        assert (one["occupied"], one["user_count"]) == (True, 1)
        assert type(one["user_count"]) is int
        users = strict(await ask(served, "GET", "/apps/1001/channels/presence-room/users", sdk=sdk))
        assert users == {"users": [{"id": "7"}]}


@every_sdk
async def test_batch_with_info_is_an_array_which_go_decodes(sdk, served):
    batch = [
        {"name": "a", "channel": "orders", "data": "{}", "info": "subscription_count"},
        {"name": "b", "channel": "presence-room", "data": "{}", "info": "user_count"},
        {"name": "c", "channel": "orders", "data": "{}"},
    ]
    answer = strict(await ask(served, "POST", "/apps/1001/batch_events", {"batch": batch}, sdk=sdk))
    assert answer == {"batch": [{"subscription_count": 0}, {"user_count": 0}, {}]}


async def test_ruby_asks_for_no_info_at_all(served):
    assert strict(await ask(served, "GET", "/apps/1001/channels", None, ("info", ""), sdk=SDKS["Ruby"])) == {
        "channels": {}
    }


@pytest.mark.parametrize("library", ["Pusher-Library-Name: pusher-http-dotnet\r\n", "X-Pusher-Library: \xe9\r\n", ""])
async def test_library_headers_are_neither_needed_nor_read(library, served):
    url, _ = SDKS[".NET"].request("GET", "/apps/1001/channels", b"", ())
    assert strict(await http(served.port, "GET", url, b"", library)) == {"channels": {}}


async def test_php_says_what_type_the_body_of_a_get_would_have(served):
    assert strict(await ask(served, "GET", "/apps/1001/channels", sdk=SDKS["PHP"])) == {"channels": {}}


async def test_dotnet_reads_status_and_text_of_a_refusal(served):
    body = json.dumps({"name": "paid", "data": "{}", "channels": ["or ders"]}).encode()
    url, headers = SDKS[".NET"].request("POST", "/apps/1001/events", body, ())
    answer = await http(served.port, "POST", url, body, headers)
    assert (answer.status, answer.body) == (400, b"Invalid channel name 'or ders'\n")


# Old servers (protocol 6.6)


@pytest.mark.parametrize("body", [b'{"id":7}', b"", b"no JSON {", "caf\u00e9".encode()])
async def test_old_sdks_publish_to_one_channel_get_202_and_a_body_that_may_be_ignored(body, served):
    async with connect(served.hub, KEY) as reader:
        await reader.subscribe("orders")
        await reader.received()
        query = ("name", "paid")
        answer = await ask(served, "POST", "/apps/1001/channels/orders/events", body, query, sdk=SDKS["Python"])
        assert (answer.status, answer.headers["content-type"], answer.body) == (202, "application/json", b"{}")
        (event,) = await reader.received()
        assert json.loads(event.text) == {"event": "paid", "channel": "orders", "data": body.decode()}


async def test_old_sdks_spare_the_socket_that_caused_the_event(served):
    async with connect(served.hub, KEY) as cause, connect(served.hub, KEY) as other:
        for client in (cause, other):
            await client.subscribe("orders")
            await client.received()
        query = ("name", "paid"), ("socket_id", cause.socket_id)
        await ask(served, "POST", "/apps/1001/channels/orders/events", b"{}", *query)
        assert (len(await cause.received()), len(await other.received())) == (0, 1)


@pytest.mark.parametrize("sent", ["presence-a%40b%2Cc", "presence-a@b,c"])
@pytest.mark.parametrize("signed", ["presence-a%40b%2Cc", "presence-a@b,c"])
async def test_old_python_signs_the_path_that_it_quoted(sent, signed, served):
    async with connect(served.hub, KEY) as reader:
        await reader.subscribe("presence-a@b,c", Member("ada"))
        await reader.received()
        pairs = [*authentic(b"{}"), ("name", "paid")]
        path = f"/apps/1001/channels/{signed}/events"
        url = f"/apps/1001/channels/{sent}/events?{raw(pairs)}&auth_signature={signature('POST', path, pairs)}"
        answer = await http(served.port, "POST", url, b"{}")
        if (sent, signed) == ("presence-a@b,c", "presence-a%40b%2Cc"):  # it sends what it signs: nobody does this
            assert answer.status == 401
        else:
            assert answer.status == 202
            assert len(await reader.received()) == 1


@pytest.mark.parametrize("sdk", [SDKS["Ruby"], SDKS["Python"], SDKS["PHP"]], ids=["Ruby", "Python", "PHP"])
async def test_old_stats_of_a_channel(sdk, served):
    path = "/apps/1001/channels/presence-room/stats"
    nobody = {"occupied": False, "user_count": 0, "connection_count": 0}
    assert strict(await ask(served, "GET", path, sdk=sdk)) == nobody
    async with connect(served.hub, KEY) as first, connect(served.hub, KEY) as second, connect(served.hub, KEY) as third:
        for client, user in ((first, "ada"), (second, "ada"), (third, "bob")):
            await client.subscribe("presence-room", Member(user))
        counted = {"occupied": True, "user_count": 2, "connection_count": 3}
        assert strict(await ask(served, "GET", path, sdk=sdk)) == counted


async def test_old_python_says_the_md5_of_a_body_that_is_no_utf8_and_is_refused(served):
    path, body = "/apps/1001/channels/orders/events", b"\xff\xfe"
    url, headers = SDKS["Python"].request("POST", path, body, [("name", "paid")])
    answer = await http(served.port, "POST", url, body, headers)
    assert (answer.status, answer.body) == (400, b"The body must be UTF-8\n")
