"""Where there is more than one Redis: a master that Sentinels watch, and a Redis Cluster with sharded pub/sub."""

from collections.abc import Iterator

import pytest
import trustme

from relay import BrokerError, Hub
from relay.cluster.redis import RedisCluster, RedisSettings
from relay.facts import BrokerLost, BrokerRestored, MemberAdded, MemberRemoved
from tests.integration.redis_nodes import ROOM, Watching, count, member, nodes, until, until_heard, users
from tests.redis_server import RedisShards, Watched, free_ports, servers, sharded, watched
from tests.unit.client import ACK, ADDED, APP, REMOVED, arrive

CALM = RedisSettings(lease=3.0, beat=0.5, patience=3.0, proof=0.2)
"""For three servers and many connections, on a machine that may be busy."""


@pytest.fixture
def master(redis_program) -> Iterator[Watched]:
    with watched(redis_program) as servers:
        yield servers


@pytest.fixture
def shards(redis_program) -> Iterator[RedisShards]:
    with sharded(redis_program) as servers:
        yield servers


async def test_a_failover_is_seen_as_a_loss_and_the_new_master_is_told_again(master):
    async with nodes(master.url) as hubs:
        ada, eve = await member(hubs[0], "ada"), await member(hubs[1], "eve")
        master.servers[0].stop()
        await until(lambda: not any(hub.readiness().ready for hub in hubs))
        await until(lambda: all(hub.readiness().ready for hub in hubs))
        assert sorted(await users(hubs[0])) == ["ada", "eve"]
        await until_heard(hubs[1], ada)
        await member(hubs[0], "carl")
        await until(lambda: eve.about("carl") == [ADDED])
        assert [count([hub], BrokerLost) for hub in hubs] == [count([hub], BrokerRestored) for hub in hubs]
        assert (eve.about("ada"), ada.about("eve")) == ([], [ADDED])


async def test_over_tls_both_sides_show_who_they_are(redis_program, tmp_path):
    authority = trustme.CA()
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    shown = authority.issue_cert("localhost")
    shown.cert_chain_pems[0].write_to_path(cert)
    shown.private_key_pem.write_to_path(key)
    [port] = free_ports(1)
    files = ("--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file", str(ca))
    with servers(redis_program) as start:
        start("--tls-port", str(port), *files, "--save", "")
        url = f"rediss://localhost:{port}/1?ssl_certfile={cert}&ssl_keyfile={key}"
        async with nodes(f"{url}&ssl_ca_certs={ca}") as (here, there):
            ada = await member(here, "ada")
            await there.trigger(ROOM, "paid", "")
            await ada.gets(ACK, "paid")
        with pytest.raises(BrokerError, match="CERTIFICATE_VERIFY_FAILED"):
            await Hub(APP, cluster=RedisCluster(url)).run()
        async with nodes(f"{url}&ssl_cert_reqs=none&ssl_check_hostname=no", 1) as (hub,):
            assert hub.readiness().ready


async def test_a_db_of_a_master_that_sentinels_know_is_a_cluster_of_its_own(master):
    async with nodes(f"{master.url}/0", 1) as (here,), nodes(f"{master.url}/1") as (there, also):
        near, far = await member(here, "ada"), await member(there, "bob")
        await here.trigger(ROOM, "paid", "")
        await also.trigger(ROOM, "last", "")
        await near.gets(ACK, "paid")
        await far.gets(ACK, "last")


async def test_the_shards_of_a_redis_cluster_carry_events_and_members(shards):
    async with nodes(shards.url, 3, settings=CALM) as hubs:
        sockets = [Watching(await arrive(hub)) for hub in hubs]
        names = [f"news-{number}" for number in range(20)]
        for name in names:
            await sockets[0].socket.subscribe(name)
            await hubs[1].trigger(name, name, "")
        await until(lambda: len(sockets[0].events) == 40)
        assert sorted(set(sockets[0].events)) == sorted({ACK, *names})
        rooms = [await member(hubs[0], "eve", f"presence-{number}") for number in range(20)]
        for number in range(20):
            await member(hubs[number % 2 + 1], "ada", f"presence-{number}")
        await until(lambda: all(room.about("ada") == [ADDED] for room in rooms))
        assert set(await hubs[2].channels()) == {*names, *(f"presence-{number}" for number in range(20))}
        subscribed = [server.ask("PUBSUB", "SHARDCHANNELS") for server in shards.servers]
        assert all(subscribed)


async def test_the_dead_are_swept_from_every_shard(shards):
    async with nodes(shards.url, settings=CALM) as hubs:
        rooms = [await member(hubs[0], "eve", f"presence-{number}") for number in range(20)]
        async with nodes(shards.url, 1, settings=CALM) as (dying,):
            for number in range(20):
                await member(dying, "ada", f"presence-{number}")
            await until(lambda: all(room.about("ada") == [ADDED] for room in rooms))
            await _vanish(dying)
            await until(lambda: all(room.about("ada") == [ADDED, REMOVED] for room in rooms))
        assert [count(hubs, MemberRemoved, channel=f"presence-{number}") for number in range(20)] == [1] * 20
        assert [count([dying], MemberAdded, channel=f"presence-{number}") for number in range(20)] == [1] * 20


async def _vanish(hub: Hub) -> None:
    """As if its process was killed: it says nothing any more."""
    hub._node.heartbeat.stop()  # noqa: SLF001 - what no program would do to itself


async def test_a_shard_that_lost_everything_is_told_again(shards):
    async with nodes(shards.url, settings=CALM) as hubs:
        ada, eve = await member(hubs[0], "ada"), await member(hubs[1], "eve")
        await until(lambda: ada.about("eve") == [ADDED])
        for server in shards.servers:
            server.ask("FLUSHALL")
        await _known(hubs, ["ada", "eve"])
        await until_heard(hubs[1], ada)
        assert (eve.about("ada"), ada.about("eve")) == ([], [ADDED])


async def _known(hubs: list[Hub], members: list[str]) -> None:
    for hub in hubs:
        found: list[str] = []
        while sorted(found) != members:
            try:
                found = await users(hub, ROOM)
            except BrokerError:
                pass
