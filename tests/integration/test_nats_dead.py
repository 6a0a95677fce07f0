"""Dead nodes in NATS: nothing is left of them in the end, however many they were and however much they left."""

from base64 import b64decode
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from relay import BrokerError, BrokerUnavailable
from relay.cluster.nats import NatsDirectory, NatsSettings, leases
from tests.integration.dead_nodes import fill, join, largest_portion_swept, opened
from tests.integration.nats_nodes import QUICK, nodes
from tests.integration.redis_nodes import member, until
from tests.nats_server import INSTALL, NatsServer, running

ROOM = "presence-room"
SHORT = NatsSettings(lease=0.4, beat=0.1)
MANY = 3000


@pytest.fixture(scope="module")
def server(require) -> Iterator[NatsServer]:
    with running(require("nats-server", INSTALL)) as server:
        yield server


@pytest.fixture
def url(server: NatsServer) -> str:
    server.forget()
    return server.url


def directories(
    url: str, count: int, settings: NatsSettings = SHORT
) -> AbstractAsyncContextManager[list[NatsDirectory]]:
    return opened(NatsDirectory, url, count, settings)


def known(server: NatsServer) -> leases.Leases:
    """What the leases say."""
    message = server.ask("STREAM.MSG.GET.KV_relay", b'{"last_by_subj":"$KV.relay.nodes"}')["message"]
    return leases.load(b64decode(message["data"]))


async def test_a_node_that_ends_in_order_and_owns_nothing_is_forgotten_at_once(server, url):
    async with directories(url, 1) as (living,):
        for _ in range(3):
            async with directories(url, 1) as (ending,):
                await ending.beat(["1"])
        await living.beat(["1"])
        assert (len(known(server).living), known(server).dead) == (1, {})


async def test_the_dead_are_forgotten_when_all_they_left_is_swept_for_good(server, url):
    async with directories(url, 2) as (living, other):
        for number in range(3):
            async with directories(url, 1) as (ending,):
                await join(ending, f"1.{number}")
                await join(ending, f"2.{number}", app="2")
        await living.beat(["1"])
        await until_beaten(living, lambda: False, within=3 * SHORT.lease)
        assert len(known(server).dead) == 3  # they own something in an App that it does not serve
        await until_beaten(other, lambda: not known(server).dead, "1", "2")
        assert [await living.occupied(app, "") for app in ("1", "2")] == [{}, {}]


async def until_beaten(directory: NatsDirectory, true, *apps: str, within: float = 10) -> None:
    """Beat until it is so, or for that long."""
    with anyio.move_on_after(within):
        while not true():
            await directory.beat(apps or ("1",))
            await anyio.sleep(SHORT.beat)


async def test_a_node_that_sweeps_a_big_dead_one_does_not_miss_its_own_lease(url):
    async with directories(url, 3, QUICK) as (dying, *living):
        await fill(dying, "1", MANY)
        assert await largest_portion_swept(living, MANY, beat=QUICK.beat, lease=QUICK.lease) < MANY


async def test_a_channel_that_is_not_ours_keeps_nobody_else_of_a_dead_node_in(server, url):
    async with directories(url, 2) as (dying, living):
        await living.beat(["1"])
        await join(dying, "1.1")
        await join(dying, "1.2", "presence-other")
        place = "$KV.relay.place._MQ._cHJlc2VuY2Utcm9vbQ"
        assert "message" in server.ask("STREAM.MSG.GET.KV_relay", b'{"last_by_subj":"%b"}' % place.encode())
        server.publish(place, b"rubbish")
        await dying.close()
        found = [gone.socket_id for gone in (await living.beat(["1"])).abandoned]
        assert found == ["1.2"]
        assert not (await living.beat(["1"])).more


@pytest.mark.parametrize("key", ["nodes", "place._MQ._cHJlc2VuY2Utcm9vbQ"])
async def test_whoever_asks_for_what_is_not_ours_is_told_so(server, url, key):
    async with directories(url, 2) as (here, there):
        await here.beat(["1"])
        server.publish(f"$KV.relay.{key}", b"rubbish")
        refused = 0
        for asked in (there.roster("1", ROOM), there.beat(["1"])):
            try:
                await asked
            except BrokerUnavailable:
                raise
            except BrokerError:
                refused += 1
        assert refused == 1


async def test_rubbish_for_leases_ends_no_hub_but_none_is_ready(server, url):
    async with nodes(url, 2) as hubs:
        watching = [await member(hub, f"w{number}") for number, hub in enumerate(hubs)]
        server.publish("$KV.relay.nodes", b"rubbish")
        await until(lambda: not any(hub.readiness().ready for hub in hubs))
        assert [hub.running for hub in hubs] == [one.socket.open for one in watching] == [True, True]
