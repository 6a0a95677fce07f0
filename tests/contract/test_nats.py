"""NATS keeps what a Broker and a Directory promise."""

from collections.abc import AsyncIterator, Iterator

import pytest

from relay.cluster.broker import Broker
from relay.cluster.nats import NatsBroker, NatsDirectory, NatsSettings
from tests.contract.test_broker import Make, WireContract
from tests.contract.test_directory import DirectoryContract, Nodes
from tests.nats_server import INSTALL, NatsServer, running

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


class TestDirectory(DirectoryContract):
    settings = NatsSettings()

    @pytest.fixture
    async def directories(self, url: str) -> AsyncIterator[Nodes]:
        here, there = NatsDirectory(url, self.settings), NatsDirectory(url, self.settings)
        yield here, there
        await here.close()
        await there.close()


class TestDirectoryOnDisk(TestDirectory):
    settings = NatsSettings(storage="file")

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls):
        return LOOPS[0]
