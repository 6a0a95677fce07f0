"""A Redis that answers and does not do what it is asked, or forgot it: nodes say so, and are right again by themselves.

With the default settings, which are those that the documentation tells of.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
import redis

from relay import BrokerError, BrokerUnavailable, Hub
from relay.cluster.redis import RedisCluster, RedisSettings
from relay.facts import BrokerLost, DirectoryLost, DirectoryRestored
from tests.integration.outages import red, until_green, until_red
from tests.integration.redis_nodes import QUICK, ROOM, count, member, nodes, until, until_heard, until_known, users
from tests.redis_server import RedisServer, free_ports, running, servers, sharded
from tests.unit.client import ADDED, APP, arrive

GUIDE = Path(__file__).parents[2] / "docs/how-to/more-than-one-node.md"
DEFAULTS = RedisSettings()


@pytest.fixture
def server(redis_program) -> Iterator[RedisServer]:
    with running(redis_program) as server:
        yield server


@contextmanager
def asleep(server: RedisServer, seconds: float) -> Iterator[None]:
    """Redis does nothing for so long, by its own `DEBUG SLEEP`."""
    with redis.Redis.from_url(server.url, single_connection_client=True) as client:
        connection: Any = client.connection
        connection.send_command("DEBUG", "SLEEP", seconds)
        yield
        assert connection.read_response() == b"OK"


async def test_a_redis_that_sleeps_makes_nodes_unready_within_five_seconds_and_they_are_ready_when_it_wakes(server):
    async with nodes(server.url, settings=DEFAULTS) as hubs:
        ada = await member(hubs[0], "ada")
        lost = [red(hub) for hub in hubs]
        with asleep(server, 6):
            await until_red(*lost)
            assert not any(hub.readiness().ready for hub in hubs)
            await until_green(hubs)
        await member(hubs[1], "bob")
        await until(lambda: ada.about("bob") == [ADDED])
        assert await users(hubs[0]) == ["ada", "bob"]


async def test_a_redis_that_is_stopped_makes_nodes_unready_within_five_seconds(server):
    async with nodes(server.url, settings=DEFAULTS) as hubs:
        ada = await member(hubs[0], "ada")
        lost = [red(hub) for hub in hubs]
        server.pause()
        try:
            await until_red(*lost)
            assert not any(hub.readiness().ready for hub in hubs)
        finally:
            server.resume()
        await until_green(hubs)
        await until_heard(hubs[1], ada)


async def test_a_redis_that_is_flushed_makes_nodes_unready_until_rosters_are_right(server):
    async with nodes(server.url, settings=DEFAULTS) as hubs:
        ada, eve = await member(hubs[0], "ada"), await member(hubs[1], "eve")
        for number in range(50):
            await member(hubs[number % 2], f"u{number}", f"presence-{number % 7}")
        lost = [red(hub) for hub in hubs]
        server.ask("FLUSHALL")
        await until_red(*lost)
        assert [hub.readiness().broker for hub in hubs] == ["proven", "proven"]
        await until_green(hubs)
        for hub in hubs:
            assert set(await hub.channels()) == {ROOM, *(f"presence-{number}" for number in range(7))}
            assert sorted(await users(hub)) == ["ada", "eve"]
            assert {user for n in range(7) for user in await users(hub, f"presence-{n}")} == {
                f"u{number}" for number in range(50)
            }
            assert (count([hub], DirectoryLost), count([hub], DirectoryRestored)) == (1, 1)
            assert count([hub], BrokerLost) == 0
        assert (ada.about("eve"), eve.about("ada")) == ([ADDED], [])


REFUSALS = {
    "memory": (("maxmemory", "1mb"), ("maxmemory", "0"), "OOM"),
    "replicas": (("min-replicas-to-write", "1"), ("min-replicas-to-write", "0"), "NOREPLICAS"),
}


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_redis_that_refuses_writes_makes_nodes_unready_until_it_does_not_and_who_joined_is_known_then(
    server, why
):
    refuse, allow, _ = REFUSALS[why]
    async with nodes(server.url, settings=DEFAULTS) as hubs:
        ada = await member(hubs[0], "ada")
        lost = [red(hub) for hub in hubs]
        server.ask("CONFIG", "SET", *refuse)
        await until_red(*lost)
        assert [(hub.readiness().ready, hub.readiness().directory) for hub in hubs] == [(False, "lost")] * 2
        await member(hubs[1], "bob")
        server.ask("CONFIG", "SET", *allow)
        await until_green(hubs)
        assert sorted(await users(hubs[0])) == ["ada", "bob"]
        await until(lambda: ada.about("bob") == [ADDED])
        assert all(count([hub], DirectoryLost) == count([hub], DirectoryRestored) == 1 for hub in hubs)


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_hub_does_not_start_on_a_redis_that_refuses_writes_and_says_what_redis_says(server, why):
    refuse, allow, named = REFUSALS[why]
    server.ask("CONFIG", "SET", *refuse)
    with pytest.raises(BrokerError, match=f"Redis refuses: {named} "):
        await Hub(APP, cluster=RedisCluster(server.url, QUICK)).run()
    server.ask("CONFIG", "SET", *allow)
    async with Hub(APP, cluster=RedisCluster(server.url, QUICK)) as hub:
        assert hub.readiness().ready


@pytest.fixture
def guarded(redis_program) -> Iterator[RedisServer]:
    """One that is reached by its port, where a user can log in."""
    with servers(redis_program) as start:
        yield start(port=free_ports(1)[0])


def cluster_of(server: RedisServer, settings: RedisSettings = QUICK) -> RedisCluster:
    return RedisCluster(f"redis://relay:secret@127.0.0.1:{server.port}", settings)


def rights() -> list[str]:
    """What the guide says that Relay's user needs, after its name."""
    (line,) = re.findall(r"^ACL SETUSER relay (.*)$", GUIDE.read_text(), re.MULTILINE)
    return str(line).split()


async def test_the_rights_in_the_guide_are_enough_for_everything(guarded):
    guarded.ask("ACL", "SETUSER", "relay", *rights())
    async with Hub(APP, cluster=cluster_of(guarded)) as here:
        async with Hub(APP, cluster=cluster_of(guarded)) as there:
            ada = await member(here, "ada")
            await member(there, "bob")
            await until(lambda: ada.about("bob") == [ADDED])
            await there.trigger("cache-bus", "kept", "x")
            late = await arrive(here)
            await late.subscribe("cache-bus")
            assert "kept" in late.events()
            await (await arrive(here)).sign_in("eve")
            assert set(await there.channels(info=["subscription_count"])) == {ROOM, "cache-bus"}
            guarded.ask("FLUSHALL")
            await until(lambda: not here.readiness().ready)
            await until_known([here, there], {ROOM, "cache-bus"}, ["ada", "bob"])
            await until_green([here, there])
        await until(lambda: ada.about("bob")[-1:] == ["pusher_internal:member_removed"])
    denied = guarded.ask("ACL", "LOG")
    assert denied == []


async def test_in_a_redis_cluster_one_right_more_is_enough(redis_program):
    with sharded(redis_program) as shards:
        url = shards.url.replace("://", "://relay:secret@")
        shards.ask_all("ACL", "SETUSER", "relay", *rights())
        with pytest.raises(BrokerUnavailable, match=r"Redis refuses: NOPERM .*cluster\|slots"):
            await Hub(APP, cluster=RedisCluster(url, QUICK)).run()
        shards.ask_all("ACL", "LOG", "RESET")
        shards.ask_all("ACL", "SETUSER", "relay", "+cluster|slots")
        async with nodes(url) as hubs:
            ada = await member(hubs[0], "ada")
            await member(hubs[1], "bob")
            await until(lambda: ada.about("bob") == [ADDED])
            await until_heard(hubs[1], ada)
            assert set(await hubs[0].channels()) == {ROOM}
        assert shards.ask_all("ACL", "LOG") == [[], [], []]


@pytest.mark.parametrize(
    ("without", "said"),
    [("resetchannels", "access one of the channels"), ("-evalsha", "evalsha"), ("-script|load", "script\\|load")],
)
async def test_a_hub_does_not_start_without_a_right_and_says_noperm_and_which(guarded, without, said):
    guarded.ask("ACL", "SETUSER", "relay", *rights(), without)
    with pytest.raises(BrokerError, match=f"Redis refuses: NOPERM .*{said}"):
        await Hub(APP, cluster=cluster_of(guarded)).run()


@pytest.mark.parametrize("kind", ["redis", "redis+cluster"])
async def test_a_hub_does_not_start_while_redis_is_away_and_says_so(kind):
    (port,) = free_ports(1)
    with pytest.raises(BrokerUnavailable, match=f"Redis cannot be reached: .*{port}"):
        await Hub(APP, cluster=RedisCluster(f"{kind}://127.0.0.1:{port}", QUICK)).run()


async def until_tried(port: int, times: int) -> None:
    """Return when somebody has tried so often to connect there, where nobody answers now."""
    tried = 0

    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        nonlocal tried
        tried += 1
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hang_up)
        await until(lambda: tried >= times)
        tasks.cancel_scope.cancel()


async def test_an_outage_is_in_the_log_once_as_it_begins_and_once_as_it_ends(guarded, caplog):
    caplog.set_level(logging.INFO, "relay.cluster.redis.broker")
    async with nodes(f"redis://127.0.0.1:{guarded.port}", 1) as hubs:
        guarded.stop()
        await until_tried(guarded.port, 8)
        guarded.start()
        await until_green(hubs)
        about = [one.getMessage() for one in caplog.records if one.name == "relay.cluster.redis.broker"]
        assert about == ["this node does not hear the others", "this node hears the others again"]
