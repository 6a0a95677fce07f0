"""The order of joins and leaves goes by the clock of Redis, and outlives that clock."""

from collections.abc import Iterator

import pytest

from relay.cluster.directory import Joined
from relay.cluster.redis import RedisDirectory
from relay.protocol.messages import Identity
from tests.redis_server import RedisServer, running

ROOM = "presence-room"


@pytest.fixture(scope="module")
def server(redis_program) -> Iterator[RedisServer]:
    with running(redis_program) as server:
        yield server


async def test_steps_go_on_rising_when_the_clock_of_redis_was_set_back(server):
    directory = RedisDirectory(server.url)
    first = await directory.join("1", ROOM, "1.1", Identity("ada"), max_members=10)
    assert isinstance(first, Joined)
    an_hour_on = first.step + 3_600_000_000
    server.ask("SET", "relay:{0}:step", an_hour_on)  # what was given before the clock was set back
    second = await directory.join("1", ROOM, "1.2", Identity("bob"), max_members=10)
    assert isinstance(second, Joined)
    left = await directory.leave("1", ROOM, "1.1")
    assert an_hour_on < second.step < left.step
    assert list(second.roster) == ["ada", "bob"]
    await directory.close()
