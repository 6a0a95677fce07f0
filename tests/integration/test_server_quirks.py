"""How each server SDK puts its requests together, and what it needs back: the quirks of protocol 11.2 and 6.6. Those of
clients, 11.1, are in test_quirks.py.

Rows that have their proof elsewhere:

    Python 3.3, Node 5         run in tests/e2e/test_server_sdks.py; what they may do and these versions do not is here
    unescaped and escaped queries, parameters in any order, upper-case hex, a literal +, the unsigned prefix of PHP,
    the path that Python terminates users at, every lenient form of an event
                               test_bad_requests.py
"""

from __future__ import annotations

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
from tests.integration.wire import Answer, http

pytestmark = pytest.mark.usefixtures("nothing_crashes")

APP = App(id="1001", key=KEY, secret=SECRET)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(Hub(APP, clock=ManualClock(unix=NOW))) as served:
        yield served


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
