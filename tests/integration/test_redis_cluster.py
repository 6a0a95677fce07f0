"""A Redis Cluster changes under its nodes: a master dies, a slot moves. Nobody stays deaf and nobody is lost."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from relay import Hub
from relay.cluster.redis import RedisSettings
from relay.cluster.redis.keys import Keys
from relay.facts import BrokerLost, BrokerRestored
from tests.integration.redis_nodes import ROOM, Watching, count, member, nodes, until, users
from tests.redis_server import RedisServer, RedisShards, sharded
from tests.unit.client import ADDED, APP, REMOVED

SETTINGS = RedisSettings(lease=6.0, beat=0.5, patience=3.0, proof=0.2)
"""A lease outlives the time until a replica takes over and all nodes, which try every second, have found it."""

KEYS = Keys(SETTINGS.prefix, SETTINGS.shards_in(clustered=True))
ROOMS = [f"presence-{number}" for number in range(20)]
"""So many that they lie on all masters."""


@pytest.fixture
def shards(redis_program) -> Iterator[RedisShards]:
    with sharded(redis_program) as servers:
        yield servers


@pytest.fixture
def replicated(redis_program) -> Iterator[RedisShards]:
    with sharded(redis_program, replicas=3) as servers:
        yield servers


async def until_all_hear_all(hubs: list[Hub], inside: dict[str, list[Watching]], word: str = "again") -> None:
    """Publish `word` into each room on each node until all who are inside heard it: some is lost while connections
    are made anew.
    """
    for number, hub in enumerate(hubs):
        name = f"{word}-{number}"
        with anyio.fail_after(10):
            while not all(name in one.events for watching in inside.values() for one in watching):
                for room in inside:
                    await hub.trigger(room, name, "")
                await anyio.sleep(0.02)


async def until_known(hubs: list[Hub], members: list[str], *rooms: str) -> None:
    """The directory says the same on all nodes."""
    with anyio.fail_after(10):
        for hub in hubs:
            for room in rooms:
                while sorted(await users(hub, room)) != members:  # noqa: ASYNC110 - others change it
                    await anyio.sleep(0.02)


@pytest.mark.parametrize("number", range(3))
async def test_a_master_that_is_killed_is_replaced_by_its_replica_and_nodes_recover_by_themselves(replicated, number):
    """Whichever it is: the first one is in the URL, the second has the leases, the third what is for all nodes."""
    async with nodes(replicated.url, 3, settings=SETTINGS) as hubs:
        inside = {room: [await member(hubs[0], "eve", room), await member(hubs[1], "ada", room)] for room in ROOMS}
        for room in ROOMS:
            inside[room].append(await member(hubs[2], "bob", room))
        await until(lambda: all(eve.about("bob") == [ADDED] for eve, *_ in inside.values()))
        master, replica = replicated.servers[number], replicated.replicas[number]
        await until(lambda: master.ask("DBSIZE") == replica.ask("DBSIZE"))  # what a replica has not got is lost
        master.stop()
        await until(lambda: not any(hub.readiness().ready for hub in hubs))
        for room in ROOMS:
            await member(hubs[0], "dan", room)
        await until(lambda: all(hub.readiness().ready for hub in hubs))
        assert replica.ask("ROLE")[0] == b"master"
        await until_all_hear_all(hubs, inside)
        await until_known(hubs, ["ada", "bob", "dan", "eve"], *ROOMS)
        for room in ROOMS:
            await member(hubs[1], "carl", room)
        everybody = [one for watching in inside.values() for one in watching]
        await until(lambda: all(one.about("carl") == one.about("dan") == [ADDED] for one in everybody))
        assert [eve.about("ada") + eve.about("bob") for eve, *_ in inside.values()] == [[ADDED, ADDED]] * len(ROOMS)
        assert [count([hub], BrokerLost) for hub in hubs] == [count([hub], BrokerRestored) for hub in hubs]


async def test_a_master_that_hands_over_to_its_replica_and_is_stopped_then_leaves_nobody_deaf(replicated):
    """As when the servers of a cluster are restarted one after the other."""
    master, replica = replicated.servers[0], replicated.replicas[0]
    async with nodes(replicated.url, settings=SETTINGS) as hubs:
        inside = {room: [await member(hubs[0], "eve", room), await member(hubs[1], "ada", room)] for room in ROOMS}
        replica.ask("CLUSTER", "FAILOVER")
        await until(lambda: replica.ask("ROLE")[0] == b"master")
        await until_all_hear_all(hubs, inside, "still")
        for room in ROOMS:
            await member(hubs[1], "carl", room)
        await until(lambda: all(eve.about("carl") == [ADDED] for eve, _ in inside.values()))
        master.stop()
        await until_all_hear_all(hubs, inside, "again")
        await until_known(hubs, ["ada", "carl", "eve"], *ROOMS)
        assert [eve.about("ada") + ada.about("eve") for eve, ada in inside.values()] == [[ADDED]] * len(ROOMS)


def slot_of(shards: RedisShards, key: bytes) -> int:
    slot: int = shards.servers[0].ask("CLUSTER", "KEYSLOT", key)
    return slot


def beside(shards: RedisShards, source: RedisServer) -> RedisServer:
    """Another master."""
    return next(server for server in shards.servers if server is not source)


@pytest.mark.parametrize(
    "key", [KEYS.topic(APP.id, ROOM), KEYS.topic("", ""), KEYS.nodes], ids=["room", "all", "leases"]
)
async def test_a_slot_that_moves_to_another_master_takes_its_channels_and_members_along(shards, key):
    slot = slot_of(shards, key)
    target = beside(shards, shards.owner(slot))
    async with nodes(shards.url, 3, settings=SETTINGS) as hubs:
        eve, ada, bob = [await member(hub, user) for hub, user in zip(hubs, ("eve", "ada", "bob"), strict=True)]
        await until(lambda: eve.about("bob") == ada.about("bob") == [ADDED])
        with shards.moving(slot, target):
            carl = await member(hubs[1], "carl")
            bob.socket.disconnect()
            await hubs[2].settle()
        assert shards.owner(slot) is target
        dan = await member(hubs[2], "dan")
        await until_all_hear_all(hubs, {ROOM: [eve, ada, carl, dan]})
        await until_known(hubs, ["ada", "carl", "dan", "eve"], ROOM)
        await until(lambda: all(hub.readiness().ready for hub in hubs))
        await until(lambda: eve.about("carl") == eve.about("dan") == [ADDED] and eve.about("bob") == [ADDED, REMOVED])
        assert (eve.about("ada"), ada.about("eve")) == ([ADDED], [])


async def test_a_slot_that_moves_away_while_a_node_subscribes_to_another_one_leaves_nobody_deaf(shards):
    slot = slot_of(shards, KEYS.topic(APP.id, ROOM))
    source = shards.owner(slot)
    topics = {name: slot_of(shards, KEYS.topic(APP.id, name)) for name in ROOMS}
    other = next(name for name, its in topics.items() if its != slot and shards.owner(its) is source)
    target = beside(shards, source)
    async with nodes(shards.url, settings=SETTINGS) as hubs, anyio.create_task_group() as tasks:
        eve, ada = await member(hubs[0], "eve"), await member(hubs[1], "ada")
        shards.carry(slot, target)
        with source.held_up(*shards.given(slot, target)):
            tasks.start_soon(member, hubs[1], "ada", other)
            await anyio.wait_all_tasks_blocked()
        for server in shards.servers:
            server.ask(*shards.given(slot, target))
        await until_all_hear_all(hubs, {ROOM: [eve, ada]})
