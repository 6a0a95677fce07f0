"""A NATS of several servers, of which any may go."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import anyio
import pytest

from relay import Hub
from relay.cluster.nats import NatsBroker, NatsSettings
from relay.cluster.nats.address import Address
from relay.cluster.nats.lane import Lane
from relay.facts import BrokerLost, BrokerRestored, MemberRemoved
from tests.integration.nats_nodes import nodes
from tests.integration.node_process import process
from tests.integration.redis_nodes import ROOM, count, member, until, until_heard, until_known
from tests.nats_server import INSTALL, NatsServer, NatsServers, three
from tests.redis_server import free_ports
from tests.unit.client import ADDED, REMOVED

CALM = NatsSettings(lease=3.0, beat=0.5, proof=0.2, replicas=3)
"""For three servers, on a machine that may be busy."""
ELECTION = 20.0
"""Seconds that JetStream may take to find another leader: it waits for the old one for up to nine."""


@pytest.fixture
def servers(require) -> Iterator[NatsServers]:
    with three(require("nats-server", INSTALL)) as servers:
        yield servers


async def test_when_the_server_dies_that_says_who_is_where_only_those_who_left_are_told_to_have_left(servers):
    async with AsyncExitStack() as stack:
        hubs = await stack.enter_async_context(nodes(servers.url, settings=CALM))
        await until_known(hubs, set(), [], within=ELECTION)
        ada, eve = await member(hubs[0], "ada"), await member(hubs[1], "eve")
        node = stack.enter_context(process(servers.url, CALM))
        await node.hear("ready")
        await node.do(f"join {ROOM} bob")
        leader = servers.leader("KV_relay")  # without whom JetStream is silent for seconds
        while not leader.count("connections"):
            hubs += await stack.enter_async_context(nodes(servers.url, 1, settings=CALM))
        leader.stop()
        node.send(signal.SIGKILL)
        await heard_again(hubs)  # long before there is another leader
        await until(lambda: eve.about("bob") == ada.about("bob") == [ADDED, REMOVED], within=ELECTION)
        assert [count(hubs, MemberRemoved, user_id=user) for user in ("ada", "bob", "eve")] == [0, 1, 0]
        await until_known(hubs, {ROOM}, ["ada", "eve"])
        await member(hubs[0], "carl")
        await until(lambda: eve.about("carl") == ada.about("carl") == [ADDED])
        await until_heard(hubs[1], ada)
        await until(lambda: all(hub.readiness().ready for hub in hubs))
        lost = [count([hub], BrokerLost) for hub in hubs]
        assert lost == [count([hub], BrokerRestored) for hub in hubs]
        assert max(lost) <= 1  # whatever JetStream did not answer meanwhile
        assert (ada.about("eve"), eve.about("ada")) == ([ADDED], [])


async def heard_again(hubs: list[Hub]) -> None:
    """Return when each hub hears what it is told itself, and what every other one publishes."""
    with anyio.fail_after(5):
        for hub in hubs:
            while (await hub.trigger("news", "again", "")).remote != "sent":  # noqa: ASYNC110 - as in `until`
                await anyio.sleep(0.01)
    await until(lambda: all(hub.readiness().broker == "proven" for hub in hubs), within=5)


async def test_a_node_starts_though_one_of_the_servers_hangs(servers):
    servers.servers[1].pause()
    for _ in range(4):  # whichever server each of the two connections tries first
        broker = NatsBroker(servers.url, CALM)
        await broker.start(lambda _: None)
        assert broker.healthy
        await broker.close()


async def test_a_node_starts_where_one_server_learns_late_of_who_listens_at_another(require, tmp_path):
    program, (port,), settings = require("nats-server", INSTALL), free_ports(1), NatsSettings(patience=10.0)
    async with AsyncExitStack() as stack:
        way = await stack.enter_async_context(far_away(port, by=0.2))
        places = (f"nats://127.0.0.1:{port}",), ("nats://127.0.0.1:-1", "--routes", f"nats://127.0.0.1:{way}")
        options = [("--cluster_name", "relay", "--cluster", *place) for place in places]
        near, far = (NatsServer(program, tmp_path, *option, jetstream=False) for option in options)
        for server in (near, far):
            stack.callback(server.stop)
            server.launch()
        await until(lambda: near.count("routes") > 0 and far.count("routes") > 0)
        broker = NatsBroker(near.url, settings, lane=Lane(Address(far.url, settings)))
        stack.push_async_callback(broker.close)
        with anyio.fail_after(5):
            await broker.start(lambda _: None)


@asynccontextmanager
async def far_away(port: int, *, by: float) -> AsyncIterator[int]:
    """A port that leads to that port, over a way that takes so many seconds."""
    loop = asyncio.get_running_loop()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                loop.call_later(by, writer.write, data)
        writer.close()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.append(asyncio.current_task())
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
        else:
            await asyncio.gather(carry(reader, back), carry(there, writer))

    under_way: list[asyncio.Task[None] | None] = []
    async with await asyncio.start_server(both, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*filter(None, under_way))  # which end with those whom they carry for
