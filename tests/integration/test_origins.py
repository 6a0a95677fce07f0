"""`App.allowed_origins`: pages of other origins are turned away, whatever else they know."""

from __future__ import annotations

import pytest

from relay import App, Hub
from tests.integration import wire
from tests.integration.serving import serving, until
from tests.unit.command import CREDENTIALS, port_in
from tests.unit.command import serving as serving_command

APP = App(id="1", key="k", secret="s", allowed_origins=("https://shop.example", "http://localhost:3000"))
OTHER = App(id="2", key="other", secret="s")
SOCKET = "/app/k?protocol=7"
BOTH_DOORS = True


@pytest.fixture
def hub() -> Hub:
    return Hub(APP, OTHER)


@pytest.mark.parametrize("origin", ["https://shop.example", "http://localhost:3000"])
async def test_pages_of_an_allowed_origin_may_connect(hub, tls, origin):
    async with serving(hub, tls=tls) as served, served.websocket(SOCKET, f"Origin: {origin}\r\n") as page:
        assert (await page.event())["event"] == "pusher:connection_established"


async def test_client_without_an_origin_may_connect(hub, tls):
    async with serving(hub, tls=tls) as served, served.websocket(SOCKET) as client:
        assert (await client.event())["event"] == "pusher:connection_established"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://sub.shop.example",
        "https://shop.example.evil.example",
        "https://evil.example/https://shop.example",
        "https://shop.example/",
        "https://SHOP.example",
        "https://shop.example, https://evil.example",
        "null",
        "",
        "\u00e9",
    ],
)
async def test_pages_of_any_other_origin_are_closed_with_4009(hub, tls, origin):
    async with serving(hub, tls=tls) as served:
        async with served.websocket(SOCKET, f"Origin: {origin}\r\n") as page:
            error = await page.event()
            assert (error["event"], error["data"]) == (
                "pusher:error", {"code": 4009, "message": "Origin not allowed"}
            )  # fmt: skip
            assert await page.closed() == (4009, "Origin not allowed")
        await until(hub, lambda: hub.stats().connections == 0)


async def test_each_app_has_its_own(hub, tls):
    async with (
        serving(hub, tls=tls) as served,
        served.websocket("/app/other?protocol=7", "Origin: https://evil.example\r\n") as page,
    ):
        assert (await page.event())["event"] == "pusher:connection_established"


async def test_rest_calls_have_no_origin_to_allow(hub, tls):
    async with serving(hub, tls=tls) as served:
        answer = await served.http("GET", "/apps/1/channels", "Origin: https://evil.example\r\n")
        assert answer.status == 401  # as without it: the signature is what is missing


@pytest.mark.parametrize(("origin", "event"), [("https://b.example", "pusher:connection_established"), ("x", None)])
async def test_flag_may_be_given_several_times(origin, event):
    flags = ["--allowed-origin", "https://a.example", "--allowed-origin", "https://b.example"]
    with serving_command("--port", "0", *CREDENTIALS, *flags) as (_, line):
        async with wire.websocket(port_in(line), "/app/app-key?protocol=7", headers=f"Origin: {origin}\r\n") as page:
            assert (await page.event())["event"] == (event or "pusher:error")
