"""What waits for the other nodes while they cannot be reached: bounded, in order, sent once, and told of."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from relay import App, BrokerError, BrokerUnavailable, Hub, UsageError
from relay.cluster.broker import Envelope
from relay.cluster.local import LocalBroker
from relay.facts import EventsGivenUp
from relay.holding import LONGEST, PAUSE
from relay.publishing import send_on
from relay.receipts import Remote
from relay.testing import Kit, ManualClock, Nodes, cluster
from tests.unit.client import arrive

pytestmark = pytest.mark.every_loop

APP = App(id="1", key="k", secret="s", client_events=True)
OTHER = App(id="2", key="l", secret="t")
BACK = PAUSE + 0.1
"""Seconds after which all that waits was sent."""


async def hearing(kit: Kit, name: str = "orders") -> list[Any]:
    """The data of all that a client gets from now on."""
    channel = await (await kit.connect()).subscribe(name)
    seen: list[Any] = []
    channel.bind("paid", lambda event: seen.append(event.data))
    return seen


async def publish(nodes: Nodes, *numbers: int, channel: str = "orders", at: int = 0) -> list[Remote]:
    """What the receipts of these events say, which one node publishes."""
    told = [(await nodes[at].hub.trigger(channel, "paid", number)).remote for number in numbers]
    await nodes.settle()
    return told


def given_up(nodes: Nodes) -> int:
    return sum(fact.count for kit in nodes for fact in kit.facts if isinstance(fact, EventsGivenUp))


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int | None]]:
    """What was logged of events that wait, with their number where one is told."""
    mine = [record for record in caplog.records if record.name == "relay.holding"]
    return [(record.getMessage(), getattr(record, "events", None)) for record in mine]


async def test_what_is_published_while_the_engine_is_away_waits_and_arrives_in_order_when_it_is_back():
    async with cluster(hold=10) as nodes:
        here, there = await hearing(nodes[0]), await hearing(nodes[1])
        nodes.part(0)
        assert await publish(nodes, 1, 2) == ["held", "held"]
        assert (here, nodes[0].hub.events_held()) == ([1, 2], 2)
        await nodes.advance(20)
        await nodes.heal(0)
        assert await publish(nodes, 3) == ["held"]
        assert there == []
        await nodes.advance(BACK)
        assert await publish(nodes, 4) == ["sent"]
        assert (here, there, nodes[0].hub.events_held()) == ([1, 2, 3, 4], [1, 2, 3, 4], 0)
        assert given_up(nodes) == 0


async def test_nothing_waits_by_default():
    async with cluster() as nodes:
        seen = await hearing(nodes[1])
        nodes.part(0)
        assert await publish(nodes, 1) == ["unavailable"]
        await nodes.heal(0)
        await nodes.advance(BACK)
        assert (seen, nodes[0].hub.events_held()) == ([], 0)


async def test_what_finds_no_room_is_unavailable_and_order_holds_among_the_rest():
    async with cluster(hold=3) as nodes:
        seen = await hearing(nodes[1])
        nodes.part(0)
        assert await publish(nodes, 1, 2, 3, 4, 5) == ["held"] * 3 + ["unavailable"] * 2
        await nodes.heal(0)
        await nodes.advance(BACK)
        await publish(nodes, 6)
        assert seen == [1, 2, 3, 6]


async def test_a_full_node_does_not_go_on_waiting_when_the_engine_is_back():
    async with cluster(hold=2) as nodes:
        seen = await hearing(nodes[1])
        nodes.part(0)
        await publish(nodes, 1, 2)
        await nodes.heal(0)
        assert await publish(nodes, 3) == ["unavailable"]
        assert await publish(nodes, 4) == ["sent"]
        assert seen == [1, 2, 4]


async def test_an_event_of_a_channel_where_none_waits_does_not_wait_either():
    async with cluster(hold=10) as nodes:
        orders, news = await hearing(nodes[1]), await hearing(nodes[1], "news")
        nodes.part(0)
        await publish(nodes, 1)
        await nodes.heal(0)
        assert await publish(nodes, 2, channel="news") == ["sent"]
        assert (orders, news) == ([], [2])
        receipt = await nodes[0].hub.trigger(["news", "orders"], "paid", 3)
        assert receipt.remote == "held"
        await nodes.advance(BACK)
        assert (orders, news) == ([1, 3], [2, 3])


async def test_nodes_that_come_back_one_after_the_other_all_get_what_waited():
    async with cluster(nodes=3, hold=10) as nodes:
        seen = [await hearing(nodes[1]), await hearing(nodes[2])]
        nodes.part(0, 1, 2)
        await publish(nodes, 1, 2)
        await nodes.heal(0)
        await nodes.advance(PAUSE / 2)
        await nodes.heal(1, 2)
        await nodes.advance(BACK)
        assert (seen, nodes.lost) == ([[1, 2], [1, 2]], 0)


async def test_what_waits_survives_that_the_engine_fails_again():
    async with cluster(hold=10) as nodes:
        seen = await hearing(nodes[1])
        for number in range(4):
            nodes.part(0)
            assert await publish(nodes, number) == ["held"]
            await nodes.heal(0)
            await nodes.advance(PAUSE / 2)
        await nodes.advance(BACK)
        assert seen == [0, 1, 2, 3]


async def test_who_is_terminated_on_a_parted_node_goes_on_the_others_when_it_is_back():
    async with cluster(APP, hold=10) as nodes:
        ada = await arrive(nodes[1].hub)
        await ada.sign_in("ada")
        nodes.part(0)
        await nodes[0].hub.terminate_user_connections("ada")
        assert nodes[0].hub.events_held() == 1
        assert ada.open
        await nodes.heal(0)
        await nodes.advance(BACK)
        assert ada.close_code == 4009


async def test_a_client_event_waits_too():
    async with cluster(APP, hold=10) as nodes:
        seen: list[Any] = []
        near = await (await nodes[0].connect()).subscribe("private-chat")
        far = await (await nodes[1].connect()).subscribe("private-chat")
        far.bind("client-said", lambda event: seen.append(event.data))
        nodes.part(0)
        await near.trigger("client-said", "hello")
        await nodes.settle()
        await nodes.heal(0)
        await nodes.advance(BACK)
        assert seen == ["hello"]


async def test_news_of_members_do_not_wait_and_are_put_right_as_ever():
    async with cluster(hold=10) as nodes:
        room = await (await nodes[1].connect()).subscribe("presence-room", user_id="bob")
        nodes.part(0)
        await (await nodes[0].connect()).subscribe("presence-room", user_id="ada")
        assert nodes[0].hub.events_held() == 0
        await nodes.heal(0)
        await nodes.advance(20)
        assert {member.id for member in room.members} == {"ada", "bob"}
        assert nodes.check() == []


async def test_an_event_of_a_cache_channel_does_not_come_late_behind_a_newer_one():
    async with cluster(hold=10) as nodes:
        seen = await hearing(nodes[1], "cache-price")
        nodes.part(0)
        assert await publish(nodes, 1, channel="cache-price") == ["unavailable"]
        assert await publish(nodes, 2, channel="cache-price", at=1) == ["sent"]
        await nodes.heal(0)
        await nodes.advance(BACK)
        assert seen == [2]
        late = await (await nodes[0].connect()).subscribe("cache-price")
        assert (await late.expect("paid")).data == 2


async def test_nothing_waits_for_longer_than_a_minute_and_what_did_is_given_up_and_counted(caplog):
    async with cluster(hold=10) as nodes:
        seen = await hearing(nodes[1])
        nodes.part(0)
        await publish(nodes, 1, 2)
        await nodes.advance(LONGEST / 2)
        await publish(nodes, 3)
        await nodes.advance(LONGEST / 2)
        assert (nodes[0].hub.events_held(), given_up(nodes)) == (1, 2)
        await nodes.heal(0)
        await nodes.advance(BACK)
        assert seen == [3]
        assert nodes[0].hub.totals().events_given_up == 2
    assert logged(caplog) == [("events wait for the other nodes", None), ("other nodes will never get some events", 2)]


async def test_a_hub_that_closes_gives_up_what_waits_and_says_how_much(caplog):
    async with cluster(APP, OTHER, hold=10) as nodes:
        nodes.part(0)
        for app in (APP, APP, OTHER):
            await nodes[0].hub.trigger("orders", "paid", "", app=app)
        with anyio.fail_after(5):
            await nodes[0].hub.drain(0)
            await nodes.settle()
    hub = nodes[0].hub
    assert [hub.totals(app=app).events_given_up for app in (APP, OTHER)] == [2, 1]
    assert hub.events_held() == 0
    assert logged(caplog) == [("events wait for the other nodes", None), ("other nodes will never get some events", 3)]


async def test_a_hub_that_closes_while_the_engine_is_back_sends_what_waits():
    async with cluster(hold=10) as nodes:
        seen = await hearing(nodes[1])
        nodes.part(0)
        await publish(nodes, 1, 2)
        await nodes.heal(0)
        nodes[0].hub.close()
        while nodes[0].hub.events_held():
            await anyio.lowlevel.checkpoint()
        await nodes[1].settle()
        assert seen == [1, 2]
    assert given_up(nodes) == 0


class Moody(LocalBroker):
    """A broker whose every answer the test decides: an error to raise, or None to take the envelope."""

    def __init__(self) -> None:
        self.answers: list[BrokerError | None] = []
        self.away = True
        self.taken: list[str] = []
        self.calls = 0

    async def publish(self, envelope: Envelope) -> Remote:
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else BrokerUnavailable("", maybe_done=False) if self.away else None
        await anyio.lowlevel.checkpoint()
        if answer is not None:
            raise answer
        self.taken.append(envelope.text.decode())
        return "sent"


def taken(broker: Moody, *numbers: int) -> list[bool]:
    """Whether the broker was given each of these events, once."""
    return [sum(f'"data":"{number}"' in text for text in broker.taken) == 1 for number in numbers]


async def test_an_event_that_the_engine_may_have_got_is_never_sent_again():
    broker, clock = Moody(), ManualClock()
    broker.answers = [BrokerUnavailable("no answer"), BrokerError("refused")]
    async with Hub(APP, broker=broker, clock=clock, hold=10) as hub:
        assert (await hub.trigger("orders", "paid", "1")).remote == "unavailable"
        assert (await hub.trigger("orders", "paid", "2")).remote == "unavailable"
        assert (await hub.trigger("orders", "paid", "3")).remote == "held"
        assert (await hub.trigger("orders", "paid", "4")).remote == "held"
        broker.answers, broker.away = [BrokerUnavailable("no answer")], False
        await clock.advance(BACK)
        await clock.advance(BACK)
        assert taken(broker, 1, 2, 3, 4) == [False, False, False, True]
        assert (hub.totals().events_given_up, hub.events_held()) == (1, 0)


async def test_an_event_that_a_later_one_of_its_channel_passed_is_not_sent_after_it():
    broker, clock = Moody(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock, hold=10) as hub:
        for number in range(1, 5):
            await hub.trigger("orders", "paid", str(number))
        no = BrokerUnavailable("busy", maybe_done=False)
        broker.answers, broker.away = [None, no, None, no], False  # one, then two at once, then the last
        await clock.advance(BACK)
        assert (taken(broker, 1, 2, 3, 4), hub.events_held()) == ([True, False, True, False], 1)
        await clock.advance(BACK)
        assert taken(broker, 1, 2, 3, 4) == [True, False, True, True]
        assert hub.totals().events_given_up == 1


async def test_an_engine_that_is_not_back_is_asked_for_one_event_at_a_time():
    broker, clock = Moody(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock, hold=500) as hub:
        for number in range(500):
            await hub.trigger("orders", "paid", str(number))
        assert broker.calls == 1  # what is published to a channel where events wait does not even try
        await clock.advance(PAUSE)
        assert broker.calls == 2
        broker.away = False
        await clock.advance(PAUSE)
        assert taken(broker, *range(500)) == [True] * 500
        assert broker.taken == sorted(broker.taken, key=lambda text: int(text.split('"data":"')[1].split('"')[0]))


async def test_a_broker_that_breaks_its_word_loses_one_event_and_no_more(caplog):
    broker, clock = Moody(), ManualClock()
    async with Hub(APP, broker=broker, clock=clock, hold=10) as hub:
        await hub.trigger("orders", "paid", "1")
        await hub.trigger("orders", "paid", "2")
        broker.answers, broker.away = [ZeroDivisionError()], False  # type: ignore[list-item]  # no BrokerError
        await clock.advance(BACK)
        await clock.advance(BACK)
        assert (taken(broker, 1, 2), hub.events_held()) == ([False, True], 0)
    assert any(record.exc_info for record in caplog.records)


async def test_a_stepped_hub_lets_events_wait_as_well():
    broker, clock = Moody(), ManualClock()
    hub = Hub(APP, broker=broker, clock=clock, hold=10)
    for number, lost in (("1", 0), ("2", 1)):
        broker.away = True
        hub.step()
        assert (await hub.trigger("orders", "paid", number)).remote == "held"
        if not lost:
            broker.away = False
            await clock.advance(BACK)
        hub.close()
        assert (hub.events_held(), hub.totals().events_given_up) == (0, lost)
    assert taken(broker, 1, 2) == [True, False]


async def test_what_fails_when_the_hub_has_ended_does_not_wait():
    late = Envelope(app="1", channel="orders", text=b"{}")
    async with Hub(APP, broker=Moody(), clock=ManualClock(), hold=10) as hub:
        assert await send_on(hub._node, late) == "held"  # noqa: SLF001 - what a verb does that is still under way
    assert await send_on(hub._node, late) == "unavailable"  # noqa: SLF001
    assert hub.events_held() == 0


def test_a_hold_below_nothing_is_refused():
    with pytest.raises(UsageError, match="hold should be a number of events from 0 on, got -1"):
        Hub(APP, hold=-1)


async def test_a_node_alone_has_nobody_to_wait_for():
    async with Hub(APP, clock=ManualClock(), hold=10) as hub:
        assert (await hub.trigger("orders", "paid", "")).remote == "none"
        assert hub.events_held() == 0
