"""Clients that come through a Unix socket get a socket of their own too, on every loop that Relay runs on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiohttp import web

from relay import App, Hub
from relay_transports.aiohttp import setup
from tests.conftest import LOOPS
from tests.integration import wire
from tests.integration.serving import until

APP = App(id="1", key="k", secret="s")
SOCKET = "/app/k?protocol=7"
HTTPS = "X-Forwarded-Proto: https\r\n"


@pytest.fixture(params=LOOPS[:2], scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@asynccontextmanager
async def serving(hub: Hub, *, forwarded_from: Sequence[str] = (), limit: int | None = None) -> AsyncIterator[Path]:
    """Where ``hub`` listens."""
    app = web.Application()
    setup(app, hub, forwarded_from=forwarded_from, max_connections_per_address=limit)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "relay.sock"
        try:
            await web.UnixSite(runner, str(path)).start()
            yield path
        finally:
            await runner.cleanup()


async def test_everything_works_as_it_does_over_tcp():
    hub = Hub(APP)
    async with serving(hub) as path:
        async with wire.websocket(path, SOCKET) as client, wire.websocket(path, SOCKET) as gone:
            socket_id = json.loads((await client.event())["data"])["socket_id"]
            await gone.event()
            client.send('{"event":"pusher:subscribe","data":{"channel":"orders"}}')
            assert (await client.event())["event"] == "pusher_internal:subscription_succeeded"
            receipt = await hub.trigger("orders", "paid", {"text": "x" * 10_000})
            assert (receipt.delivered, (await client.event())["event"]) == (1, "paid")
            client.write(wire.frame(wire.PING, b"hello"))
            assert await client.receive() == (wire.PONG, b"hello")
            await gone.close()
            await until(hub, lambda: hub.stats().connections == 1)
            assert "." in socket_id
        await until(hub, lambda: hub.stats().connections == 0)
    assert hub.check() == []


async def test_what_comes_right_behind_the_upgrade_is_heard():
    async with serving(Hub(APP)) as path, wire.dial(path) as client:
        client.write(wire.upgrade(SOCKET) + wire.frame(wire.TEXT, b'{"event":"pusher:ping"}'))
        await client.reader.readuntil(b"\r\n\r\n")
        assert (await client.event())["event"] == "pusher:connection_established"
        assert (await client.event())["event"] == "pusher:pong"


async def test_closing_hub_says_goodbye():
    hub = Hub(APP)
    async with serving(hub) as path, wire.websocket(path, SOCKET) as client:
        await client.event()
        hub.close()
        assert (await client.closed()).code == 4200


@pytest.mark.parametrize(
    ("forwarded_from", "headers", "let_in"),
    [
        (["unix"], HTTPS, True),
        (["unix"], "", False),
        (["unix"], "X-Forwarded-Proto: http\r\n", False),
        ([], HTTPS, False),
        (["127.0.0.1", "0.0.0.0/0", "::/0"], HTTPS, False),
    ],
)
async def test_peers_are_believed_by_the_name_unix(forwarded_from, headers, let_in):
    hub = Hub(App(id="1", key="k", secret="s", tls_only=True))
    async with (
        serving(hub, forwarded_from=forwarded_from) as path,
        wire.websocket(path, SOCKET, headers=headers) as client,
    ):
        event = await client.event()
        assert event["event"] == ("pusher:connection_established" if let_in else "pusher:error")
        assert let_in or (await client.closed()).code == 4000


@pytest.mark.parametrize(("forwarded_from", "let_in"), [(["unix"], True), ([], False)])
async def test_peers_count_by_the_address_they_tell_or_else_as_one(forwarded_from, let_in):
    async with (
        serving(Hub(APP), forwarded_from=forwarded_from, limit=1) as path,
        wire.websocket(path, SOCKET, headers="X-Forwarded-For: 192.0.2.1\r\n") as first,
    ):
        await first.event()
        async with wire.websocket(path, SOCKET, headers="X-Forwarded-For: 192.0.2.2\r\n") as second:
            assert ((await second.event())["event"] == "pusher:connection_established") is let_in


async def test_client_gone_during_the_upgrade_leaves_nothing():
    hub = Hub(APP)
    async with serving(hub, limit=5) as path:
        for _ in range(20):
            async with wire.dial(path) as client:
                client.write(wire.upgrade(SOCKET))
                await client.drain()
        async with wire.websocket(path, SOCKET) as client:
            await client.event()
            await until(hub, lambda: hub.stats().connections == 1)
    assert hub.check() == []
