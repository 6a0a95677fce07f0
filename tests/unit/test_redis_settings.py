"""What may be said about a Redis, and what is answered to the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import UsageError
from relay.cluster.broker import Proving
from relay.cluster.redis import RedisBroker, RedisCluster, RedisDirectory, RedisSettings
from relay.cluster.redis.address import locate
from relay.cluster.redis.keys import Keys, place
from relay.cluster.redis.target import Target


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "rediss://user:pass@127.0.0.1:1",
        "valkey://127.0.0.1",
        "unix:///tmp/redis.sock?db=1",
        "unix://user:pass@/tmp/redis.sock",
        "REDIS://127.0.0.1:1/0",
        "Valkeys+Cluster://127.0.0.1/",
        "redis://[::1]:1?password=pass&socket_keepalive=no",
        "rediss://127.0.0.1?ssl_cert_reqs=none&ssl_check_hostname=false",
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
        "redis://127.0.0.1?hunter2",
        "redis://user:hunter2/@a",
        "redis://user:hunter2#@a",
        "redis://user:hunter2?@a",
        "redis://:12/hunter2@a:1",
        "redis://:hunter2",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_what_is_secret(url):
    with pytest.raises(UsageError, match="no Redis URL") as refused:
        RedisCluster(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rediss://h/zz", "the db is a whole number from 0 on"),
        ("redis://h/-1", "the db is a whole number from 0 on"),
        ("redis://h/1/2", "the db is a whole number from 0 on"),
        ("redis://h?db=", "the db is a whole number from 0 on"),
        ("redis+sentinel://h:1/main/zz", "the db is a whole number from 0 on"),
        ("redis://h/1?db=2", "the db is told twice"),
        ("redis+cluster://h/1", "a Redis Cluster has only db 0"),
        ("redis://h?foo=1", "behind ? come username, password, db, "),
        ("redis://h?db=1&db=2", "each once"),
        ("redis://h?ssl_certfile=a.pem", "ssl_certfile is for rediss://"),
        ("rediss://h?ssl_check_hostname=perhaps", "ssl_check_hostname is yes or no"),
        ("rediss://h?ssl_cert_reqs=all", "ssl_cert_reqs is none, optional or required"),
        ("redis://h:port", "the port is a number from 1 to 65535"),
        ("redis://h:0", "the port is a number from 1 to 65535"),
        ("redis://h:99999", "the port is a number from 1 to 65535"),
        ("redis://u:pa/ss@h:1", "%2F"),
        ("redis://u:pa#ss@h:1", "there is a #"),
        ("redis://u:pa ss@h", "there is a space or a control character in it"),
        ("redis://[::1", "its host cannot be read"),
        ("redis://:pa@", "a host is missing"),
        ("redis://a,b", "one server"),
        ("redis+sentinel://a:1", "after the Sentinels comes /service"),
        ("redis+sentinel://a:1,/main", "a host is missing"),
        ("unix://tmp/redis.sock", "unix:///path"),
        ("unix://", "unix:///path"),
        ("unix+cluster:///tmp/redis.sock", "got unix+cluster://..."),
        ("kafka://h", "got kafka://..."),
    ],
)
def test_a_url_that_cannot_be_meant_is_told_what_could(url, told):
    with pytest.raises(UsageError, match="no Redis URL") as refused:
        RedisCluster(url)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://h", 0),
        ("redis://h/", 0),
        ("REDIS://h/7", 7),
        ("redis://h?db=7", 7),
        ("unix:///tmp/x?db=7", 7),
        ("redis+sentinel://h:1/main", 0),
        ("redis+sentinel://h:1/main/7", 7),
        ("redis+cluster://h/0", 0),
    ],
)
def test_the_db_is_what_the_url_says(url, database):
    assert locate(url, 1).database == database


def test_a_login_is_what_its_escapes_stand_for():
    server = Target("rediss://a%40b:p%3Ass%2F@[::1]:7?ssl_check_hostname=no&client_name=x%26y")
    assert server.hosts == [("::1", 7)]
    assert server.options == {
        "username": "a@b",
        "password": "p:ss/",
        "db": 0,
        "ssl_check_hostname": False,
        "client_name": "x&y",
    }


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


@given(*[st.tuples(st.integers(0, 20), st.text("1:at{}", max_size=4), st.text("1:at{}", max_size=4))] * 2)
def test_no_two_channels_of_two_dbs_meet(one, other):
    topics = [Keys("relay", 4, database).topic(app, channel) for database, app, channel in (one, other)]
    to_all = not one[2] and not other[2]  # whatever App it is about
    assert (topics[0] == topics[1]) == (one == other or (to_all and one[0] == other[0]))


def test_no_node_hears_the_beacon_of_another_db():
    assert Keys("relay", 1, 0).beacon("a", 0) != Keys("relay", 1, 1).beacon("a", 0)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_another_loop_than_asyncio_is_the_embedding_programs_mistake():
    with pytest.raises(UsageError, match="needs asyncio"):
        await RedisDirectory("redis://127.0.0.1:1").roster("1", "presence-a")
    with pytest.raises(UsageError, match="needs asyncio"):
        await RedisBroker("redis://127.0.0.1:1").start(print)
