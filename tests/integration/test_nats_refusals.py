"""A NATS that answers and does not keep what it is told, or forgot it: nodes say so, and are right again by themselves.

With the default settings, which are those that the documentation tells of.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from relay import BrokerUnavailable, Hub
from relay.cluster.nats import NatsCluster, NatsSettings
from relay.facts import BrokerLost, DirectoryLost, DirectoryRestored
from tests.integration.nats_nodes import QUICK, nodes
from tests.integration.outages import red, until_green, until_red
from tests.integration.redis_nodes import ROOM, count, member, until, users
from tests.nats_server import INSTALL, NatsServer, running
from tests.redis_server import wait
from tests.unit.client import ADDED, APP

DEFAULTS = NatsSettings()
SIZES = (300_000, 100_000, 30_000, 10_000, 3_000, 1_000, 300, 100, 10)


@pytest.fixture
def program(require) -> Path:
    found: Path = require("nats-server", INSTALL)
    return found


@pytest.fixture
def small(program, tmp_path) -> Iterator[NatsServer]:
    """One that has room for a million bytes."""
    config = tmp_path / "config"
    config.write_text("jetstream { max_mem: 1MB }\n")
    with running(program, "-c", str(config)) as server:
        yield server


@contextmanager
def full(server: NatsServer) -> Iterator[None]:
    """Somebody else fills it, to the last byte or nearly so."""
    wanted = {"name": "other", "subjects": ["other"], "storage": "memory"}
    assert "error" not in server.ask("STREAM.CREATE.other", json.dumps(wanted).encode())
    for size in SIZES:
        for _ in range(4):
            server.publish("other", b"x" * size)
    yield
    assert server.ask("STREAM.DELETE.other")["success"]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


async def test_a_hub_does_not_start_on_a_nats_without_jetstream_and_says_so(program, tmp_path):
    server = NatsServer(program, tmp_path, jetstream=False)
    server.launch()
    try:
        wait(partial(listens, server.port))
        with pytest.raises(BrokerUnavailable, match="JetStream does not answer: it is off"):
            await Hub(APP, cluster=NatsCluster(server.url, QUICK)).run()
    finally:
        server.stop()


async def test_a_jetstream_that_is_full_makes_nodes_unready_until_it_is_not_and_who_joined_is_known_then(small):
    async with nodes(small.url, settings=DEFAULTS) as hubs:
        ada = await member(hubs[0], "ada")
        lost = [red(hub) for hub in hubs]
        with full(small):
            await until_red(*lost)
            assert [(hub.readiness().ready, hub.readiness().directory) for hub in hubs] == [(False, "lost")] * 2
            await member(hubs[1], "bob")
        await until_green(hubs)
        assert sorted(await users(hubs[0])) == ["ada", "bob"]
        await until(lambda: ada.about("bob") == [ADDED])


async def test_a_jetstream_that_lost_everything_makes_nodes_unready_until_rosters_are_right(program):
    with running(program) as server:
        async with nodes(server.url, settings=DEFAULTS) as hubs:
            await member(hubs[0], "ada")
            await member(hubs[1], "eve")
            for number in range(20):
                await member(hubs[number % 2], f"u{number}", f"presence-{number % 5}")
            lost = [red(hub) for hub in hubs]
            server.forget()
            await until_red(*lost)
            await until_green(hubs)
            for hub in hubs:
                assert set(await hub.channels()) == {ROOM, *(f"presence-{number}" for number in range(5))}
                assert sorted(await users(hub)) == ["ada", "eve"]
                assert (count([hub], DirectoryLost), count([hub], DirectoryRestored)) == (1, 1)
                assert count([hub], BrokerLost) == 0
