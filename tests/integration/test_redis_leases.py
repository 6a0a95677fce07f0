"""Nodes live on leases: what a dead one left is found once, and one that was taken for dead adds nobody in secret."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from relay import BrokerError
from relay.cluster.directory import Abandoned, Beat, Joined
from relay.cluster.redis import RedisDirectory, RedisSettings
from relay.protocol.messages import Identity
from tests.integration.dead_nodes import opened
from tests.integration.redis_nodes import until
from tests.redis_server import RedisServer, running

ROOM = "presence-room"
SHORT = RedisSettings(lease=0.4, beat=0.1, forget=86_400)


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


async def join(directory: RedisDirectory, socket_id: str, user: str, channel: str = ROOM) -> Joined:
    joined = await directory.join("1", channel, socket_id, Identity(user), max_members=1000)
    assert isinstance(joined, Joined)
    return joined


async def beating(directory: RedisDirectory, beats: list[Beat], stop: anyio.Event) -> None:
    """Beat until `stop`, and note what came of it."""
    while not stop.is_set():
        beats.append(await directory.beat(["1"]))
        with anyio.move_on_after(SHORT.beat):
            await stop.wait()


async def test_what_a_dead_node_left_is_found_by_exactly_one_of_those_who_look(url):
    async with directories(url, 4) as (dying, *living):
        for number in range(250):
            await join(dying, f"1.{number}", f"u{number % 50}")
        await dying.join("1", "news", "1.1", None, max_members=1)
        await join(living[0], "2.1", "u7")
        beats: list[Beat] = []
        stop = anyio.Event()

        def found() -> list[Abandoned]:
            return [gone for beat in beats for gone in beat.abandoned]

        async with anyio.create_task_group() as tasks:
            for one in living:
                tasks.start_soon(beating, one, beats, stop)
            await until(lambda: len(found()) >= 251)
            stop.set()
        assert len({(gone.channel, gone.socket_id) for gone in found()}) == len(found()) == 251
        left = sorted(gone.user_id or "" for gone in found() if gone.left.last_for_user)
        assert left == sorted(f"u{number}" for number in range(50) if number != 7)
        assert [gone.channel for gone in found() if gone.left.last_in_channel] == ["news"]
        assert await living[1].roster("1", ROOM) == {"u7": None}


async def swept(directory: RedisDirectory, socket_id: str) -> None:
    """Beat until that socket was swept."""
    with anyio.fail_after(10):
        found: list[str] = []
        while socket_id not in found:
            found = [gone.socket_id for gone in (await directory.beat(["1"])).abandoned]
            await anyio.sleep(SHORT.beat)


async def test_a_node_that_was_taken_for_dead_is_told_so_and_what_it_adds_is_not_lost(url):
    async with directories(url, 2) as (paused, living):
        await join(paused, "1.1", "ada")
        await swept(living, "1.1")
        assert (await join(paused, "1.2", "bob")).roster == {"bob": None}
        assert (await paused.beat(["1"])).lapsed
        assert (await join(paused, "1.1", "ada")).first_for_user
        assert not (await paused.beat(["1"])).lapsed
        beats = [await living.beat(["1"]), await paused.beat(["1"])]
        assert [beat.abandoned for beat in beats] == [[], []]
        assert list(await living.roster("1", ROOM)) == ["bob", "ada"]


async def test_who_joins_again_before_the_sweep_changes_hands_and_nobody_hears_of_it(url):
    async with directories(url, 2) as (paused, living):
        first = await join(paused, "1.1", "ada")
        await join(paused, "1.2", "bob")
        with anyio.move_on_after(SHORT.lease + 0.05):  # nobody but Redis knows when a lease is over
            while True:
                await living.beat([])
                await anyio.sleep(SHORT.beat)
        assert (await paused.beat([])).lapsed
        again = await join(paused, "1.1", "ada")
        assert (again.first_for_user, again.count, list(again.roster)) == (False, 2, ["ada", "bob"])
        assert again.step > first.step
        await swept(paused, "1.2")
        assert await living.roster("1", ROOM) == {"ada": None}


async def test_an_app_that_a_node_does_not_serve_is_left_to_those_who_do(url):
    async with directories(url, 3) as (dying, other, serving):
        await join(dying, "1.1", "ada")
        await other.beat(["2"])
        with anyio.move_on_after(SHORT.lease * 2):
            while True:
                assert (await other.beat(["2"])).abandoned == []
                await anyio.sleep(SHORT.beat)
        await swept(serving, "1.1")


async def test_nobody_is_taken_for_dead_because_redis_could_not_be_asked_by_anybody(url):
    async with directories(url, 2) as (here, there):
        await join(here, "1.1", "ada")
        await join(there, "1.2", "bob")
        await anyio.sleep(SHORT.lease + 0.05)  # as above
        for one in (here, there, here):
            beat = await one.beat(["1"])
            assert (beat.lapsed, list(beat.abandoned)) == (False, [])
        assert list(await here.roster("1", ROOM)) == ["ada", "bob"]


async def test_who_was_late_when_redis_came_back_is_not_taken_for_dead_by_those_who_were_early(url):
    async with directories(url, 2) as (late, early):
        await join(late, "1.1", "ada")
        await anyio.sleep(SHORT.beat)
        await early.beat(["1"])
        await anyio.sleep(SHORT.lease - SHORT.beat / 2)  # as above: now the lease of the one is over
        assert list((await early.beat(["1"])).abandoned) == []
        assert not (await late.beat(["1"])).lapsed
        assert list(await early.roster("1", ROOM)) == ["ada"]


async def test_nobody_leaves_because_redis_hangs_in_the_middle_of_a_join_and_of_the_beat_that_follows(server, url):
    settings = RedisSettings(lease=2.0, beat=0.2, patience=0.3)
    async with directories(url, 2, settings) as (hanging, living):
        await join(hanging, "1.1", "ada")
        with anyio.move_on_after(settings.lease + settings.beat):
            server.pause()
            for asked in (join(hanging, "1.2", "bob"), hanging.beat(["1"])):
                with pytest.raises(BrokerError):
                    await asked
            server.resume()
            assert (await answered(hanging)).lapsed
            while True:
                assert (await answered(living)).abandoned == []
                await anyio.sleep(settings.beat)
        assert not (await join(hanging, "1.1", "ada")).first_for_user


async def answered(directory: RedisDirectory) -> Beat:
    """The next beat that gets through."""
    while True:
        try:
            return await directory.beat(["1"])
        except BrokerError:
            await anyio.sleep(0.01)


async def test_a_dead_node_is_found_however_many_died_before_it(server, url):
    slow = RedisSettings(lease=2.0, beat=0.2)
    async with directories(url, 2, slow) as (dying, living):
        await join(dying, "1.1", "ada")
        now = int(server.ask("TIME")[0]) * 1_000_000
        dead = [(now - (5000 - number) * 1_000_000, f"node-{number}") for number in range(1500)]
        server.ask("ZADD", "relay:{nodes}:lease", *(part for one in dead for part in one))
        await swept(living, "1.1")


async def test_a_node_that_ends_in_order_is_swept_at_once(url):
    slow = RedisSettings(lease=60, beat=10)
    async with directories(url, 2, slow) as (ending, living):
        await living.beat(["1"])
        await join(ending, "1.1", "ada")
        await ending.close()
        (gone,) = (await living.beat(["1"])).abandoned
        assert (gone.user_id, gone.left.last_in_channel) == ("ada", True)


async def test_when_everything_dies_everything_expires(server, url):
    settings = RedisSettings(lease=0.2, beat=0.1, forget=0.8)
    async with directories(url, 1, settings) as (only,):
        await join(only, "1.1", "ada")
        await only.join("1", "news", "1.1", None, max_members=1)
        await only.leave("1", "news", "1.1")
        await only.beat(["1"])
        assert server.ask("DBSIZE") > 3
        await until(lambda: server.ask("DBSIZE") == 0)


async def test_what_is_alive_does_not_expire(url):
    settings = RedisSettings(lease=0.4, beat=0.1, forget=1.7)
    async with directories(url, 1, settings) as (only,):
        await join(only, "1.1", "ada")
        with anyio.move_on_after(3):
            while True:
                await only.beat(["1"])
                await anyio.sleep(settings.beat)
        assert await only.roster("1", ROOM) == {"ada": None}
        left = await only.leave("1", ROOM, "1.1")
        assert (left.last_in_channel, left.last_for_user) == (True, True)
