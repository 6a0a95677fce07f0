"""Hubs that meet at one NATS act as one."""

from collections.abc import Iterator

import anyio
import msgspec
import pytest

from relay import App, BrokerUnavailable, Hub, UsageError
from relay.cluster.directory import Full, Joined
from relay.cluster.nats import NatsCluster, NatsSettings
from relay.facts import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from relay.protocol.messages import Identity
from tests.integration.nats_nodes import QUICK, nodes
from tests.integration.redis_nodes import ROOM, Watching, count, member, until, users
from tests.nats_server import INSTALL, NatsServer, running
from tests.unit.client import ACK, ADDED, APP, ERROR, REMOVED, Frame, arrive
from tests.unit.test_watchlists import told


@pytest.fixture(scope="module")
def server(require) -> Iterator[NatsServer]:
    with running(require("nats-server", INSTALL)) as server:
        yield server


@pytest.fixture
def url(server: NatsServer) -> str:
    server.forget()
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
    other = NatsSettings(prefix="other", lease=1.0, beat=0.2)
    async with nodes(url, 1) as (here,), nodes(url, 1, settings=other) as (there,):
        near, far = await member(here, "ada"), await member(there, "bob")
        await here.trigger(ROOM, "paid", "")
        await there.trigger(ROOM, "last", "")
        await near.gets(ACK, "paid")
        await far.gets(ACK, "last")


async def test_a_hub_that_ran_may_run_again(url):
    hub = Hub(APP, cluster=NatsCluster(url, QUICK))
    for _ in range(2):
        async with hub:
            assert (await member(hub, "ada")).events == [ACK]


async def test_two_hubs_do_not_share_one_cluster_object(url):
    cluster = NatsCluster(url, QUICK)
    async with Hub(APP, cluster=cluster):
        with pytest.raises(UsageError, match="each hub needs one of its own"):
            await Hub(APP, cluster=cluster).run()


async def test_a_hub_whose_nats_is_not_there_says_so_at_once(server):
    with pytest.raises(BrokerUnavailable, match="NATS cannot be reached"):
        await Hub(APP, cluster=NatsCluster("nats://127.0.0.1:1", QUICK)).run()


async def test_a_document_that_does_not_fit_into_a_message_is_refused_with_the_setting_that_helps(url):
    cluster = NatsCluster(url, QUICK)
    async with Hub(APP, cluster=cluster):
        with pytest.raises(Exception, match="raise its max_payload"):
            await cluster.directory.join("1", "x", "1" * 1_100_000, None, max_members=1)
        assert not (await cluster.directory.beat(())).lapsed  # nobody else has to join again because of that


async def test_a_url_that_says_tls_is_never_used_without_it(server):
    plain = server.url.replace("nats://", "tls://user:hunter2@")
    with pytest.raises(BrokerUnavailable, match="speaks no TLS") as refused:
        await Hub(APP, cluster=NatsCluster(plain, QUICK)).run()
    assert "hunter2" not in str(refused.value)


async def test_nodes_of_one_nats_that_all_change_one_channel_at_once_all_get_through(url):
    clusters = [NatsCluster(url, QUICK) for _ in range(4)]
    answers: list[Joined | Full] = []

    async def one(cluster: NatsCluster, socket_id: str) -> None:
        answers.append(await cluster.directory.join("1", ROOM, socket_id, Identity(socket_id), max_members=1000))

    async with anyio.create_task_group() as tasks:
        for node, cluster in enumerate(clusters):
            for number in range(100):
                tasks.start_soon(one, cluster, f"{node}.{number}")
    joined = [answer for answer in answers if isinstance(answer, Joined)]
    assert sorted(one.count for one in joined) == list(range(1, 401))
    assert len({one.step for one in joined}) == 400
    for cluster in clusters:
        await cluster.directory.close()


async def test_users_come_and_go_for_watchers_on_every_node(url):
    watched = msgspec.structs.replace(APP, watchlists=True, offline_grace=0.2)
    async with nodes(url, 2, watched) as (here, there):
        frames: list[Frame] = []
        bob, first, second = await arrive(here), await arrive(there), await arrive(here)

        def said(number: int) -> bool:
            frames.extend(bob.frames())
            return len(told(frames)) >= number

        await bob.sign_in("bob", ["ada"])
        await until(lambda: said(1))
        await first.sign_in("ada")
        await second.sign_in("ada")
        await until(lambda: said(2))
        first.disconnect()
        second.disconnect()
        await until(lambda: said(3))
        assert told(frames) == [{"offline": ["ada"]}, {"online": ["ada"]}, {"offline": ["ada"]}]
        assert dict(await here.channels()) == {}
        assert [*here.check(), *there.check()] == []
