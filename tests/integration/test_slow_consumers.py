"""Sockets that stop reading and read on: what their App's policy keeps reaches them, through TLS too."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest
import trustme
from aiohttp import web

from relay import App, Event, Hub
from relay.backlog import Policy
from relay.facts import EventsLost
from relay_transports.aiohttp import setup
from tests.integration.bad_frames import say, subscribe
from tests.integration.serving import until
from tests.integration.wire import PATIENCE, Wire, upgrade

pytestmark = pytest.mark.usefixtures("nothing_crashes")

URL = "/app/k?protocol=7"
BIG = "x" * 10_000
DROPPING: list[Policy] = ["drop_oldest", "latest_only"]


class Site(NamedTuple):
    """A served hub; ``browser`` is what its clients need for TLS, None without."""

    hub: Hub
    port: int
    browser: ssl.SSLContext | None


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server and its clients need for TLS."""
    authority = trustme.CA()
    server, browser = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(browser)
    return server, browser


@asynccontextmanager
async def site(hub: Hub, *, tls: bool) -> AsyncIterator[Site]:
    server, browser = contexts() if tls else (None, None)
    application = web.Application()
    setup(application, hub)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
        yield Site(hub, runner.addresses[0][1], browser)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def listening(site: Site, channel: str) -> AsyncIterator[Wire]:
    """A subscribed client for which the kernel keeps little."""
    raw = socket.socket()
    raw.setblocking(False)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with asyncio.timeout(PATIENCE):
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", site.port))
        name = "127.0.0.1" if site.browser else None
        wire = Wire(*await asyncio.open_connection(sock=raw, limit=4096, ssl=site.browser, server_hostname=name))
        wire.write(upgrade(URL))
        await wire.reader.readuntil(b"\r\n\r\n")
    try:
        await wire.event()
        wire.send(subscribe(channel))
        await wire.event()
        yield wire
    finally:
        await wire.close()


def app(policy: Policy, *, max_backlog: int = 1 << 18, flush_interval: float = 0.0) -> App:
    return App(
        id="1",
        key="k",
        secret="s",
        slow_consumers=policy,
        max_backlog=max_backlog,
        max_event_bytes=20_000,
        flush_interval=flush_interval,
    )


def number(event: dict[str, str]) -> int:
    return int(event["data"].rstrip("x"))


async def numbers_until(socket: Wire, last: int) -> list[int]:
    """The numbers of the events that come, up to ``last``."""
    seen = [number(await socket.event())]
    while seen[-1] != last:
        seen.append(number(await socket.event()))
    return seen


@pytest.fixture(params=[False, True], ids=["door", "TLS"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("policy", DROPPING)
async def test_socket_that_stops_reading_stays_and_then_reads_what_was_kept_up_to_the_newest(policy, tls):
    hub, facts = Hub(app(policy)), list[EventsLost]()
    hub.on(EventsLost, facts.append)
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(site(hub, tls=tls))
        slow = await stack.enter_async_context(listening(place, "orders"))
        neighbour = await stack.enter_async_context(listening(place, "orders"))
        sent = 0
        while len(facts) < 50:
            await hub.trigger("orders", "paid", f"{sent}{BIG}")
            assert number(await neighbour.event()) == sent
            assert all(fact.backlog <= 1 << 18 for fact in facts)
            sent += 1
        read = await numbers_until(slow, sent - 1)
        assert read == sorted(set(read))
        assert len(read) + hub.stats().lost == sent
        assert (hub.stats().connections, hub.check()) == (2, [])


@pytest.mark.parametrize("policy", DROPPING)
async def test_socket_that_was_behind_is_as_quick_as_before_and_answers_were_never_lost(policy, tls):
    hub = Hub(app(policy))
    async with site(hub, tls=tls) as place, listening(place, "orders") as slow:
        for sent in range(1000):
            await hub.trigger("orders", "paid", f"{sent}{BIG}")
            await hub.settle()
        assert hub.stats().lost > 0
        slow.send(say("pusher:ping"))
        await numbers_until(slow, 999)
        assert (await slow.event())["event"] == "pusher:pong"
        for sent in range(20):
            receipt = await hub.trigger("orders", "paid", f"{sent}{BIG}")
            assert (receipt.lost, number(await slow.event())) == (0, sent)


@pytest.mark.parametrize("policy", DROPPING)
async def test_burst_of_more_than_the_bound_costs_a_reading_socket_nothing_that_the_kernel_takes(policy, tls):
    hub = Hub(app(policy, max_backlog=1 << 16))
    async with site(hub, tls=tls) as place, listening(place, "orders") as quick:
        for burst in range(5):
            await hub.trigger_batch([Event("orders", "paid", f"{burst * 10 + index}{BIG}") for index in range(3)])
            for index in range(3):
                assert number(await quick.event()) == burst * 10 + index
        assert hub.stats().lost == 0


@pytest.mark.parametrize("policy", DROPPING)
async def test_slow_socket_is_told_the_end_after_what_was_kept(policy, tls):
    hub = Hub(app(policy))
    async with site(hub, tls=tls) as place, listening(place, "orders") as slow:
        sent = 0
        while not hub.stats().lost:
            await hub.trigger("orders", "paid", f"{sent}{BIG}")
            await hub.settle()
            sent += 1
        hub.close()
        assert (await numbers_until(slow, sent - 1))[0] == 0
        assert (await slow.closed()).code == 4200


async def test_slow_socket_that_vanishes_is_let_go(tls):
    hub = Hub(app("drop_oldest"))
    async with site(hub, tls=tls) as place, listening(place, "orders") as slow:
        while not hub.stats().lost:
            await hub.trigger("orders", "paid", BIG)
            await hub.settle()
        slow.reset()
        await until(hub, lambda: hub.stats().connections == 0)
        assert hub.check() == []


async def test_flush_interval_gathers_events_and_loses_none_of_them_at_the_end(tls):
    hub = Hub(app("disconnect", flush_interval=0.2))
    async with site(hub, tls=tls) as place, listening(place, "orders") as socket:
        for sent in range(100):
            await hub.trigger("orders", "paid", json.dumps(sent))
            await hub.settle()
        hub.close()
        assert await numbers_until(socket, 99) == list(range(100))
        assert (await socket.closed()).code == 4200
