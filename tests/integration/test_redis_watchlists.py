"""Watchlists over two nodes and a real Redis."""

from collections.abc import Iterator

import msgspec
import pytest

from relay import Hub
from relay.facts import UserOffline, UserOnline
from tests.integration.redis_nodes import count, nodes, until
from tests.redis_server import RedisServer, running
from tests.unit.client import APP, Frame, Socket, arrive
from tests.unit.test_watchlists import told

THE_APP = msgspec.structs.replace(APP, watchlists=True, offline_grace=0.2)


@pytest.fixture(scope="module")
def server(redis_program) -> Iterator[RedisServer]:
    with running(redis_program) as server:
        yield server


async def come(hub: Hub, user: str, *watchlist: str) -> Socket:
    socket = await arrive(hub)
    await socket.sign_in(user, watchlist)
    return socket


async def test_users_come_and_go_for_watchers_on_every_node(server):
    async with nodes(server.url, 2, THE_APP) as (here, there):
        frames: list[Frame] = []
        bob = await come(here, "bob", "ada")

        def said(number: int) -> bool:
            frames.extend(bob.frames())
            return len(told(frames)) >= number

        await until(lambda: said(1))
        first, second = await come(there, "ada"), await come(here, "ada")
        await until(lambda: said(2))
        first.disconnect()
        second.disconnect()
        await until(lambda: said(3))
        assert told(frames) == [{"offline": ["ada"]}, {"online": ["ada"]}, {"offline": ["ada"]}]
        await until(lambda: count((here, there), UserOffline, user_id="ada") == 1)
        assert count((here, there), UserOnline, user_id="ada") == 1
        assert dict(await here.channels()) == {}
        assert [*here.check(), *there.check()] == []
