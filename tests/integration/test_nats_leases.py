"""Nodes live on leases: what a dead one left is found once, and one that was taken for dead adds nobody in secret."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from relay import BrokerUnavailable
from relay.cluster.directory import Abandoned, Beat, Joined, Retention
from relay.cluster.nats import NatsDirectory, NatsSettings
from relay.protocol.messages import Identity
from tests.integration.dead_nodes import opened
from tests.integration.redis_nodes import until
from tests.nats_server import INSTALL, NatsServer, running

ROOM = "presence-room"
KEPT = Retention(ttl=60, max_channels=100, max_bytes=10_000)
SHORT = NatsSettings(lease=0.4, beat=0.1, forget=86_400)


@pytest.fixture(scope="module")
def server(require) -> Iterator[NatsServer]:
    with running(require("nats-server", INSTALL)) as server:
        yield server


@pytest.fixture
def url(server: NatsServer) -> str:
    server.forget()
    return server.url


def directories(
    url: str, count: int, settings: NatsSettings = SHORT
) -> AbstractAsyncContextManager[list[NatsDirectory]]:
    return opened(NatsDirectory, url, count, settings)


async def join(directory: NatsDirectory, socket_id: str, user: str, channel: str = ROOM) -> Joined:
    joined = await directory.join("1", channel, socket_id, Identity(user), max_members=1000)
    assert isinstance(joined, Joined)
    return joined


async def beating(directory: NatsDirectory, beats: list[Beat], stop: anyio.Event) -> None:
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
        steps = [gone.left.step for gone in found() if gone.channel == ROOM]
        assert len(set(steps)) == len(steps)
        assert await living[1].roster("1", ROOM) == {"u7": None}


def kept(server: NatsServer) -> int:
    """How many keys there are."""
    messages: int = server.ask("STREAM.INFO.KV_relay")["state"]["messages"]
    return messages


async def swept(directory: NatsDirectory, socket_id: str) -> None:
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
        again = await join(paused, "1.2", "bob")
        assert (again.first_for_user, again.count) == (False, 2)
        beats = [await living.beat(["1"]), await paused.beat(["1"])]
        assert [(beat.lapsed, list(beat.abandoned)) for beat in beats] == [(False, [])] * 2
        assert sorted(await living.roster("1", ROOM)) == ["ada", "bob"]


async def test_what_a_node_that_was_taken_for_dead_adds_is_swept_where_it_does_not_come_back(url):
    async with directories(url, 2) as (paused, living):
        await join(paused, "1.1", "ada")
        await swept(living, "1.1")
        await join(paused, "1.2", "bob")
        await swept(living, "1.2")
        assert await living.occupied("1", "") == {}


async def test_who_joins_again_before_the_sweep_changes_hands_and_nobody_hears_of_it(url):
    async with directories(url, 3) as (old, new, living):
        first = await join(old, "1.1", "ada")
        await join(old, "1.2", "bob")
        again = await join(new, "1.1", "ada")
        assert (again.first_for_user, again.count, list(again.roster)) == (False, 2, ["ada", "bob"])
        assert again.step > first.step
        await old.close()
        assert [gone.socket_id for gone in (await living.beat(["1"])).abandoned] == ["1.2"]
        assert await living.roster("1", ROOM) == {"ada": None}


async def test_an_app_that_a_node_does_not_serve_is_left_to_those_who_do(url):
    async with directories(url, 3) as (dying, other, serving):
        await join(dying, "1.1", "ada")
        await dying.close()
        assert (await other.beat(["2"])).abandoned == []
        assert [gone.socket_id for gone in (await serving.beat(["1"])).abandoned] == ["1.1"]


async def test_nobody_is_taken_for_dead_because_nats_could_not_be_asked_by_anybody(url):
    async with directories(url, 2) as (here, there):
        await join(here, "1.1", "ada")
        await join(there, "1.2", "bob")
        await anyio.sleep(SHORT.lease + 0.05)  # nobody but NATS knows when a lease is over
        for one in (here, there, here):
            beat = await one.beat(["1"])
            assert (beat.lapsed, list(beat.abandoned)) == (False, [])
        assert list(await here.roster("1", ROOM)) == ["ada", "bob"]


async def test_a_node_that_ends_in_order_is_swept_at_once(url):
    slow = NatsSettings(lease=60, beat=10)
    async with directories(url, 2, slow) as (ending, living):
        await living.beat(["1"])
        await join(ending, "1.1", "ada")
        await ending.close()
        (gone,) = (await living.beat(["1"])).abandoned
        assert (gone.user_id, gone.left.last_in_channel) == ("ada", True)


async def test_nothing_is_left_of_a_channel_that_everybody_left(server, url):
    async with directories(url, 2) as (here, there):
        for number in range(50):
            await join(here, "1.1", "ada", f"presence-{number}")
            await there.leave("1", f"presence-{number}", "1.1")
            await here.leave("1", f"presence-{number}", "1.1")
        await here.beat(["1"])
        await until(lambda: kept(server) <= 3)  # the leases, the epoch, and what was agreed on


async def test_steps_rise_also_when_jetstream_lost_everything(server, url):
    async with directories(url, 2) as (here, there):
        before = [await join(here, f"1.{number}", "ada") for number in range(30)]
        remembered = await here.remember("1", "cache-bus", b"1", now=0, retention=KEPT)
        server.forget()
        with pytest.raises(BrokerUnavailable):
            await here.beat(["1"])
        assert (await here.beat(["1"])).lapsed
        again = await join(there, "2.1", "bob")
        assert again.step > max(one.step for one in before)
        assert again.roster == {"bob": None}
        with pytest.raises(BrokerUnavailable):
            await here.remember("1", "cache-bus", b"2", now=0, retention=KEPT)
        assert await here.remember("1", "cache-bus", b"3", now=0, retention=KEPT) > remembered
        kept_event = await there.recall("1", "cache-bus", now=0)
        assert kept_event is not None
        assert (kept_event.text, kept_event.step > remembered) == (b"3", True)


async def test_when_everything_dies_everything_expires(server, url):
    settings = NatsSettings(lease=0.2, beat=0.1, forget=0.8)
    async with directories(url, 1, settings) as (only,):
        await join(only, "1.1", "ada")
        assert kept(server) > 3
        await until(lambda: kept(server) == 0)


async def test_what_is_alive_does_not_expire(url):
    settings = NatsSettings(lease=0.4, beat=0.1, forget=1.7)
    async with directories(url, 2, settings) as (one, other):
        first = await join(one, "1.1", "ada")
        with anyio.move_on_after(3):
            while True:
                for node in (one, other):
                    beat = await node.beat(["1"])
                    assert (beat.lapsed, list(beat.abandoned)) == (False, [])
                await anyio.sleep(settings.beat)
        assert await other.roster("1", ROOM) == {"ada": None}
        left = await one.leave("1", ROOM, "1.1")
        assert (left.last_in_channel, left.last_for_user, left.step > first.step) == (True, True, True)
