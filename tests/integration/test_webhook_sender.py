"""Webhooks over a real network, to receivers that do what they should not: all of it is an attempt that failed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from relay import App, Hub, WebhookEndpoint
from relay.facts import Fact, WebhookDelivered, WebhookGivenUp
from relay.protocol.webhooks import body_of, headers_of, verify
from relay.testing import ManualClock
from relay.webhooks import Answer, Request
from relay_transports.aiohttp import RestClient, WebhookSender, setup
from tests.integration.hostile import (
    IMPATIENT,
    OK,
    Act,
    closed_port,
    cut,
    hostile,
    reset,
    says,
    silence,
    writes,
)
from tests.integration.serving import serving
from tests.unit.client import arrive
from tests.unit.test_targets import Names

APP = App(id="1001", key="app-key", secret="app-secret")
PATIENT = 5.0
BODY = body_of([b'{"name":"channel_occupied","channel":"orders"}'], 1_760_000_000_123)


def request(url: str, *, timeout: float = PATIENT, private: bool = True) -> Request:
    return Request(WebhookEndpoint(url, timeout=timeout), headers_of(APP, BODY), BODY, private)


@asynccontextmanager
async def sender(**options: Any) -> AsyncIterator[WebhookSender]:
    made = WebhookSender(**options)
    try:
        yield made
    finally:
        await made.close()


async def test_request_is_the_signed_bytes_and_nothing_else():
    async with hostile() as host, sender() as send:
        assert (await send.send(request(host.url + "/w?token=1"))).status == 200
        [asked] = host.asked
        assert (asked.method, asked.target, asked.body) == ("POST", "/w?token=1", BODY)
        assert asked.headers["content-type"] == "application/json"
        assert asked.headers["user-agent"].startswith("relay-hub/")
        assert "accept-encoding" not in asked.headers or asked.headers["accept-encoding"]
        assert verify(APP, asked.headers, asked.body).events[0].channel == "orders"
        client = RestClient(APP, host.url, clock=ManualClock(unix=1_760_000_000))
        assert client.webhook(asked.headers, asked.body).time_ms == 1_760_000_000_123


@pytest.mark.parametrize("status", [200, 201, 204, 400, 404, 410, 429, 500, 503])
async def test_status_is_the_answer(status):
    async with hostile(says(status)) as host, sender() as send:
        assert (await send.send(request(host.url))).status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status):
    async with hostile() as elsewhere, hostile(says(status, headers=f"Location: {elsewhere.url}\r\n")) as host:
        async with sender() as send:
            assert (await send.send(request(host.url))).status == status
        assert elsewhere.asked == []


async def drip(writer: asyncio.StreamWriter) -> None:
    """A header that never ends, a byte at a time."""
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(IMPATIENT / 10)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (silence, "no answer within 0.05 s"),
        (drip, ""),
        (writes(b"HTTP/1.1 200 OK\r\n"), "no answer within 0.05 s"),
        (reset, ""),
        (writes(b"no HTTP at all\r\n\r\n"), ""),
        (writes(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"), ""),
    ],
    ids=["silence", "drip", "half", "reset", "rubbish", "huge header"],
)
async def test_what_is_no_answer_is_a_failure(act, told):
    async with hostile(act) as host, sender() as send:
        answer = await send.send(request(host.url, timeout=IMPATIENT))
        assert answer.status is None
        assert answer.why
        assert told in answer.why


async def test_receiver_that_does_not_listen_is_a_failure():
    held = closed_port()
    async with sender() as send:
        answer = await send.send(request(f"http://127.0.0.1:{held.getsockname()[1]}"))
    held.close()
    assert answer.status is None
    assert "127.0.0.1" in answer.why


async def test_receiver_that_never_accepts_is_given_up_in_time():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        first = [socket.create_connection(address) for _ in range(1)]
        async with sender() as send:
            answer = await send.send(request(f"http://127.0.0.1:{address[1]}", timeout=IMPATIENT))
        assert answer.why == "no answer within 0.05 s"
        for connection in first:
            connection.close()


async def endless(writer: asyncio.StreamWriter) -> None:
    """An answer whose body never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "act",
    [
        endless,
        cut,
        writes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nslow"),
        writes(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nrubb"),
    ],
    ids=["endless", "cut", "half", "no gzip"],
)
async def test_status_counts_whatever_the_body_is(act):
    async with hostile(act) as host, sender() as send:
        assert (await send.send(request(host.url))).status == 200
        assert (await send.send(request(host.url))).status == 200  # and the next goes out all the same


async def test_connection_is_used_again():
    connections = []

    def counting(act: Act) -> Act:
        async def counted(writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            await act(writer)

        return counted

    async with hostile(counting(OK), counting(OK)) as host, sender() as send:
        for _ in range(2):
            await send.send(request(host.url))
        assert connections[0] is connections[1]


async def test_certificate_of_an_unknown_authority_is_a_failure_and_a_known_one_is_none():
    authority = trustme.CA()
    server, mine = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(mine)
    seen = []

    async def take(asked: web.Request) -> web.Response:
        seen.append(await asked.read())
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
    async with sender() as send, sender(tls=mine) as trusting:
        refused = await send.send(request(url))
        assert (refused.status, seen) == (None, [])
        assert "certificate" in refused.why.lower()
        assert (await trusting.send(request(url))).status == 200
    assert seen == [BODY]
    await runner.cleanup()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}",
        "http://[::1]:{port}",
        "http://127.1:{port}",
        "http://localhost:{port}",
        "http://0x7f000001:{port}",
        "http://2130706433:{port}",
        "http://[::ffff:127.0.0.1]:{port}",
    ],
)
async def test_private_addresses_are_refused_where_they_are_forbidden(url):
    async with hostile() as host, sender() as send:
        answer = await send.send(request(url.format(port=host.port), private=False))
        assert answer.status is None
        assert host.asked == []


async def test_refusal_says_which_address_is_private():
    async with hostile() as host, sender(resolver=Names(inside=[["127.0.0.1"]])) as send:
        answer = await send.send(request(f"http://inside:{host.port}", private=False))
        assert answer.why == "inside stands for 127.0.0.1, which is no public address"


async def test_name_that_changes_its_meaning_is_judged_each_time_it_is_resolved():
    async with hostile() as host:
        names = Names(rebinding=[["8.8.8.8"], ["127.0.0.1"], ["127.0.0.1"]])
        await names.resolve("rebinding")  # whoever looked before saw a public address
        async with sender(resolver=names) as send:
            url = f"http://rebinding:{host.port}"
            answer = await send.send(request(url, private=False))
            assert answer.why == "rebinding stands for 127.0.0.1, which is no public address"
            assert host.asked == []
            assert (await send.send(request(url))).status == 200  # where private addresses are allowed


async def test_environment_proxies_get_no_webhooks(monkeypatch):
    async with hostile() as proxy, hostile() as host, sender() as send:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert (await send.send(request(host.url))).status == 200
        assert (len(proxy.asked), len(host.asked)) == (0, 1)


class Outcomes:
    """What became of a hub's webhooks, and waiting for it."""

    def __init__(self, hub: Hub) -> None:
        self.facts: list[Fact] = []
        self._news = asyncio.Event()
        hub.on(Fact, self._hear)

    def _hear(self, fact: Fact) -> None:
        if isinstance(fact, WebhookDelivered | WebhookGivenUp):
            self.facts.append(fact)
            self._news.set()

    async def come(self, count: int) -> list[Fact]:
        while len(self.facts) < count:
            self._news.clear()
            await self._news.wait()
        return self.facts


class Longest(Random):
    """Chance that shortens no pause; socket ids are as random as ever."""

    def random(self) -> float:
        return 1.0

    def getrandbits(self, k: int, /) -> int:
        return super().getrandbits(k)


class CountingSender(WebhookSender):
    """Tells when so many attempts are over."""

    def __init__(self) -> None:
        super().__init__()
        self.over = 0
        self._news = asyncio.Event()

    async def send(self, request: Request) -> Answer:
        try:
            return await super().send(request)
        finally:
            self.over += 1
            self._news.set()

    async def attempts(self, count: int) -> None:
        while self.over < count:
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def served_hub(*endpoints: WebhookEndpoint) -> AsyncIterator[tuple[Hub, ManualClock, CountingSender]]:
    """A hub behind aiohttp that waits as long as it can before it tries again: 1 s, 2 s, 4 s, ..."""
    clock, send = ManualClock(), CountingSender()
    app = App(id="1001", key="app-key", secret="app-secret", webhooks=endpoints, activity_timeout=10_000)
    hub = Hub(app, clock=clock, random=Longest(7))
    hub.send_webhooks(send)
    async with serving(hub):
        yield hub, clock, send


async def test_hub_of_an_application_tells_a_hostile_receiver_until_it_listens():
    script = [says(500), reset, silence, says(302, headers="Location: /\r\n"), writes(b"rubbish\r\n\r\n"), OK]
    async with hostile(*script) as host, served_hub(WebhookEndpoint(host.url, timeout=IMPATIENT)) as (hub, clock, send):
        outcomes = Outcomes(hub)
        await (await arrive(hub)).subscribe("orders")
        for number, pause in enumerate([0, 1, 2, 4, 8, 16], start=1):
            if pause:
                await clock.advance(pause - 0.1)
                assert len(host.asked) == number - 1
            await clock.advance(0.1 if pause else 0)
            await send.attempts(number)
        [fact] = await outcomes.come(1)
        assert isinstance(fact, WebhookDelivered)
        assert fact.attempts == 6
        assert len({(asked.body, asked.headers["x-pusher-signature"]) for asked in host.asked}) == 1


async def test_hanging_receiver_holds_up_neither_settle_nor_another_receiver():
    async with hostile(silence) as deaf, hostile() as host:
        endpoints = WebhookEndpoint(deaf.url, timeout=60), WebhookEndpoint(host.url)
        async with served_hub(*endpoints) as (hub, _, send):
            outcomes = Outcomes(hub)
            await (await arrive(hub)).subscribe("orders")
            await deaf.asked_times(1)
            await hub.settle()
            [fact] = await outcomes.come(1)
            assert isinstance(fact, WebhookDelivered)
            assert (fact.url, send.over) == (host.url, 1)
            for task in deaf.tasks:  # it would hold up the closing hub for 5 s
                task.cancel()


async def test_setup_leaves_a_sender_that_is_there_alone():
    app = App(id="1001", key="app-key", secret="app-secret", webhooks=(WebhookEndpoint("https://a.example"),))
    hub, mine = Hub(app), WebhookSender()
    hub.send_webhooks(mine)
    setup(web.Application(), hub)
    assert hub.webhook_sender is mine
    plain = Hub(App(id="2", key="k", secret="s"))
    setup(web.Application(), plain)
    assert plain.webhook_sender is None
    with_one = Hub(app)
    setup(web.Application(), with_one)
    assert isinstance(with_one.webhook_sender, WebhookSender)


async def test_sender_can_be_used_again_after_it_was_closed():
    send = WebhookSender(resolver=aiohttp.ThreadedResolver())
    async with hostile() as host:
        for _ in range(2):
            assert (await send.send(request(host.url))).status == 200
            await send.close()
