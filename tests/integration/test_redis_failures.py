"""What fails between nodes is noticed, told once, and put right by itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import anyio
import pytest

from relay import Hub
from relay.cluster.redis import RedisCluster
from relay.facts import BrokerLost, BrokerRestored, ChannelVacated, MemberRemoved, UserOffline
from tests.integration.node_process import process
from tests.integration.redis_nodes import (
    QUICK,
    ROOM,
    Watching,
    count,
    member,
    nodes,
    until,
    until_heard,
    until_known,
    users,
)
from tests.redis_server import RedisServer, running
from tests.unit.client import ACK, ADDED, APP, REMOVED, arrive


@pytest.fixture
def server(redis_program) -> Iterator[RedisServer]:
    """One for each test: most of them leave nothing of it as it was."""
    with running(redis_program) as server:
        yield server


def lost(hub: Hub) -> int:
    return count([hub], BrokerLost)


def restored(hub: Hub) -> int:
    return count([hub], BrokerRestored)


async def test_members_of_a_node_that_was_killed_leave_once_within_its_lease_and_a_beat(server):
    async with nodes(server.url, 3) as hubs:
        eve = await member(hubs[0], "eve")
        with process(server.url, QUICK) as node:
            await node.hear("ready")
            for line in (f"join {ROOM} ada", f"join {ROOM} bob", "join presence-other ada"):
                await node.do(line)
            await until(lambda: eve.events == [ACK, ADDED, ADDED])
            node.send(signal.SIGKILL)
            with anyio.fail_after(QUICK.lease + 2 * QUICK.beat + 0.5):
                await until(lambda: eve.events == [ACK, ADDED, ADDED, REMOVED, REMOVED])
            await until(lambda: count(hubs, ChannelVacated, channel="presence-other") == 1)
        assert [count(hubs, MemberRemoved, channel=ROOM, user_id=user) for user in ("ada", "bob", "eve")] == [1, 1, 0]
        assert await users(hubs[1]) == ["eve"]
        assert set(await hubs[2].channels()) == {ROOM}


async def test_a_user_who_has_a_tab_on_a_living_node_stays_when_another_node_dies(server):
    async with nodes(server.url) as hubs:
        ada, eve = await member(hubs[0], "ada"), await member(hubs[1], "eve")
        with process(server.url, QUICK) as node:
            await node.hear("ready")
            for user in ("ada", "bob"):
                await node.do(f"join {ROOM} {user}")
            node.send(signal.SIGKILL)
            await until(lambda: eve.about("bob") == [ADDED, REMOVED])
        assert (eve.about("ada"), ada.about("eve")) == ([], [ADDED])
        assert await users(hubs[1]) == ["ada", "eve"]


async def test_a_node_that_was_only_paused_comes_back_without_those_who_left(server):
    async with nodes(server.url) as hubs:
        eve = await member(hubs[0], "eve")
        with process(server.url, QUICK) as node:
            await node.hear("ready")
            for user in ("ada", "bob"):
                await node.do(f"join {ROOM} {user}")
            node.send(signal.SIGSTOP)
            await until(lambda: eve.about("ada") == eve.about("bob") == [ADDED, REMOVED])
            node.say("leave bob")
            node.send(signal.SIGCONT)
            await until(lambda: eve.about("ada") == [ADDED, REMOVED, ADDED])
            await node.hear("done")
            assert await users(hubs[1]) == ["eve", "ada"]
            node.send(signal.SIGKILL)
            await until(lambda: eve.about("ada") == [ADDED, REMOVED, ADDED, REMOVED])
        assert eve.about("bob")[:2] == [ADDED, REMOVED]
        assert eve.about("bob").count(ADDED) == eve.about("bob").count(REMOVED)


async def test_a_signed_in_user_of_a_node_that_was_killed_goes_offline_once(server):
    async with nodes(server.url) as hubs:
        with process(server.url, QUICK) as node:
            await node.hear("ready")
            await node.do("sign-in ada")
            node.send(signal.SIGKILL)
            await until(lambda: count(hubs, UserOffline, user_id="ada") == 1)


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
async def test_a_connection_that_is_cut_is_made_again_and_nobody_stays_deaf(server, kind):
    async with nodes(server.url) as (here, there):
        far = await member(there, "bob")
        before = server.ask("INFO", "stats")["total_connections_received"]
        server.ask("CLIENT", "KILL", "TYPE", kind)
        await until(lambda: server.ask("INFO", "stats")["total_connections_received"] >= before + 3)
        await until(lambda: here.readiness().ready and there.readiness().ready)
        await until_heard(here, far)
        await member(here, "ada")
        await until(lambda: far.about("ada") == [ADDED])


async def test_a_redis_that_hangs_makes_nodes_unready_and_nobody_wait_for_long(server):
    async with nodes(server.url) as hubs:
        here, there = hubs
        near = Watching(await arrive(here))
        await near.socket.subscribe("news")
        server.pause()
        with anyio.fail_after(5):
            assert (await here.trigger("news", "alone", "")).remote == "unavailable"
            await until(lambda: not here.readiness().ready and not there.readiness().ready)
            for _ in range(100):
                assert (await here.trigger("news", "alone", "")).remote == "unavailable"
        assert near.events == [ACK, *["alone"] * 101]
        server.resume()
        await until(lambda: all(hub.readiness().ready for hub in hubs))
        assert [(lost(hub), restored(hub)) for hub in hubs] == [(1, 1), (1, 1)]
        await until_heard(there, near, "news")


async def test_who_came_and_went_while_redis_was_away_is_known_everywhere_when_it_is_back(server):
    async with nodes(server.url) as hubs:
        here, there = hubs
        ada, bob, eve = await member(here, "ada"), await member(here, "bob"), await member(there, "eve")
        server.pause()
        await until(lambda: not any(hub.readiness().ready for hub in hubs))
        bob.socket.disconnect()
        await member(here, "carl")
        server.resume()
        await until(lambda: eve.about("carl") == [ADDED] and eve.about("bob") == [REMOVED])
        await until(lambda: all(hub.readiness().ready for hub in hubs))
        assert sorted(await users(there)) == ["ada", "carl", "eve"]
        assert (ada.about("carl"), ada.about("bob"), ada.about("eve")) == ([ADDED], [ADDED, REMOVED], [ADDED])


async def test_a_node_that_redis_throws_out_because_too_much_waits_for_it_is_back_by_itself(server):
    server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100kb 100kb 1")
    async with nodes(server.url, 1) as (hub,):
        ada = await member(hub, "ada")
        with process(server.url, QUICK) as node:
            await node.hear("ready")
            await node.do(f"join {ROOM} bob")
            node.send(signal.SIGSTOP)
            for number in range(1000):
                await hub.trigger(ROOM, "flood", "x" * 5000)
                if server.ask("PUBSUB", "NUMSUB", "relay:{0}:0:all")[1] == 1:
                    break
                assert number < 999, "Redis keeps everybody"
            node.send(signal.SIGCONT)
            await node.do("leave bob")
            await until(lambda: ada.about("bob")[-1:] == [REMOVED])
            await node.do(f"join {ROOM} carl")
            await until(lambda: ada.about("carl") == [ADDED])
            assert await users(hub) == ["ada", "carl"]


@pytest.mark.parametrize("how", ["flush", "restart"])
async def test_a_redis_that_lost_everything_is_told_again(server, how):
    async with nodes(server.url) as hubs:
        ada, eve = await member(hubs[0], "ada"), await member(hubs[1], "eve")
        await (await arrive(hubs[1])).subscribe("news")
        if how == "flush":
            server.ask("FLUSHALL")
        else:
            server.stop()
            await until(lambda: not any(hub.readiness().ready for hub in hubs))
            server.start()
        await until_known(hubs, {ROOM, "news"}, ["ada", "eve"])
        await until(lambda: all(hub.readiness().ready for hub in hubs))
        carl = await member(hubs[0], "carl")
        await until(lambda: eve.about("carl") == [ADDED])
        await until_heard(hubs[1], ada)
        assert (eve.about("ada"), ada.about("eve"), carl.about("ada")) == ([], [ADDED], [])


async def test_what_is_no_envelope_is_refused_and_counted_and_nobody_notices(server, caplog):
    cluster = RedisCluster(server.url, QUICK)
    async with Hub(APP, cluster=cluster) as hub:
        near = await member(hub, "ada")
        (topic,) = [one for one in server.ask("PUBSUB", "CHANNELS") if one.endswith(ROOM.encode())]
        for rubbish in (b"", b"\x80\x04cos\nsystem\n", b"\x93\x02\xa1a\xa1b", b"\xc1" * 100, b"{}"):
            server.ask("PUBLISH", topic, rubbish)
        await until(lambda: cluster.broker.refused == 5)
        assert near.events == [ACK]
        assert [one.getMessage() for one in caplog.records] == ["what came over Redis is refused"]
