"""A user who is terminated while the other nodes cannot be reached goes there too, as soon as they can be."""

from __future__ import annotations

import anyio
import pytest

from relay import App, BrokerError, BrokerUnavailable, Hub
from relay.cluster.broker import Envelope
from relay.cluster.local import LocalBroker
from relay.facts import EventsGivenUp
from relay.holding import PAUSE
from relay.receipts import Remote, Terminated
from relay.terminations import MOST
from relay.testing import Kit, ManualClock, Nodes, cluster
from tests.unit.client import Socket, arrive
from tests.unit.test_broken_engines import APP, over_rest

pytestmark = pytest.mark.every_loop

OTHER = App(id="2", key="l", secret="t")
KICK = "/apps/1/users/{}/terminate_connections"


async def signed_in(kit: Kit, user: str = "ada", app: App = APP) -> Socket:
    socket = await arrive(kit.hub, app)
    await socket.sign_in(user)
    return socket


async def back(nodes: Nodes, *numbers: int) -> None:
    """These reach the engine again, for as long as it takes until all is said."""
    await nodes.heal(*numbers)
    await nodes.advance(PAUSE)


async def test_who_is_terminated_while_the_engine_is_away_is_closed_on_the_other_nodes_when_it_is_back():
    async with cluster(APP, nodes=3) as nodes:
        near, far, other = await signed_in(nodes[0]), await signed_in(nodes[1]), await signed_in(nodes[2], "bob")
        nodes.part(0, 1, 2)
        closed = await nodes[0].hub.terminate_user_connections("ada")
        assert (closed, closed.remote, nodes[0].hub.events_held()) == (1, "held", 1)
        assert (near.close_code, far.open) == (4009, True)
        await nodes.advance(100)
        await nodes.heal(0)
        await nodes.advance(PAUSE / 2)
        await back(nodes, 1, 2)
        assert (far.close_code, other.open, nodes[0].hub.events_held()) == (4009, True, 0)
        assert nodes[0].hub.totals().events_given_up == 0


async def test_who_signs_in_after_the_call_stays_and_who_signs_in_once_more_does_not():
    async with cluster(APP) as nodes:
        early = await signed_in(nodes[1])
        nodes.part(0)
        await nodes[0].hub.terminate_user_connections("ada")
        await nodes.advance(0.01)
        late = await signed_in(nodes[1])
        await early.sign_in("ada")  # as with another watchlist
        await nodes.advance(60)
        await back(nodes, 0)
        assert (early.close_code, late.open) == (4009, True)
        await nodes[0].hub.terminate_user_connections("ada")
        assert late.close_code == 4009


async def test_a_user_is_kept_once_for_each_app_and_the_last_call_counts():
    async with cluster(APP, OTHER) as nodes:
        nodes.part(0)
        hub, between = nodes[0].hub, []
        for app in (APP, OTHER, APP):
            await nodes.advance(5)
            between.append(await signed_in(nodes[1]))
            assert (await hub.terminate_user_connections("ada", app=app)).remote == "held"
        assert [hub.events_held(app=app) for app in (APP, OTHER)] == [1, 1]
        elsewhere = await signed_in(nodes[1], app=OTHER)
        await back(nodes, 0)
        assert [socket.close_code for socket in between] == [4009] * 3
        assert (elsewhere.open, hub.events_held()) == (True, 0)


async def test_what_waits_survives_that_the_engine_fails_again():
    async with cluster(APP) as nodes:
        far = await signed_in(nodes[1])
        for _ in range(4):
            nodes.part(0)
            assert (await nodes[0].hub.terminate_user_connections("eve")).remote == "held"
            await nodes[0].hub.terminate_user_connections("ada")
            await nodes.heal(0)
            await nodes.advance(PAUSE / 2)
            assert far.open
        await back(nodes)
        assert (far.close_code, nodes[0].hub.events_held()) == (4009, 0)


async def test_while_the_others_may_still_be_deaf_it_is_said_at_once_and_again():
    async with cluster(APP, nodes=3) as nodes:
        hears, deaf = await signed_in(nodes[1]), await signed_in(nodes[2])
        nodes.part(0, 2)
        await nodes.heal(0)
        assert (await nodes[0].hub.terminate_user_connections("ada")).remote == "held"
        await nodes.settle()
        assert (hears.close_code, deaf.open) == (4009, True)
        await back(nodes, 2)
        assert deaf.close_code == 4009
        assert (await nodes[0].hub.terminate_user_connections("ada")).remote == "sent"
        assert nodes[0].hub.events_held() == 0


async def test_a_later_call_that_gets_out_says_what_waited_too():
    async with cluster(APP) as nodes:
        nodes.part(0)
        await nodes[0].hub.terminate_user_connections("ada")
        await nodes.heal(0)
        await nodes.advance(PAUSE)
        assert (await nodes[0].hub.terminate_user_connections("ada")).remote == "sent"
        assert nodes[0].hub.events_held() == 0


async def test_what_finds_no_room_is_unavailable_here_and_503_over_rest():
    async with cluster(APP) as nodes:
        hub = nodes[0].hub
        near, far = await signed_in(nodes[0], "last"), await signed_in(nodes[1], "user-7")
        nodes.part(0)
        for number in range(MOST - 1):
            assert (await hub.terminate_user_connections(f"user-{number}")).remote == "held"
        answer = await over_rest(hub, "POST", KICK.format("ada"), {})
        assert (answer.status, answer.body) == (200, b"{}")
        answer = await over_rest(hub, "POST", KICK.format("last"), {})
        assert (answer.status, answer.body) == (503, b"The other nodes cannot be told now: try again later\n")
        assert near.close_code == 4009
        assert (await hub.terminate_user_connections("last")).remote == "unavailable"
        assert (await hub.terminate_user_connections("ada")).remote == "held"
        assert hub.events_held() == MOST
        await back(nodes, 0)
        assert (far.close_code, hub.events_held()) == (4009, 0)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int | None]]:
    mine = [record for record in caplog.records if record.name == "relay.terminations"]
    return [(record.getMessage(), getattr(record, "users", None)) for record in mine]


async def test_a_hub_that_closes_gives_up_what_waits_and_says_how_much(caplog):
    async with cluster(APP, OTHER) as nodes:
        hub = nodes[0].hub
        given_up: list[int] = []
        hub.on(EventsGivenUp, lambda fact: given_up.append(fact.count))
        nodes.part(0)
        for app, user in ((APP, "ada"), (APP, "bob"), (OTHER, "ada")):
            await hub.terminate_user_connections(user, app=app)
    assert [hub.totals(app=app).events_given_up for app in (APP, OTHER)] == [2, 1]
    assert (given_up, hub.events_held()) == ([2, 1], 0)
    assert logged(caplog) == [
        ("terminations wait for the other nodes", None),
        ("other nodes may never hear of terminations", 3),
    ]


class Fickle(LocalBroker):
    """A broker whose next answers the test decides: what it does instead of taking an envelope."""

    def __init__(self) -> None:
        self.answers: list[Exception | anyio.Event] = []
        self.taken: list[Envelope] = []
        self.healthy = True

    async def publish(self, envelope: Envelope) -> Remote:
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, anyio.Event):
            await answer.wait()
        elif answer is not None:
            raise answer
        self.taken.append(envelope)
        return "sent"

    @property
    def said(self) -> list[tuple[str | None, int]]:
        """Of whom the others heard, and how many milliseconds ago it was called for."""
        return [(envelope.user_id, envelope.step) for envelope in self.taken]


@pytest.mark.parametrize(
    "failure", [BrokerUnavailable("away", maybe_done=False), BrokerUnavailable("no answer"), BrokerError("refused")]
)
async def test_whatever_a_broker_says_that_is_not_yes_it_is_asked_again(failure):
    broker, clock = Fickle(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock) as hub:
        broker.answers = [failure] * 3
        assert (await hub.terminate_user_connections("ada")).remote == "held"
        await clock.advance(2 * PAUSE)
        assert broker.said == []
        await clock.advance(PAUSE)
        assert broker.said == [("ada", 3 * PAUSE * 1000 - 1)]
        await clock.advance(10 * PAUSE)
        assert (len(broker.said), hub.events_held()) == (1, 0)


async def test_whoever_gives_up_waiting_for_a_broker_that_hangs_has_called_all_the_same():
    broker, clock = Fickle(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock) as hub:
        broker.answers = [anyio.Event()]
        with anyio.move_on_after(0.01) as scope:
            await hub.terminate_user_connections("ada")
        assert (scope.cancelled_caught, hub.events_held()) == (True, 1)
        await clock.advance(PAUSE)
        assert ([user for user, _ in broker.said], hub.events_held()) == (["ada"], 0)


async def test_a_broker_that_takes_it_while_this_node_is_deaf_is_given_it_again_when_it_is_not():
    broker, clock = Fickle(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock) as hub:
        broker.healthy = False
        assert (await hub.terminate_user_connections("ada")).remote == "held"
        await clock.advance(PAUSE)
        assert broker.said == [("ada", 0)]
        broker.healthy = True
        await clock.advance(PAUSE)
        assert [user for user, _ in broker.said] == ["ada", "ada"]
        assert hub.events_held() == 0


async def test_a_broker_that_is_not_back_is_asked_for_one_user_at_a_time():
    broker, clock = Fickle(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock) as hub:
        broker.answers = [BrokerUnavailable() for _ in range(301)]
        for number in range(300):
            await hub.terminate_user_connections(str(number))
        await clock.advance(PAUSE)
        assert (broker.answers, broker.said) == ([], [])
        await clock.advance(PAUSE)
        assert sorted(int(user or "") for user, _ in broker.said) == list(range(300))


async def test_a_broker_that_breaks_its_word_loses_one_user_and_no_more(caplog):
    broker, clock = Fickle(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock) as hub:
        broker.answers = [BrokerUnavailable(), BrokerUnavailable(), ZeroDivisionError()]
        await hub.terminate_user_connections("ada")
        await hub.terminate_user_connections("bob")
        await clock.advance(PAUSE)
        assert ([user for user, _ in broker.said], hub.events_held()) == (["bob"], 0)
        assert hub.totals().events_given_up == 1
    assert any(record.exc_info for record in caplog.records)


async def test_a_hub_that_closes_while_the_broker_is_back_says_what_waits():
    broker = Fickle()
    async with Hub(APP, broker=broker, clock=ManualClock()) as hub:
        broker.answers = [BrokerUnavailable()]
        await hub.terminate_user_connections("ada")
    assert ([user for user, _ in broker.said], hub.totals().events_given_up) == (["ada"], 0)


async def test_a_call_that_ends_when_the_hub_has_closed_does_not_wait():
    broker = Fickle()
    async with Hub(APP, broker=broker, clock=ManualClock()) as hub:
        late = hub._node.terminations  # noqa: SLF001 - what a verb does that is still under way
    broker.answers = [BrokerUnavailable()]
    assert (await late.send("1", "ada"), hub.events_held()) == ("unavailable", 0)


async def test_a_stepped_hub_says_again_what_waits_as_well():
    broker, clock = Fickle(), ManualClock()
    hub = Hub(APP, broker=broker, clock=clock)
    hub.step()
    broker.answers = [BrokerUnavailable()]
    assert (await hub.terminate_user_connections("ada")).remote == "held"
    await clock.advance(PAUSE)
    hub.close()
    assert ([user for user, _ in broker.said], hub.totals().events_given_up) == (["ada"], 0)


async def test_the_answer_is_a_number_that_says_more():
    async with Hub(APP, clock=ManualClock()) as hub:
        socket = await arrive(hub)
        await socket.sign_in("ada")
        closed = await hub.terminate_user_connections("ada")
        assert (closed, closed + 1, f"{closed}", closed.remote) == (1, 2, "1", "none")
        assert isinstance(closed, Terminated)
