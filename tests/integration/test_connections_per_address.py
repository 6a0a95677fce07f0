"""`max_connections_per_address`: one address cannot take the places of all others."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from relay import App, Hub, UsageError
from relay_transports.aiohttp import subapp
from tests.integration import wire
from tests.integration.serving import serving, until
from tests.unit.command import APP as TOML_APP
from tests.unit.command import CREDENTIALS, port_in
from tests.unit.command import serving as serving_command

APP = App(id="1", key="k", secret="s")
SOCKET = "/app/k?protocol=7"
BOTH_DOORS = True
PROXY = ("127.0.0.1",)


def through(address: str) -> str:
    """The header of a proxy that forwards for ``address``."""
    return f"X-Forwarded-For: {address}\r\n"


async def test_one_more_is_closed_with_4004_and_the_others_stay(tls):
    hub = Hub(APP)
    async with serving(hub, tls=tls, max_connections_per_address=2) as served, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(served.websocket(SOCKET)) for _ in range(2)]
        for client in clients:
            assert (await client.event())["event"] == "pusher:connection_established"
        async with served.websocket(SOCKET) as third:
            assert (await third.event())["data"] == {"code": 4004, "message": "Over connection quota for one address"}
            assert (await third.closed()).code == 4004
        for client in clients:
            client.send('{"event":"pusher:ping"}')
            assert (await client.event())["event"] == "pusher:pong"


async def test_place_of_one_who_left_is_free_again(tls):
    hub = Hub(APP)
    async with serving(hub, tls=tls, max_connections_per_address=1) as served:
        for _ in range(5):
            async with served.websocket(SOCKET) as client:
                assert (await client.event())["event"] == "pusher:connection_established"
                client.write(wire.frame(wire.CLOSE, b"\x03\xe8"))
                await client.closed()
                assert await client.reader.read() == b""
            await until(hub, lambda: hub.stats().connections == 0)


@pytest.mark.parametrize("target", ["/app/nobody?protocol=7", "/app/k?protocol=4"])
async def test_refused_client_takes_no_place(tls, target):
    async with serving(Hub(APP), tls=tls, max_connections_per_address=1) as served, AsyncExitStack() as stack:
        for _ in range(3):
            refused = await stack.enter_async_context(served.websocket(target))
            assert (await refused.event())["data"]["code"] in (4001, 4007)
        async with served.websocket(SOCKET) as client:
            assert (await client.event())["event"] == "pusher:connection_established"


async def test_forwarded_addresses_count_each_for_itself_where_the_proxy_is_trusted(tls):
    async with (
        serving(Hub(APP), tls=tls, max_connections_per_address=1, forwarded_from=PROXY) as served,
        AsyncExitStack() as stack,
    ):
        for address, event in [
            ("192.0.2.1", "pusher:connection_established"),
            ("192.0.2.2", "pusher:connection_established"),
            ("192.0.2.1", "pusher:error"),
            ("198.51.100.1, 192.0.2.1", "pusher:error"),
            ("2001:db8::1", "pusher:connection_established"),
            ("2001:db8::2", "pusher:error"),
        ]:
            client = await stack.enter_async_context(served.websocket(SOCKET, through(address)))
            assert (await client.event())["event"] == event


async def test_forwarded_addresses_of_anybody_else_do_not_count(tls):
    async with (
        serving(Hub(APP), tls=tls, max_connections_per_address=1, forwarded_from=["192.0.2.7"]) as served,
        served.websocket(SOCKET, through("192.0.2.1")) as first,
    ):
        await first.event()
        async with served.websocket(SOCKET, through("192.0.2.2")) as second:
            assert (await second.event())["data"]["code"] == 4004


@pytest.mark.parametrize("option", [{"max_connections_per_address": 0}, {"forwarded_from": ["nginx"]}])
def test_option_that_cannot_be_is_refused_when_the_application_is_built(option):
    with pytest.raises(UsageError, match=next(iter(option))):
        subapp(Hub(APP), **option)


@pytest.mark.parametrize("source", ["flag", "file"])
async def test_serve_takes_the_bound_from_flags_and_file(source, tmp_path):
    toml = tmp_path / "relay.toml"
    where = 'port = 0\nforwarded_from = ["127.0.0.1", "unix"]\nmax_connections_per_address = 1\n'
    toml.write_text(f"[server]\n{where}{TOML_APP}")
    proxies = ["--forwarded-from", "unix", "--forwarded-from", "127.0.0.1"]
    flags = ["--port", "0", *CREDENTIALS, "--max-connections-per-address", "1", *proxies]
    with serving_command(*(flags if source == "flag" else ["--config", toml])) as (_, line):
        events = []
        async with AsyncExitStack() as stack:
            for address in "192.0.2.1", "192.0.2.2", "192.0.2.1":
                socket = wire.websocket(port_in(line), "/app/app-key?protocol=7", headers=through(address))
                client = await stack.enter_async_context(socket)
                events.append((await client.event())["event"])
    assert events == ["pusher:connection_established", "pusher:connection_established", "pusher:error"]
