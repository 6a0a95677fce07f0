"""NATS keeps what a Broker and a Directory promise."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from relay.cluster.broker import Broker
from relay.cluster.nats import NatsBroker, NatsDirectory, NatsSettings
from tests.contract.test_broker import Make, WireContract
from tests.contract.test_directory import DirectoryContract, Nodes
from tests.nats_server import INSTALL, NatsServer, NatsServers, running, three

LOOPS = [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]


@pytest.fixture(scope="module")
def server(require) -> Iterator[NatsServer]:
    with running(require("nats-server", INSTALL)) as server:
        yield server


@pytest.fixture
def url(server: NatsServer) -> str:
    """A NATS that keeps nothing."""
    server.forget()
    return server.url


@pytest.fixture(scope="module", params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


class TestBroker(WireContract):
    @pytest.fixture
    def make(self, url: str) -> Make:
        async def make() -> Broker:
            return NatsBroker(url)

        return make


@asynccontextmanager
async def directories_at(url: str, settings: NatsSettings) -> AsyncIterator[Nodes]:
    here, there = NatsDirectory(url, settings), NatsDirectory(url, settings)
    yield here, there
    await here.close()
    await there.close()


class TestDirectory(DirectoryContract):
    settings = NatsSettings()

    @pytest.fixture
    async def directories(self, url: str) -> AsyncIterator[Nodes]:
        async with directories_at(url, self.settings) as both:
            yield both


class TestDirectoryOnDisk(TestDirectory):
    settings = NatsSettings(storage="file")

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls):
        return LOOPS[0]


class TestDirectoryOfThreeServers(DirectoryContract):
    @pytest.fixture(scope="class")
    @classmethod
    def servers(cls, require) -> Iterator[NatsServers]:
        with three(require("nats-server", INSTALL)) as servers:
            yield servers

    @pytest.fixture
    async def directories(self, servers: NatsServers) -> AsyncIterator[Nodes]:
        settings = NatsSettings(replicas=3, prefix=secrets.token_hex(4))  # under which nothing is kept yet
        async with directories_at(servers.url, settings) as both:
            yield both

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls):
        return LOOPS[0]
