"""Hubs that meet at one Redis act as one."""

from collections.abc import Iterator

import pytest

from relay import App, Hub, UsageError
from relay.cluster.local import LocalBroker
from relay.cluster.redis import RedisCluster, RedisSettings
from relay.facts import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from tests.integration.redis_nodes import QUICK, ROOM, Watching, count, member, nodes, until, users
from tests.redis_server import RedisServer, running
from tests.unit.client import ACK, ADDED, APP, ERROR, REMOVED, arrive


@pytest.fixture(scope="module")
def server(redis_program) -> Iterator[RedisServer]:
    with running(redis_program) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    server.ask("FLUSHALL")
    return server.url


async def test_an_event_reaches_all_nodes_but_the_socket_that_caused_it(url):
    async with nodes(url, 3) as (here, there, yonder):
        sockets = [Watching(await arrive(hub)) for hub in (here, there, yonder)]
        for one in sockets:
            await one.socket.subscribe("news")
        receipt = await here.trigger("news", "paid", {"id": 7}, socket_id=sockets[1].socket.id)
        await yonder.trigger("news", "sent", "")
        assert (receipt.delivered, receipt.remote) == (1, "sent")
        await sockets[0].gets(ACK, "paid", "sent")
        await sockets[1].gets(ACK, "sent")
        await until(lambda: sorted(sockets[2].events) == sorted([ACK, "paid", "sent"]))


async def test_a_client_event_reaches_the_others_on_every_node(url):
    async with nodes(url) as (here, there):
        near, far = Watching(await arrive(here)), Watching(await arrive(there))
        for one in (near, far):
            await one.socket.subscribe("private-a")
        await near.socket.say("client-typing", {}, "private-a")
        await far.gets(ACK, "client-typing")
        assert near.events == [ACK]


async def test_a_user_with_tabs_on_three_nodes_is_one_member(url):
    async with nodes(url, 3) as hubs:
        watcher = await member(hubs[0], "eve")
        tabs = [await member(hub, "ada") for hub in hubs]
        for tab in tabs:
            tab.socket.disconnect()
        for hub in hubs:
            await hub.settle()
        await watcher.gets(ACK, ADDED, REMOVED)
        assert [count(hubs, edge, user_id="ada") for edge in (MemberAdded, MemberRemoved)] == [1, 1]


async def test_a_channel_is_occupied_and_vacated_once(url):
    async with nodes(url) as hubs:
        sockets = [await arrive(hub) for hub in hubs]
        for socket in sockets:
            await socket.subscribe("news")
        for socket in sockets:
            await socket.unsubscribe("news")
        assert [count(hubs, edge) for edge in (ChannelOccupied, ChannelVacated)] == [1, 1]


async def test_any_node_answers_for_all(url):
    async with nodes(url) as (here, there):
        for hub, user in ((here, "ada"), (there, "ada"), (there, "bob")):
            await member(hub, user)
        for hub in (here, there):
            assert (await hub.channel(ROOM, info=["user_count"])).user_count == 2
            assert await users(hub) == ["ada", "bob"]
            assert list(await hub.channels(prefix="presence-")) == [ROOM]


async def test_a_user_is_terminated_on_every_node(url):
    async with nodes(url) as (here, there):
        near, far, other = [await arrive(hub) for hub in (here, there, there)]
        for socket, user in ((near, "ada"), (far, "ada"), (other, "bob")):
            await socket.sign_in(user)
        assert await here.terminate_user_connections("ada") == 1
        await until(lambda: far.close_code == 4009)
        assert (near.close_code, other.close_code) == (4009, None)


async def test_a_newcomer_gets_the_last_event_whichever_node_published_it(url):
    async with nodes(url) as (here, there):
        await here.trigger("cache-bus", "position", "1")
        await there.trigger("cache-bus", "position", "2")
        late = await arrive(here)
        await late.subscribe("cache-bus")
        assert [frame.data for frame in late.frames()[1:]] == [2]


async def test_a_full_channel_is_full_on_every_node(url):
    small = App(id="3", key="small", secret="s", max_members=1)
    async with nodes(url, 2, small) as (here, there):
        near, far = await member(here, "ada"), await member(there, "bob")
        assert (near.events, far.events) == ([ACK], [ERROR])


async def test_clusters_with_different_prefixes_do_not_meet(url):
    other = RedisSettings(prefix="other", lease=1.0, beat=0.2)
    async with nodes(url, 1) as (here,), nodes(url, 1, settings=other) as (there,):
        near, far = await member(here, "ada"), await member(there, "bob")
        await here.trigger(ROOM, "paid", "")
        await there.trigger(ROOM, "last", "")
        await near.gets(ACK, "paid")
        await far.gets(ACK, "last")


async def test_clusters_in_different_dbs_of_one_redis_do_not_meet(url):
    async with nodes(f"{url}?db=0", 2) as (here, also), nodes(f"{url}?db=1", 1) as (there,):
        near, far = await member(here, "ada"), await member(there, "bob")
        await near.socket.sign_in("ada")
        await there.trigger(ROOM, "last", "")
        await there.terminate_user_connections("ada")
        await also.trigger(ROOM, "paid", "")
        await until(lambda: "paid" in near.events)
        assert (near.about("bob"), "last" in near.events, near.socket.close_code) == ([], False, None)
        await far.gets(ACK, "last")
        assert await users(here) == ["ada"]


async def test_a_hub_that_ran_may_run_again(url):
    hub = Hub(APP, cluster=RedisCluster(url, QUICK))
    for _ in range(2):
        async with hub:
            assert (await member(hub, "ada")).events == [ACK]


def test_a_cluster_comes_without_a_broker_of_another(url):
    with pytest.raises(UsageError, match="cluster= brings a broker and a directory"):
        Hub(APP, cluster=RedisCluster(url), broker=LocalBroker())


async def test_two_hubs_do_not_share_one_cluster_object(url):
    cluster = RedisCluster(url, QUICK)
    async with Hub(APP, cluster=cluster):
        with pytest.raises(UsageError, match="each hub needs one of its own"):
            await Hub(APP, cluster=cluster).run()
