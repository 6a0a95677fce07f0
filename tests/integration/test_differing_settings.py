"""Nodes of one cluster that could not understand each other do not run beside each other unseen."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import msgspec
import pytest

from relay import BrokerError, Hub
from relay.cluster.cluster import Cluster
from relay.cluster.directory import Directory
from relay.cluster.nats import NatsCluster, NatsDirectory, NatsSettings
from relay.cluster.redis import RedisCluster, RedisDirectory, RedisSettings
from relay.errors import SettingsDiffer
from tests import nats_server, redis_server
from tests.integration import nats_nodes, redis_nodes
from tests.integration.redis_nodes import until
from tests.nats_server import NatsServer
from tests.redis_server import RedisServer
from tests.unit.client import APP
from tests.unit.command import CREDENTIALS, serving


class Engine:
    """One of the engines, empty, and its nodes with the settings that a test gives them."""

    def __init__(self, server: RedisServer | NatsServer) -> None:
        self._server = server
        self.url = server.url
        self.lose()

    def lose(self) -> None:
        """Let it forget everything."""
        if isinstance(self._server, RedisServer):
            self._server.ask("FLUSHALL")
        else:
            self._server.forget()

    def cluster(self, **settings: object) -> Cluster:
        if isinstance(self._server, RedisServer):
            return RedisCluster(self.url, msgspec.structs.replace(redis_nodes.QUICK, **settings))
        return NatsCluster(self.url, msgspec.structs.replace(nats_nodes.QUICK, **settings))

    def directory(self, **settings: object) -> Directory:
        if isinstance(self._server, RedisServer):
            return RedisDirectory(self.url, msgspec.structs.replace(RedisSettings(), **settings))
        return NatsDirectory(self.url, msgspec.structs.replace(NatsSettings(), **settings))


@pytest.fixture(scope="module", params=["redis", "nats"])
def server(request, require) -> Iterator[RedisServer | NatsServer]:
    if request.param == "redis":
        with redis_server.running(require("redis-server", redis_server.INSTALL)) as redis:
            yield redis
    else:
        with nats_server.running(require("nats-server", nats_server.INSTALL)) as nats:
            yield nats


@pytest.fixture
def engine(server) -> Engine:
    return Engine(server)


@pytest.fixture(scope="module")
def redis(require) -> Iterator[RedisServer]:
    with redis_server.running(require("redis-server", redis_server.INSTALL)) as server:
        yield server


async def refused(cluster: Cluster) -> SettingsDiffer:
    """What a hub over that says that does not start."""
    with pytest.raises(SettingsDiffer) as differs:
        await Hub(APP, cluster=cluster).run()
    return differs.value


async def beaten(directory: Directory) -> None:
    """One beat, as soon as the engine takes it: a node notices by a beat that fails that the engine lost everything."""
    with anyio.fail_after(10):
        while True:
            try:
                await directory.beat(())
            except SettingsDiffer:
                raise
            except BrokerError:
                continue
            return


async def test_a_node_with_another_lease_does_not_start_and_those_with_the_same_do(engine):
    async with Hub(APP, cluster=engine.cluster()) as first:
        differs = await refused(engine.cluster(lease=2.0))
        assert (differs.setting, differs.ours, differs.theirs) == ("lease", "2", "1")
        assert "lease is 1 on the other nodes of the cluster 'relay', and 2 on this one" in str(differs)
        async with Hub(APP, cluster=engine.cluster(patience=0.7, proof=0.2, beat=0.3, in_flight=9)) as same:
            assert first.readiness().ready
            assert same.readiness().ready


async def test_another_prefix_is_another_cluster(engine):
    first, other = (Hub(APP, cluster=engine.cluster(**one)) for one in ({}, {"prefix": "other", "lease": 2.0}))
    async with first, other:
        assert other.readiness().ready


async def test_what_the_engine_lost_is_written_again_by_whoever_runs(engine):
    async with Hub(APP, cluster=engine.cluster()) as first:
        engine.lose()
        await until(lambda: not first.readiness().ready)
        await until(lambda: first.readiness().ready)
        assert (await refused(engine.cluster(forget=50.0))).setting == "forget"


async def test_when_nobody_lives_any_more_the_settings_may_be_others(engine):
    async with Hub(APP, cluster=engine.cluster()):
        pass
    with anyio.fail_after(10):
        while True:
            hub = Hub(APP, cluster=engine.cluster(lease=2.0))
            try:
                async with hub:
                    assert hub.readiness().ready
                    break
            except* SettingsDiffer:
                pass


async def test_the_older_agreement_holds_when_the_engine_lost_it_and_another_came_first(engine):
    here, also, there = engine.directory(), engine.directory(), engine.directory(lease=20.0)
    await here.beat(())
    await also.beat(())
    engine.lose()
    await beaten(there)
    await beaten(also)
    with pytest.raises(SettingsDiffer, match="lease is 10 on the other nodes"):
        await beaten(there)
    await beaten(here)
    for directory in (here, also, there):
        await directory.close()


async def test_shards_are_agreed_on(redis):
    redis.ask("FLUSHALL")
    async with Hub(APP, cluster=RedisCluster(redis.url)):
        differs = await refused(RedisCluster(redis.url, RedisSettings(shards=4)))
        assert (differs.setting, differs.ours, differs.theirs) == ("shards", "4", "1")


async def test_how_nats_keeps_things_is_agreed_on(require):
    with nats_server.running(require("nats-server", nats_server.INSTALL)) as nats:
        async with Hub(APP, cluster=NatsCluster(nats.url)):
            assert (await refused(NatsCluster(f"{nats.url}?storage=file"))).setting == "storage"


async def test_a_node_that_runs_with_other_settings_than_the_rest_is_not_ready_until_they_are_gone(redis):
    redis.ask("FLUSHALL")
    async with redis_nodes.nodes(redis.url, 1) as (hub,):
        redis.ask("HSET", "relay:{nodes}:agreed", "since", 1, "shards", 4)
        await until(lambda: hub.readiness().directory == "lost")
        assert redis.ask("HGET", "relay:{nodes}:agreed", "shards") == b"4"
        await until(lambda: hub.readiness().ready)  # a lease later


async def test_what_is_no_agreement_of_ours_is_told(redis):
    redis.ask("FLUSHALL")
    redis.ask("SET", "relay:{nodes}:agreed", "rubbish")
    with pytest.raises(BrokerError, match="Redis refuses: WRONGTYPE"):
        await Hub(APP, cluster=RedisCluster(redis.url)).run()


def test_relay_serve_takes_the_settings_of_its_file_and_tells_which_one_differs(redis, tmp_path):
    redis.ask("FLUSHALL")
    flags = ["--port", "0", *CREDENTIALS, "--cluster", redis.url, "--cluster-prefix", "shop"]
    with serving(*flags) as (_, line):
        assert line.startswith("Relay listens")
        assert {key.partition(b":")[0] for key in redis.ask("KEYS", "*")} == {b"shop"}
        told = tmp_path / "relay.toml"
        told.write_text(
            f'[server]\nport = 0\n[cluster]\nurl = "{redis.url}"\nprefix = "shop"\nshards = 4\n'
            '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "hush-hush"\n'
        )
        with serving("--config", told) as (process, nothing):
            assert nothing == ""
            assert process.wait(10) == 1
            assert process.stderr is not None
            [sentence] = process.stderr.read().splitlines()
            assert sentence.startswith(
                "relay: shards is 1 on the other nodes of the cluster 'shop', and 4 on this one: "
            )
