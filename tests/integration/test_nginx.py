"""`relay serve` behind nginx, with the very configuration that docs/how-to/nginx.md shows."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme

from relay import App
from tests.integration import signer, wire
from tests.integration.nginx import SHOWN, Nginx, running
from tests.unit.command import serving

AUTHORITY = trustme.CA()
BROWSER = ssl.create_default_context()
AUTHORITY.configure_trust(BROWSER)
SOCKET = f"/realtime/app/{signer.KEY}?protocol=7"
HUB = ["--app-id", "1001", "--key", signer.KEY, "--secret", signer.SECRET, "--prefix", "/realtime"]
BEHIND = ["--tls-only", "--forwarded-from", "unix"]


@pytest.fixture
def behind(require):
    """`behind("--tls-only", ..., read_timeout="180s")`: a hub on a Unix socket with these flags, behind nginx."""
    program = require("nginx", "apt-get install nginx")

    @contextmanager
    def behind(*flags: str, read_timeout: str = "180s") -> Iterator[Nginx]:
        with TemporaryDirectory() as folder, serving("--unix", f"{folder}/relay.sock", *HUB, *flags) as (_, line):
            assert line.startswith("Relay listens on unix:")
            pair = AUTHORITY.issue_cert("127.0.0.1")
            with running(program, Path(folder), pair, f"unix:{folder}/relay.sock", read_timeout) as nginx:
                yield nginx

    return behind


async def test_websocket_and_rest_go_through_under_the_prefix(behind):
    with behind(*BEHIND) as nginx:
        async with wire.websocket(nginx.tls_port, SOCKET, tls=BROWSER) as client:
            assert (await client.event())["event"] == "pusher:connection_established"
            client.send('{"event":"pusher:subscribe","data":{"channel":"orders"}}')
            assert (await client.event())["event"] == "pusher_internal:subscription_succeeded"
            body = json.dumps({"name": "paid", "channel": "orders", "data": "7"}).encode()
            target = "/realtime" + signer.target("POST", "/apps/1001/events", body, now=time.time())
            answer = await wire.http(nginx.tls_port, "POST", target, body, tls=BROWSER)
            assert (answer.status, (await client.event())["data"]) == (200, "7")


async def test_goodbye_goes_through(behind):
    with behind(*BEHIND) as nginx:
        async with wire.websocket(nginx.tls_port, "/realtime/app/nobody?protocol=7", tls=BROWSER) as client:
            assert (await client.event())["data"]["code"] == 4001
            assert (await client.closed()).code == 4001


@pytest.mark.parametrize(
    ("flags", "tls", "headers", "let_in"),
    [
        (BEHIND, True, "", True),
        (BEHIND, True, "X-Forwarded-Proto: http\r\n", True),
        (BEHIND, False, "", False),
        (BEHIND, False, "X-Forwarded-Proto: https\r\n", False),
        (["--tls-only"], True, "", False),
        (["--tls-only", "--forwarded-from", "127.0.0.1"], True, "", False),
        ([], False, "", True),
    ],
)
async def test_nginx_decides_what_is_tls_where_it_is_trusted(behind, flags, tls, headers, let_in):
    with behind(*flags) as nginx:
        port = nginx.tls_port if tls else nginx.port
        async with wire.websocket(port, SOCKET, headers=headers, tls=BROWSER if tls else None) as client:
            event = await client.event()
            assert event["event"] == ("pusher:connection_established" if let_in else "pusher:error")
            assert let_in or (await client.closed()).code == 4000


async def test_address_that_a_client_makes_up_does_not_count(behind):
    with behind(*BEHIND, "--max-connections-per-address", "1") as nginx:
        async with wire.websocket(nginx.tls_port, SOCKET, tls=BROWSER) as first:
            await first.event()
            made_up = "X-Forwarded-For: 192.0.2.7\r\n"
            async with wire.websocket(nginx.tls_port, SOCKET, headers=made_up, tls=BROWSER) as second:
                assert (await second.event())["data"]["code"] == 4004


async def test_idle_client_stays_when_it_is_pinged_more_often_than_nginx_gives_up(behind):
    with behind(*BEHIND, "--activity-timeout", "1", "--pong-timeout", "1", read_timeout="2s") as nginx:
        async with wire.websocket(nginx.tls_port, SOCKET, tls=BROWSER) as client:
            await client.event()
            for _ in range(3):
                ping = await client.receive()
                assert ping.opcode == wire.PING
                client.write(wire.frame(wire.PONG, ping.payload))


async def test_idle_client_is_cut_off_where_nginx_gives_up_first(behind):
    with behind(*BEHIND, read_timeout="1s") as nginx:
        async with wire.websocket(nginx.tls_port, SOCKET, tls=BROWSER) as client:
            await client.event()
            assert await client.reader.read() == b""


def test_shown_timeout_is_longer_than_a_silence_of_relays():
    app = App(id="1", key="k", secret="s")
    [seconds] = [int(line.split()[1].rstrip("s;")) for line in SHOWN.read_text().splitlines() if "read_timeout" in line]
    assert seconds >= app.activity_timeout + app.pong_timeout
