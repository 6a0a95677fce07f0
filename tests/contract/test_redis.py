"""Redis keeps what a Broker and a Directory promise."""

from collections.abc import AsyncIterator, Iterator

import pytest

from relay.cluster.broker import Broker
from relay.cluster.directory import Retention
from relay.cluster.redis import RedisBroker, RedisDirectory, RedisSettings
from tests.conftest import redis_programs
from tests.contract.test_broker import Make, WireContract
from tests.contract.test_directory import DirectoryContract, Nodes, recall, remember
from tests.redis_server import RedisServer, RedisShards, running, sharded


@pytest.fixture(scope="module")
def server(redis_program) -> Iterator[RedisServer]:
    with running(redis_program) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    """An empty Redis."""
    server.ask("FLUSHALL")
    return server.url


def test_valkey_is_here_too() -> None:
    """What needs a Redis runs on Valkey as well, where there is one: this one line says where there is none."""
    if "valkey-server" not in redis_programs():
        pytest.skip("valkey-server is missing: apt-get install valkey-server, where the distribution has it")


LOOPS = [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]


@pytest.fixture(scope="module", params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


class TestBroker(WireContract):
    @pytest.fixture
    def make(self, url: str) -> Make:
        async def make() -> Broker:
            return RedisBroker(url)

        return make


class _TestDirectory(DirectoryContract):
    settings = RedisSettings()

    @pytest.fixture
    async def directories(self, url: str) -> AsyncIterator[Nodes]:
        here, there = RedisDirectory(url, self.settings), RedisDirectory(url, self.settings)
        yield here, there
        await here.close()
        await there.close()


class TestDirectory(_TestDirectory):
    pass


class TestDirectoryOfSeveralShards(_TestDirectory):
    """As in a Redis Cluster. How much is remembered is bounded shard by shard there."""

    settings = RedisSettings(shards=7)

    async def test_the_channel_remembered_longest_ago_makes_room(self, directories):
        few = Retention(ttl=60, max_channels=14, max_bytes=10_000)
        names = [f"cache-{number}" for number in range(200)]
        for name in names:
            await remember(directories[0], name, b"x", retention=few)
        kept = [name for name in names if await recall(directories[1], name)]
        assert len(kept) == 14
        assert kept[-1] == names[-1]

    async def test_what_is_remembered_has_a_bound_in_bytes(self, directories):
        little = Retention(ttl=60, max_channels=1000, max_bytes=7000)
        names = [f"cache-{number:03}" for number in range(200)]
        for name in names:
            await remember(directories[0], name, b"x" * 91, retention=little)
        kept = [name for name in names if await recall(directories[1], name)]
        assert len(kept) == 70  # of 100 bytes, name and text


@pytest.fixture(scope="module")
def shards(redis_program) -> Iterator[RedisShards]:
    with sharded(redis_program) as shards:
        yield shards


class TestBrokerOfARedisCluster(TestBroker):
    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls):
        return LOOPS[0]

    @pytest.fixture
    def url(self, shards: RedisShards) -> str:
        return shards.url


class TestDirectoryOfARedisCluster(TestDirectoryOfSeveralShards):
    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls):
        return LOOPS[0]

    @pytest.fixture
    def url(self, shards: RedisShards) -> str:
        shards.ask_all("FLUSHALL")
        return shards.url
