"""`relay serve --workers`: one port, several processes, one hub to whoever comes from outside."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from relay_transports.aiohttp import RestClient
from tests import nats_server, redis_server
from tests.integration.wire import CLOSE, Wire, frame, http, websocket
from tests.unit.command import CREDENTIALS, Process, port_in, run, says, sentence, serving

pytestmark = pytest.mark.anyio
CLIENTS = 24
"""So many that no worker is without one, but for a chance of one in millions."""


@contextmanager
def redis(require) -> Iterator[Callable[[], str]]:
    with redis_server.running(require("redis-server", redis_server.INSTALL)) as server:

        def empty() -> str:
            server.ask("FLUSHALL")
            return server.url

        yield empty


@contextmanager
def nats(require) -> Iterator[Callable[[], str]]:
    with nats_server.running(require("nats-server", nats_server.INSTALL)) as server:

        def empty() -> str:
            server.forget()
            return server.url

        yield empty


@pytest.fixture(scope="module", params=[redis, nats], ids=["redis", "nats"])
def engine(request, require) -> Iterator[Callable[[], str]]:
    """Empties the engine, and says where it is."""
    with request.param(require) as empty:
        yield empty


@pytest.fixture
def served(engine: Callable[[], str]) -> Iterator[tuple[Process, int]]:
    flags = ("--port", "0", "--workers", "2", "--cluster", engine(), "--drain", "1")
    with serving(*CREDENTIALS, *flags) as (process, line):
        assert "2 workers" in line, line
        yield process, port_in(line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def publisher(port: int) -> RestClient:
    return RestClient.from_url(f"http://app-key:hush-hush@127.0.0.1:{port}/apps/1001")


async def subscribe(stack: AsyncExitStack, port: int) -> Wire:
    client = await stack.enter_async_context(websocket(port, "/app/app-key?protocol=7"))
    await client.event()
    client.send('{"event":"pusher:subscribe","data":{"channel":"orders"}}')
    assert (await client.event())["event"] == "pusher_internal:subscription_succeeded"
    return client


async def live(stack: AsyncExitStack, port: int, client: Wire, closes: list[int], over: asyncio.Event) -> Wire:
    """A client that comes back as often as it is sent away; its connection in the end."""
    ending = asyncio.ensure_future(over.wait())
    while True:
        receiving = asyncio.ensure_future(client.receive(patience=60))
        await asyncio.wait([receiving, ending], return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            receiving.cancel()
            return client
        opcode, payload = receiving.result()
        assert opcode == CLOSE
        closes.append(int.from_bytes(payload[:2], "big"))
        client.write(frame(CLOSE, payload[:2]))
        client = await subscribe(stack, port)


async def test_clients_of_all_workers_get_what_any_of_them_is_asked_to_publish(served):
    _, port = served
    async with AsyncExitStack() as stack:
        clients = [await subscribe(stack, port) for _ in range(CLIENTS)]
        for number in range(8):  # each over a connection of its own, which is one of either worker's
            async with publisher(port) as rest:
                await rest.trigger("orders", "paid", str(number))
                assert (await rest.channel("orders", info=["subscription_count"])).subscription_count == CLIENTS
        for client in clients:
            assert sorted([(await client.event())["data"] for _ in range(8)]) == [str(number) for number in range(8)]


async def test_workers_leave_clients_over_http_alone(served):
    _, port = served
    assert (await http(port, "POST", "/pusher/app/app-key/1/abcdefgh/xhr?protocol=7")).status == 404


async def test_a_rolling_restart_sends_each_client_away_once_and_publishers_notice_nothing(served):
    process, port = served
    async with AsyncExitStack() as stack, publisher(port) as rest:
        clients = [await subscribe(stack, port) for _ in range(CLIENTS)]
        over = asyncio.Event()
        published = 0

        async def publish() -> None:
            nonlocal published
            while not over.is_set():
                await rest.trigger("other", "paid", "")
                published += 1

        publishing = asyncio.ensure_future(publish())
        closes: list[list[int]] = [[] for _ in clients]
        done = asyncio.Event()
        lives = [asyncio.ensure_future(live(stack, port, *each, done)) for each in zip(clients, closes, strict=True)]
        process.send_signal(signal.SIGHUP)
        assert await asyncio.to_thread(says, process) == "Relay: all workers are new\n"
        done.set()
        back = await asyncio.gather(*lives)
        assert closes == [[4200]] * CLIENTS
        await rest.trigger("orders", "paid", "again")
        for client in back:
            assert (await client.event())["data"] == "again"
        over.set()
        await publishing  # raises what went wrong, if anything did
        assert published > 0


def test_workers_that_would_not_know_each_other_are_refused(capsys):
    told = sentence(run(capsys, "serve", *CREDENTIALS, "--workers", "2"))
    assert told == (
        "2 workers would each know only their own clients, and events would not reach the others: add --cluster"
        " redis://HOST:PORT, or leave --workers at 1"
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("kafka://user:hush-hush@x:1", "--cluster is redis://HOST:PORT or nats://HOST:PORT, got kafka://..."),
        ("hush-hush", "--cluster is redis://HOST:PORT or nats://HOST:PORT, got something that is no URL"),
    ],
)
def test_an_engine_that_there_is_not_is_refused_without_its_password(capsys, url, told):
    assert sentence(run(capsys, "serve", *CREDENTIALS, "--cluster", url)) == told


def test_workers_do_not_share_a_unix_socket(capsys, tmp_path):
    flags = ["--workers", "2", "--cluster", "redis://x", "--unix", tmp_path / "s", "--port", "0"]
    assert "cannot share a Unix socket" in sentence(run(capsys, "serve", *CREDENTIALS, *flags))
