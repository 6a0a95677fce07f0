"""Watchlists while the broker or the directory is away: true for the clients of this node (design 3.5)."""

import logging

import pytest

from relay import Hub
from relay.testing import ManualClock
from tests.unit.test_broken_engines import BreakableBroker, BreakableDirectory
from tests.unit.test_watchlists import THE_APP, come, told

pytestmark = pytest.mark.every_loop


@pytest.fixture
def broker() -> BreakableBroker:
    return BreakableBroker()


@pytest.fixture
def directory() -> BreakableDirectory:
    return BreakableDirectory()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hub(broker: BreakableBroker, directory: BreakableDirectory, clock: ManualClock) -> Hub:
    return Hub(THE_APP, broker=broker, directory=directory, clock=clock)


async def test_without_a_directory_users_of_this_node_come_and_go(hub, directory, clock, caplog):
    directory.broken = {"join", "leave", "ask"}
    async with hub:
        bob = await come(hub, "bob", "ada", "joe")
        await hub.settle()
        ada, again = await come(hub, "ada"), await come(hub, "ada")
        eve = await come(hub, "eve", "ada", "joe")
        await hub.settle()
        ada.disconnect()
        await clock.advance(2)
        again.disconnect()
        await clock.advance(2)
        assert told(bob.frames()) == [{"offline": ["ada", "joe"]}, {"online": ["ada"]}, {"offline": ["ada"]}]
        assert told(eve.frames()) == [{"online": ["ada"], "offline": ["joe"]}, {"offline": ["ada"]}]
        warned = {record.__dict__["step"] for record in caplog.records if record.levelno == logging.WARNING}
        assert warned == {"join", "leave", "watch"}


async def test_without_a_broker_users_of_this_node_come_and_go(hub, broker, clock):
    broker.broken = {"subscribe", "unsubscribe", "publish"}
    async with hub:
        bob = await come(hub, "bob", "ada")
        await hub.settle()
        ada = await come(hub, "ada")
        await hub.settle()
        ada.disconnect()
        await clock.advance(2)
        assert told(bob.frames()) == [{"offline": ["ada"]}, {"online": ["ada"]}, {"offline": ["ada"]}]
        bob.disconnect()
        await hub.settle()
        assert hub.check() == []


async def test_a_broker_that_is_back_is_asked_to_deliver_by_the_next_who_watches(hub, broker):
    broker.broken = {"subscribe"}
    async with hub:
        bob = await come(hub, "bob", "ada")
        await hub.settle()
        broker.broken.clear()
        await come(hub, "ada")
        eve = await come(hub, "eve", "ada")
        await hub.settle()
        assert told(bob.frames()) == [{"offline": ["ada"]}, {"online": ["ada"]}]
        assert told(eve.frames()) == [{"online": ["ada"]}]


async def test_a_mistake_of_an_engine_costs_one_watcher_its_first_frame_and_nobody_else(hub, directory, caplog):
    class Mistake(set[str]):
        def __contains__(self, step: object) -> bool:
            if step == "ask":
                raise ValueError("a mistake")
            return False

    directory.broken = Mistake()
    async with hub:
        bob = await come(hub, "bob", "ada")
        await hub.settle()
        directory.broken = set()
        eve = await come(hub, "eve", "ada")
        await hub.settle()
        assert (told(bob.frames()), bob.open) == ([], True)
        assert told(eve.frames()) == [{"offline": ["ada"]}]
        assert "a watchlist could not be looked up" in caplog.messages
