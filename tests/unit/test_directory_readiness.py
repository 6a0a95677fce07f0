"""A node is ready only while the other nodes can know who is on it, and says so when they cannot."""

import logging
from collections.abc import Collection

import anyio
import pytest

from relay import BrokerUnavailable, Hub
from relay.cluster.directory import Beat, Full, Joined
from relay.cluster.outage import Outage
from relay.facts import BrokerLost, BrokerRestored, DirectoryLost, DirectoryRestored, Fact
from relay.health import Readiness
from relay.prometheus import HubCollector
from relay.protocol.messages import Identity
from relay.testing import ManualClock, cluster
from tests.unit.client import APP, arrive
from tests.unit.test_broken_engines import BreakableBroker, BreakableDirectory

pytestmark = pytest.mark.every_loop

TOLD = (DirectoryLost, DirectoryRestored)


class Keeping(BreakableDirectory):
    """Wants a beat every two seconds, and lets joins wait at a gate."""

    again: float | None = 2.0
    lapsed = False
    more = 0
    """How often a beat finds that another one may come at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = anyio.Event(), anyio.Event()
        self.gate.set()

    async def beat(self, apps: Collection[str]) -> Beat:
        self.fail_at("beat")
        lapsed, self.lapsed = self.lapsed, False
        more, self.more = self.more, max(self.more - 1, 0)
        return Beat(lapsed=lapsed, again=self.again, more=more > 0)

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        self.asked.set()
        await self.gate.wait()
        return await super().join(app, channel, socket_id, member, max_members=max_members)


@pytest.fixture
def directory() -> Keeping:
    return Keeping()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hub(directory: Keeping, clock: ManualClock) -> Hub:
    return Hub(APP, broker=BreakableBroker(), directory=directory, clock=clock)


def told(hub: Hub) -> list[type[Fact]]:
    return [type(fact) for fact in hub.journal if isinstance(fact, TOLD)]


def scraped(hub: Hub) -> tuple[float, float, float]:
    values = {sample.name: sample.value for family in HubCollector(hub).collect() for sample in family.samples}
    return values["relay_ready"], values["relay_directory_up"], values["relay_directory_losses_total"]


async def test_a_directory_that_refuses_makes_a_node_unready_within_a_beat_once_and_ready_when_it_does_not(
    hub, directory, clock, caplog
):
    caplog.set_level(logging.INFO, "relay.heartbeat")
    async with hub:
        await hub.settle()
        assert hub.readiness() == Readiness(running=True, draining=False, broker="proven", directory="known")
        assert (hub.readiness().ready, scraped(hub)) == (True, (1, 1, 0))
        directory.broken = {"beat"}
        await clock.advance(2)
        assert (hub.readiness().ready, hub.readiness().directory, scraped(hub)) == (False, "lost", (0, 0, 1))
        await clock.advance(20)
        assert [fact.reason for fact in hub.journal if isinstance(fact, DirectoryLost)] == ["connection refused"]
        directory.broken = set()
        await clock.advance(2)
        assert (hub.readiness().ready, scraped(hub)) == (True, (1, 1, 1))
        assert told(hub) == [DirectoryLost, DirectoryRestored]
        assert [record.getMessage() for record in caplog.records] == [
            "the directory does not hear that this node lives",
            "the directory hears again that this node lives",
        ]


async def test_a_directory_that_lost_something_makes_a_node_unready_until_all_have_joined_again_and_a_beat_more(
    hub, directory, clock
):
    async with hub:
        await (await arrive(hub)).subscribe("presence-room", "ada")
        directory.lapsed, directory.asked, directory.gate = True, anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.advance, 2)
            await directory.asked.wait()
            assert (hub.readiness().ready, told(hub)) == (False, [DirectoryLost])
            directory.gate.set()
        assert (hub.readiness().directory, told(hub)) == ("lost", [DirectoryLost])
        await clock.advance(2)
        assert (hub.readiness().ready, told(hub)) == (True, [DirectoryLost, DirectoryRestored])


async def test_a_beat_that_comes_at_once_since_dead_nodes_left_much_is_not_the_one_that_is_waited_for(
    hub, directory, clock
):
    async with hub:
        await hub.settle()
        directory.lapsed, directory.more = True, 5
        await clock.advance(2)
        assert (hub.readiness().directory, directory.more) == ("lost", 0)
        await clock.advance(2)
        assert hub.readiness().directory == "known"


async def test_a_node_whose_clients_cannot_join_again_stays_unready(hub, directory, clock):
    async with hub:
        await (await arrive(hub)).subscribe("presence-room", "ada")
        directory.broken = {"join"}
        for _ in range(5):
            directory.lapsed = True  # as engines say after a step that failed
            await clock.advance(2)
            assert hub.readiness().directory == "lost"
        directory.broken = set()
        directory.lapsed = True
        await clock.advance(4)
        assert (hub.readiness().directory, told(hub)) == ("known", [DirectoryLost, DirectoryRestored])


async def test_one_subscribe_that_is_refused_turns_no_node_away(hub, directory):
    async with hub:
        directory.broken = {"join"}
        await (await arrive(hub)).subscribe("presence-room", "ada")
        assert (hub.readiness().ready, told(hub)) == (True, [])
        directory.broken = set()


async def test_a_directory_without_leases_is_not_waited_for(hub, directory):
    directory.again, directory.lapsed = None, True
    async with hub:
        await hub.settle()
        assert (hub.readiness().directory, told(hub)) == ("known", [])


async def test_a_directory_that_refuses_from_the_beginning_keeps_a_hub_from_starting_and_it_may_be_run_again(
    hub, directory
):
    directory.broken = {"beat"}
    with pytest.raises(BrokerUnavailable, match="connection refused"):
        await hub.run()
    assert not hub.running
    directory.broken = set()
    async with hub:
        assert hub.readiness().ready


async def test_a_parted_node_whose_members_changed_is_ready_when_it_is_healed():
    async with cluster(APP) as nodes:
        hub = nodes[1].hub
        nodes.part(1)
        await (await nodes[1].connect()).subscribe("presence-room", user_id="ada")
        await nodes.advance(30)
        assert (hub.readiness().broker, hub.readiness().directory) == ("lost", "lost")
        await nodes.heal(1)
        assert hub.readiness().ready
        kinds = (*TOLD, BrokerLost, BrokerRestored)
        lost, restored = [BrokerLost, DirectoryLost], [DirectoryRestored, BrokerRestored]
        assert [type(fact) for fact in nodes[1].facts if isinstance(fact, kinds)] == [*lost, *restored]
        assert nodes[0].hub.readiness().ready


def test_an_outage_is_in_the_log_as_it_begins_each_minute_and_as_it_ends(caplog):
    log = logging.getLogger("relay.test")
    caplog.set_level(logging.INFO, log.name)
    outage = Outage(log)
    outage.over(0.0)
    for second in range(1, 131):
        outage.goes_on("nobody answers", float(second))
    outage.over(131.0)
    outage.over(132.0)
    outage.goes_on("nobody answers", 140.0)
    deaf, hears = "this node does not hear the others", "this node hears the others again"
    assert [record.getMessage() for record in caplog.records] == [deaf, deaf, deaf, hears, deaf]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "WARNING", "INFO", "WARNING"]
