"""The engine of `relay.testing.cluster` keeps what a Broker and a Directory promise."""

from random import Random

import pytest

from relay.cluster.broker import Broker
from relay.testing import ManualClock, Weather
from relay.testing.engine import MemoryEngine
from tests.contract.test_broker import Make, WireContract
from tests.contract.test_directory import DirectoryContract, Nodes

pytestmark = pytest.mark.every_loop


def engine() -> MemoryEngine:
    return MemoryEngine(ManualClock(), Weather(), Random(0))


class TestBroker(WireContract):
    @pytest.fixture
    def make(self) -> Make:
        shared = engine()

        async def make() -> Broker:
            return shared.end()

        return make


class TestDirectory(DirectoryContract):
    @pytest.fixture
    def directories(self) -> Nodes:
        shared = engine()
        return shared.end(), shared.end()
