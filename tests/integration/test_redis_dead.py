"""Dead nodes in Redis: nothing is left of them in the end, however many they were and however much they left."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial

import anyio
import pytest

from relay import BrokerError, BrokerUnavailable
from relay.cluster.redis import RedisDirectory, RedisSettings
from relay.facts import MemberRemoved
from tests.integration.dead_nodes import fill, join, largest_portion_swept, opened
from tests.integration.redis_nodes import QUICK, member, nodes, until
from tests.redis_server import RedisServer, running
from tests.unit.client import APP

ROOM = "presence-room"
SHORT = RedisSettings(lease=0.4, beat=0.1)
LEASES = "relay:{nodes}:lease"
MANY = 4000


@pytest.fixture(scope="module")
def server(redis_program) -> Iterator[RedisServer]:
    with running(redis_program) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    server.ask("FLUSHALL")
    return server.url


def directories(
    url: str, count: int, settings: RedisSettings = SHORT
) -> AbstractAsyncContextManager[list[RedisDirectory]]:
    return opened(RedisDirectory, url, count, settings)


async def beat_until(directory: RedisDirectory, apps: list[str], *sockets: str) -> list[str]:
    """Beat until those sockets were found, or for two leases; who was."""
    found: list[str] = []
    with anyio.move_on_after(10 if sockets else 2 * SHORT.lease):
        while not sockets or not set(sockets) <= set(found):
            found += [gone.socket_id for gone in (await directory.beat(apps)).abandoned]
            await anyio.sleep(SHORT.beat)
    return found


async def test_a_node_that_ends_in_order_and_owns_nothing_is_forgotten_at_once(server, url):
    async with directories(url, 1) as (living,):
        await living.beat(["1"])
        for number in range(20):
            async with directories(url, 1) as (ending,):
                await ending.beat(["1"])
                await join(ending, f"1.{number}")
                await ending.leave("1", ROOM, f"1.{number}")
        assert server.ask("ZCARD", LEASES) == 1


async def test_nodes_are_forgotten_when_all_they_left_is_swept_and_may_not_come_back_under_that_name(server, url):
    async with directories(url, 2, RedisSettings(lease=0.4, beat=0.1, shards=4)) as (paused, living):
        for number in range(10):
            await join(paused, f"1.{number}", f"presence-{number}")
        await beat_until(living, ["1"], *(f"1.{number}" for number in range(10)))
        await living.beat(["1"])
        assert server.ask("ZCARD", LEASES) == 1
        await join(paused, "1.1")
        assert (await paused.beat(["1"])).lapsed
        assert server.ask("ZCARD", LEASES) == 2
        assert await beat_until(living, ["1"], "1.1") == ["1.1"]  # it beats no more, and owned that under a new name


async def test_where_nodes_serve_different_apps_the_last_of_them_has_the_dead_forgotten(server, url):
    async with directories(url, 3) as (dying, one, other):
        await join(dying, "1.1", app="1")
        await join(dying, "2.1", app="2")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat_until, one, ["1"], "1.1")
            tasks.start_soon(beat_until, other, [])
        assert server.ask("ZCARD", LEASES) == 3
        assert await beat_until(other, ["2"], "2.1") == ["2.1"]
        await until(lambda: server.ask("ZCARD", LEASES) <= 2)


_OF_ANOTHER_APP = """
local time = redis.call('TIME')
for number = 1, ARGV[1] do
  redis.call('ZADD', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), 'node-' .. number)
  redis.call('SADD', 'relay:{0}:n:node-' .. number .. ':2', 'news\\0001.1')
  redis.call('SADD', 'relay:{0}:a:node-' .. number, '2')
end
"""


async def test_a_dead_node_is_found_behind_however_many_that_cannot_be_swept(server, url):
    async with directories(url, 2) as (dying, living):
        await living.beat(["1"])
        await join(dying, "1.1")
        await dying.close()
        server.ask("EVAL", _OF_ANOTHER_APP, 1, LEASES, 2500)
        beat = await living.beat(["1"])
        found = [gone.socket_id for gone in beat.abandoned]
        while beat.more:
            beat = await living.beat(["1"])
            found += [gone.socket_id for gone in beat.abandoned]
        assert found == ["1.1"]
        assert server.ask("ZCARD", LEASES) == 2501


async def test_a_node_that_sweeps_a_big_dead_one_does_not_miss_its_own_lease(url):
    async with directories(url, 3) as (dying, *living):
        await fill(dying, "1", MANY)
        assert await largest_portion_swept(living, MANY, beat=SHORT.beat, lease=SHORT.lease) < MANY / 2


async def beats(server: RedisServer, nodes: int, times: int) -> None:
    """Return when that many nodes have beaten so often again, by the leases in Redis."""

    def latest() -> list[float]:
        dues = (float(due) for _, due in server.ask("ZRANGE", LEASES, 0, -1, "WITHSCORES"))
        return sorted(filter(math.isfinite, dues))[-nodes:]

    for _ in range(times):
        await until(partial(lambda before: latest()[0] > before, latest()[-1]))


async def test_nobody_who_lives_leaves_while_a_big_dead_node_is_told_of_and_each_of_its_members_leaves_once(
    server, url
):
    async with directories(url, 1, QUICK) as (dying,), nodes(url, 2) as hubs:
        watching = [await member(hub, f"w{number}") for number, hub in enumerate(hubs)]
        removed: list[str] = []
        for hub in hubs:
            hub.on(MemberRemoved, lambda fact: removed.append(fact.user_id))
        await fill(dying, APP.id, MANY)
        await until(lambda: len(removed) >= MANY, within=30)
        assert Counter(removed) == Counter(f"u1.{number}" for number in range(MANY))
        await beats(server, len(hubs), 2)  # whoever was renamed would join again now
        assert [watching[0].events, watching[1].events] == [
            ["pusher_internal:subscription_succeeded", "pusher_internal:member_added"],
            ["pusher_internal:subscription_succeeded"],
        ]


async def test_what_is_not_ours_among_the_dead_is_passed_over(server, url):
    async with directories(url, 2) as (dying, living):
        await living.beat(["1"])
        await join(dying, "1.1")
        await dying.close()
        name = server.ask("ZRANGE", LEASES, 0, 0)[0]
        server.ask("ZADD", LEASES, 5, b"\xff")
        mine = b"relay:{0}:n:%b:1" % name
        server.ask("SADD", mine, b"no separator", b"\xff\x001.2", b"nowhere\x001.3")
        server.ask("HSET", b"relay:{0}:s:1:1:\xff", "1.2", b"%b 0" % name)
        assert [gone.socket_id for gone in (await living.beat(["1"])).abandoned] == ["1.1"]


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("relay:{0}:m:1:1:presence-room", ("HSET", "bob", "no step")),
        ("relay:{0}:m:1:1:presence-room", ("HSET", b"\xff", "1:")),
        ("relay:{0}:c:1", ("HSET", "cache-bus", "x")),
        ("relay:{0}:s:1:1:presence-room", ("SET", "x")),
        (LEASES, ("SET", "x")),
    ],
)
async def test_whoever_asks_for_what_is_not_ours_is_told_so(server, url, key, command):
    server.ask(command[0], key, *command[1:])
    async with directories(url, 1) as (here,):
        refused = 0
        for asked in (
            here.roster("1", ROOM),
            here.recall("1", "cache-bus", now=0),
            here.occupancy("1", ROOM),
            here.beat(["1"]),
        ):
            try:
                await asked
            except BrokerUnavailable:
                raise
            except BrokerError:
                refused += 1
        assert refused == 1


async def test_rubbish_among_the_leases_ends_no_hub(server, url):
    async with nodes(url, 2) as hubs:
        watching = [await member(hub, f"w{number}") for number, hub in enumerate(hubs)]
        server.ask("ZADD", LEASES, 5, b"\xff")
        server.ask("ZADD", LEASES, str(math.inf), b"\xfe")
        await beats(server, len(hubs), 3)
        assert [hub.running for hub in hubs] == [one.socket.open for one in watching] == [True, True]
