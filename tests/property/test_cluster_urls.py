"""Whatever stands in the URL of an engine, no part of its secrets is told: in no error, no repr, no line of a log."""

import logging
import traceback

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay import Hub, UsageError
from relay.cli.engines import cluster_of
from relay.cluster.cluster import Cluster
from relay.cluster.nats import NatsCluster
from relay.cluster.redis import RedisCluster
from relay.config import ServerConfig
from relay.errors import BrokerUnavailable
from tests.redis_server import free_ports
from tests.unit.client import APP

WORD = "hush"
SPECIAL = "/?#@:[]%&=,;+ \\'\"\t\n\u2100\u00e9.0"
"""What has a meaning in URLs, or may make a parser quote what it read: NFKC makes a/c of the third one from the end."""

secrets = st.lists(st.sampled_from([WORD, *SPECIAL]), min_size=1, max_size=8).map("".join)
schemes = st.sampled_from(
    ["redis", "REDIS", "rediss", "valkey", "unix", "redis+sentinel", "redis+cluster", "nats", "TLS", "http", "", "a b"]
)
hosts = st.sampled_from(["h", "h:1", "h:port", "h:0", "h:99999", "[::1]:1", "[::1", "", "a:1,b:2", "a:1,b:port"])
endings = st.sampled_from(["", "/", "/0", "/zz", "/main/2", "/main/zz", "?db=1", "?db=zz", "?foo=1", "/0?db=1", "#x"])
urls = st.one_of(
    st.builds("{}://{}:{}@{}{}".format, schemes, secrets, secrets, hosts, endings),
    st.builds("{}://:{}@{}{}".format, schemes, secrets, hosts, endings),
    st.builds("{}://{}@{}{}".format, schemes, secrets, hosts, endings),
    st.builds("{}://:{}".format, schemes, secrets),
    st.builds("{}://{}/0?password={}".format, schemes, hosts, secrets),
    st.builds("unix://{}@/tmp/x?{}={}".format, secrets, secrets, secrets),
)


@given(urls)
@example("redis://:pa/hush@host:6379/0")
@example("redis://u:hush#1@host:1")
@example("redis://:hush?ret@host:6379")
@example("redis+sentinel://:se/hush@h:1/s")
@example("redis+cluster://:hush/cret@h:1")
@example("redis://u:hush\u2100@h:1")
@example("redis://u:[hush]@h:1")
@example("nats://tok/hush")
@example("hush@x://h")
@pytest.mark.parametrize("make", [RedisCluster, NatsCluster, cluster_of])
def test_no_part_of_a_secret_is_told(make, url):
    try:
        cluster: Cluster = make(url)
    except UsageError as refused:
        told = [*traceback.format_exception_only(refused), repr(refused.__cause__), repr(refused.__context__)]
    else:
        told = [repr(cluster), repr(cluster.broker), repr(cluster.directory), repr(Hub(APP, cluster=cluster))]
    assert WORD not in "".join(told)


@given(urls)
def test_nor_is_it_in_what_the_command_line_was_told(url):
    assert WORD not in repr(ServerConfig(cluster=url))


@pytest.mark.parametrize("make", [RedisCluster, NatsCluster])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_nor_is_it_in_the_log_of_a_node_that_finds_nobody(make, caplog):
    scheme = "redis" if make is RedisCluster else "nats"
    caplog.set_level(logging.DEBUG)
    hub = Hub(APP, cluster=make(f"{scheme}://hush:hush%2Fhush@127.0.0.1:{free_ports(1)[0]}"))
    with pytest.raises(BaseExceptionGroup) as failed:
        async with hub:
            raise AssertionError("nobody is there")
    [refused] = failed.value.exceptions
    assert isinstance(refused, BrokerUnavailable)
    assert WORD not in "".join(map(str, [refused, *(vars(record) for record in caplog.records)]))
