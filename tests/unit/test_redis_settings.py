"""What may be said about a Redis, and what is answered to the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import UsageError
from relay.cluster.broker import Proving
from relay.cluster.redis import RedisBroker, RedisCluster, RedisDirectory, RedisSettings
from relay.cluster.redis.keys import Keys, place


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "rediss://user:pass@127.0.0.1:1",
        "valkey://127.0.0.1",
        "unix:///tmp/redis.sock?db=1",
        "redis+sentinel://user:pass@127.0.0.1:1,127.0.0.1:2/main/3?client_name=relay",
        "redis+cluster://:pass@127.0.0.1:1",
    ],
)
def test_a_url_is_taken_and_nothing_is_connected(url):
    assert isinstance(RedisCluster(url).broker, Proving)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1",
        "http://user:hunter2@127.0.0.1",
        "redis+nats://:hunter2@127.0.0.1",
        "redis+sentinel://:hunter2@127.0.0.1:1",
        "redis://:hunter2@127.0.0.1:port",
        "redis://127.0.0.1?max_connections=hunter2",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_what_is_secret(url):
    with pytest.raises(UsageError, match="no Redis URL") as refused:
        RedisCluster(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": ""},
        {"prefix": "a{b"},
        {"lease": 0.0},
        {"lease": 3.0, "beat": 2.0},
        {"patience": float("inf")},
        {"forget": 20.0},
        {"in_flight": 0},
        {"shards": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        RedisSettings(**wrong)


@given(*[st.tuples(st.text("1:a{}é", max_size=4), st.text("1:a{}é", min_size=1, max_size=4))] * 2)
def test_no_two_channels_meet_in_one_name_and_none_decides_where_it_lies(one, other):
    keys = Keys("relay", 16)
    assert (place(*one) == place(*other)) == (one == other) == (keys.topic(*one) == keys.topic(*other))
    assert keys.topic(*one).startswith(keys.shard(place(*one)))


def test_two_clusters_in_one_redis_have_no_key_in_common():
    assert not Keys("relay", 1).nodes.startswith(Keys("rela", 1).numbered(0))
    assert Keys("a", 1).topic("1", "x") != Keys("b", 1).topic("1", "x")


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_another_loop_than_asyncio_is_the_embedding_programs_mistake():
    with pytest.raises(UsageError, match="needs asyncio"):
        await RedisDirectory("redis://127.0.0.1:1").roster("1", "presence-a")
    with pytest.raises(UsageError, match="needs asyncio"):
        await RedisBroker("redis://127.0.0.1:1").start(print)
