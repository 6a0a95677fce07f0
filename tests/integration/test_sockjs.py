"""The SockJS paths of old browsers (protocol 9.7), by hand: no browser that needs them is left to test with."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from relay import App, Hub
from tests.integration.serving import serving
from tests.integration.wire import Answer

SESSION = "/pusher/123/abcdefgh"
FIRST = json.dumps([json.dumps({"path": "/app/app-key?protocol=7&client=js&version=8.6.0"})]).encode()
SUBSCRIBE = json.dumps(['{"event":"pusher:subscribe","data":{"channel":"orders"}}']).encode()
SCRIPT = "//js.pusher.com/8.6.0/sockjs.min.js"

pytestmark = pytest.mark.usefixtures("nothing_crashes")


def event_of(line: bytes) -> str:
    [text] = json.loads(line.removeprefix(b"a"))
    return str(json.loads(text)["event"])


async def test_client_says_which_app_it_wants_in_its_first_message(served):
    assert (await served.http("POST", f"{SESSION}/xhr")).body == b"o\n"
    assert (await served.http("POST", f"{SESSION}/xhr_send", body=FIRST)).status == 204
    assert event_of((await served.http("POST", f"{SESSION}/xhr")).body) == "pusher:connection_established"
    assert (await served.http("POST", f"{SESSION}/xhr_send", body=SUBSCRIBE)).status == 204
    assert event_of((await served.http("POST", f"{SESSION}/xhr")).body) == "pusher_internal:subscription_succeeded"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"path":"/app/nobody?protocol=7"}', 4001),
        ('{"path":"/app/app-key"}', 4008),
        ('{"path":"/other/app-key?protocol=7"}', 4005),
        ('{"event":"pusher:ping"}', 4005),
        ("no JSON", 4005),
    ],
)
async def test_first_message_that_names_no_app_is_refused_with_the_code_of_a_websocket(served, first, code):
    await served.http("POST", f"{SESSION}/xhr")
    await served.http("POST", f"{SESSION}/xhr_send", body=json.dumps([first]).encode())
    *_, closed = (await served.http("POST", f"{SESSION}/xhr")).body.splitlines()
    assert json.loads(closed.removeprefix(b"c"))[0] == code


async def test_script_tags_get_one_line_each_and_post_forms(served):
    answer = await served.http("GET", f"{SESSION}/jsonp?c=_jp.abc")
    assert answer.body == b'/**/_jp.abc("o");\r\n'
    form = f"d={quote(FIRST.decode())}".encode()
    sent = await posted_form(served, form)
    assert (sent.status, sent.body) == (200, b"ok")
    body = (await served.http("GET", f"{SESSION}/jsonp?c=_jp.abc")).body
    line = json.loads(body.removeprefix(b"/**/_jp.abc(").removesuffix(b");\r\n"))
    assert event_of(line.encode()) == "pusher:connection_established"


async def posted_form(served, body: bytes) -> Answer:
    answer: Answer = await served.http(
        "POST", f"{SESSION}/jsonp_send", "Content-Type: application/x-www-form-urlencoded\r\n", body=body
    )
    return answer


@pytest.mark.parametrize("callback", ["", "alert(1)", "a;b", "<script>", "x" * 129])
async def test_callback_that_is_no_name_is_refused(served, callback):
    for path in ("jsonp", "htmlfile"):
        assert (await served.http("GET", f"{SESSION}/{path}?c={quote(callback)}")).status == 400


@pytest.mark.parametrize(
    ("path", "beginning", "line"),
    [
        ("eventsource", b"\r\ndata: o\r\n\r\n", b'data: a["'),
        ("htmlfile?c=cb", b'<script>\np("o");\n</script>\r\n', b'<script>\np("a['),
    ],
)
async def test_streams_wrap_each_line(served, path, beginning, line):
    async with served.dial() as wire:
        wire.write(f"GET {SESSION}/{path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        await wire.reader.readuntil(beginning)
        assert (await served.http("POST", f"{SESSION}/xhr_send", body=FIRST)).status == 204
        await wire.reader.readuntil(line)
        assert b"pusher:connection_established" in await wire.reader.readuntil(b"activity_timeout")


async def test_info_says_what_there_is_to_any_page(served):
    answer = await served.http("GET", "/pusher/info", "Origin: https://shop.example\r\n")
    assert {"websocket": False, "origins": ["*:*"], "cookie_needed": False}.items() <= answer.json.items()
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


async def test_info_has_another_seed_each_time_for_browsers_without_a_source_of_chance(served):
    seeds = {(await served.http("GET", "/pusher/info")).json["entropy"] for _ in range(5)}
    assert len(seeds) > 1
    assert all(0 <= seed < 1 << 32 for seed in seeds)


@pytest.mark.parametrize("scheme", ["", "http:", "https:"])
async def test_iframe_runs_pushers_script_over_tls(served, scheme):
    answer = await served.http("GET", f"/pusher/iframe.html?js_path={quote(scheme + SCRIPT)}")
    assert f'<script src="https:{SCRIPT}"></script>'.encode() in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/sockjs.js",
        "//js.pusher.com.evil.example/8.6.0/sockjs.js",
        "//js.pusher.com/8.6.0/../sockjs.js",
        "//js.pusher.com/8.6.0/pusher.js",
        'https:"></script><script>alert(1)</script>',
        "javascript:alert(1)",
        "",
    ],
)
async def test_iframe_runs_no_other_script(served, path):
    assert (await served.http("GET", f"/pusher/iframe.html?js_path={quote(path)}")).status == 404


async def test_app_with_allowed_origins_turns_pages_away_that_are_not_known():
    app = App(id="1", key="app-key", secret="s", allowed_origins=("https://shop.example",))
    async with serving(Hub(app)) as served:
        await served.http("POST", f"{SESSION}/xhr")
        headers = "Origin: https://shop.example\r\n"
        await served.http("POST", f"{SESSION}/xhr_send", headers, body=FIRST)
        assert b'c[4009,"Origin not allowed"]\n' in (await served.http("POST", f"{SESSION}/xhr")).body
