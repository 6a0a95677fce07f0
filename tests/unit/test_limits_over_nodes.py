"""Which limits of an App hold over all nodes together, and which on each node by itself."""

import pytest

from relay import App
from relay.errors import Disconnect, RateLimited
from relay.testing import cluster
from tests.unit.client import ACK, ERROR, arrive

pytestmark = pytest.mark.every_loop
ROOM = "presence-room"
SMALL = App(id="3", key="small", secret="s", max_connections=3, max_members=2, rest_rate=1, max_cached_channels=2)


async def test_members_of_a_presence_channel_are_counted_over_all_nodes():
    async with cluster(SMALL) as (here, there):
        near = [await arrive(here.hub) for _ in range(2)]
        far = [await arrive(there.hub) for _ in range(3)]
        await near[0].subscribe(ROOM, "ada")
        await far[0].subscribe(ROOM, "bob")
        for one, user in ((near[1], "eve"), (far[1], "eve"), (far[2], "ada")):
            await one.subscribe(ROOM, user)
        assert [one.events()[0] for one in (near[1], far[1], far[2])] == [ERROR, ERROR, ACK]


async def test_a_node_that_is_parted_counts_the_members_it_knows_and_throws_nobody_out_later():
    async with cluster(SMALL) as nodes:
        here, there = (kit.hub for kit in nodes)
        for hub, user in ((here, "ada"), (there, "bob")):
            await (await arrive(hub)).subscribe(ROOM, user)
        nodes.part(1)
        full, unknown = await arrive(there), await arrive(there)
        await full.subscribe(ROOM, "eve")
        await unknown.subscribe("presence-other", "eve")
        assert (full.events(), unknown.events()) == ([ERROR], [ACK])
        others = [await arrive(here) for _ in range(2)]
        for one, user in zip(others, ("carl", "dan"), strict=True):
            await one.subscribe("presence-other", user)
        await nodes.heal(1)
        await nodes.advance(14)
        assert {member.id for member in await here.members("presence-other")} == {"carl", "dan", "eve"}


async def test_connections_are_counted_on_each_node_by_itself():
    async with cluster(SMALL) as nodes:
        for kit in nodes:
            for _ in range(3):
                await arrive(kit.hub)
            with pytest.raises(Disconnect, match="Over connection quota"):
                await arrive(kit.hub)


async def test_rest_calls_are_counted_on_each_node_by_itself():
    async with cluster(SMALL) as nodes:
        for kit in nodes:
            kit.hub.charge(SMALL)
            with pytest.raises(RateLimited):
                kit.hub.charge(SMALL)


async def test_events_of_cache_channels_are_counted_over_all_nodes():
    async with cluster(SMALL) as (here, there):
        for kit, name in ((here, "cache-a"), (there, "cache-b"), (here, "cache-c")):
            await kit.hub.trigger(name, "set", "")
        late = await arrive(there.hub)
        for name in ("cache-a", "cache-b", "cache-c"):
            await late.subscribe(name)
        assert late.events() == [ACK, "pusher:cache_miss", ACK, "set", ACK, "set"]
