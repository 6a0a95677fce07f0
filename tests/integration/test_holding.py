"""Events that wait while a real Redis or NATS is away get to the other nodes when it is back: once, and in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple
from urllib.request import urlopen

import anyio
import anyio.to_thread
import pytest

from relay import Hub
from relay.receipts import Remote
from relay_transports.aiohttp import RestClient
from tests import nats_server, redis_server
from tests.integration import nats_nodes, redis_nodes
from tests.integration.redis_nodes import Watching, until
from tests.nats_server import NatsServer
from tests.redis_server import RedisServer
from tests.unit.client import ACK, arrive
from tests.unit.command import CREDENTIALS, port_in, serving

HOLD = 50


class Engine(NamedTuple):
    server: RedisServer | NatsServer
    nodes: Callable[[], AbstractAsyncContextManager[list[Hub]]]


@pytest.fixture(params=["redis", "nats"])
def engine(request, require) -> Iterator[Engine]:
    """One for each test, and the hubs that meet at it."""
    if request.param == "redis":
        with redis_server.running(require("redis-server", redis_server.INSTALL)) as redis:
            yield Engine(redis, lambda: redis_nodes.nodes(redis.url, hold=HOLD))
    else:
        with nats_server.running(require("nats-server", nats_server.INSTALL)) as nats:
            yield Engine(nats, lambda: nats_nodes.nodes(nats.url, hold=HOLD))


async def publish(hub: Hub, *numbers: int) -> list[Remote]:
    """What the receipts say of events that are named by these numbers."""
    return [(await hub.trigger("news", f"event-{number}", "")).remote for number in numbers]


def named(*numbers: int) -> list[str]:
    return [f"event-{number}" for number in numbers]


async def unready(hubs: list[Hub]) -> None:
    await until(lambda: not any(hub.readiness().ready for hub in hubs))


async def all_sent(hubs: list[Hub]) -> None:
    await until(lambda: all(hub.readiness().ready for hub in hubs) and not any(hub.events_held() for hub in hubs))


@pytest.mark.parametrize("how", ["hangs", "is started anew"])
async def test_what_waits_for_an_engine_that_is_away_arrives_when_it_is_back(engine, how):
    server = engine.server
    async with engine.nodes() as hubs:
        here, there = hubs
        near, far = Watching(await arrive(here)), Watching(await arrive(there))
        for one in (near, far):
            await one.socket.subscribe("news")
        assert await publish(here, 0) == ["sent"]
        server.pause() if how == "hangs" else server.stop()
        await unready(hubs)
        with anyio.fail_after(2):
            assert await publish(here, *range(1, 70)) == ["held"] * HOLD + ["unavailable"] * 19
        server.resume() if how == "hangs" else server.start()
        await all_sent(hubs)
        await until(lambda: len(far.events) >= 2 + HOLD)
        assert await publish(here, 70) == ["sent"]
        await far.gets(ACK, *named(*range(HOLD + 1), 70))
        await near.gets(ACK, *named(*range(71)))
        assert here.totals().events_given_up == 0


async def test_of_what_is_published_at_once_when_an_engine_begins_to_hang_nothing_arrives_twice_or_out_of_order(engine):
    told: dict[int, Remote] = {}

    async def tell(number: int) -> None:
        (told[number],) = await publish(hubs[0], number)

    async with engine.nodes() as hubs:
        far = Watching(await arrive(hubs[1]))
        await far.socket.subscribe("news")
        engine.server.pause()
        for first in range(0, 100, 10):
            async with anyio.create_task_group() as tasks:
                for number in range(first, first + 10):
                    tasks.start_soon(tell, number)
        await unready(hubs)
        engine.server.resume()
        await all_sent(hubs)
        assert await publish(hubs[0], 100) == ["sent"]
        await until(lambda: far.events[-1] == "event-100")
        seen = [int(event.removeprefix("event-")) for event in far.events[1:]]
        assert seen == sorted(set(seen))
        assert {number for number, remote in told.items() if remote == "held"} <= set(seen)
        assert set(told.values()) == {"held", "unavailable"}


@pytest.mark.parametrize("how", ["hangs", "is started anew"])
async def test_a_user_who_is_terminated_while_an_engine_is_away_is_closed_on_the_other_node_when_it_is_back(
    engine, how
):
    server = engine.server
    async with engine.nodes() as hubs:
        here, there = hubs
        near, far, other = await arrive(here), await arrive(there), await arrive(there)
        for socket, user in ((near, "ada"), (far, "ada"), (other, "bob")):
            await socket.sign_in(user)
        server.pause() if how == "hangs" else server.stop()
        with anyio.fail_after(5):
            closed = await here.terminate_user_connections("ada")
        assert (closed, closed.remote, near.close_code, far.open) == (1, "held", 4009, True)
        await unready(hubs)
        late = await arrive(there)
        await late.sign_in("ada")
        server.resume() if how == "hangs" else server.start()
        await all_sent(hubs)
        await until(lambda: not far.open)
        assert (far.close_code, other.open, here.totals().events_given_up) == (4009, True, 0)
        # what is on its way, in an engine that hangs or until NATS is connected, does not know for how long it was
        if how != "hangs" and isinstance(server, RedisServer):
            assert late.open


async def test_a_hub_that_ends_while_its_engine_is_away_does_not_wait_for_it(engine):
    with anyio.fail_after(15):
        async with engine.nodes() as hubs:
            engine.server.pause()
            await unready(hubs)
            assert await publish(hubs[0], 1, 2) == ["held", "held"]
            await hubs[0].settle()
        assert hubs[0].totals().events_given_up == 2


async def test_relay_serve_lets_as_many_wait_as_its_flag_says(require):
    with redis_server.running(require("redis-server", redis_server.INSTALL)) as redis:
        flags = ("--port", "0", "--cluster", redis.url, "--hold", "2", "--drain", "0")
        with serving(*CREDENTIALS, *flags) as (_, line):
            port = port_in(line)
            redis.stop()
            async with RestClient.from_url(f"http://app-key:hush-hush@127.0.0.1:{port}/apps/1001") as rest:
                for _ in range(4):
                    await rest.trigger("news", "paid", "")
            assert 'relay_events_held{app="1001"} 2.0' in await anyio.to_thread.run_sync(metrics, port)


def metrics(port: int) -> list[str]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: bytes = answer.read()
    return text.decode().splitlines()
