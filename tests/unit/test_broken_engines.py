"""A broker or directory that fails: this node goes on serving its own clients, and says so (design 3.5)."""

import json
import logging
from collections.abc import Callable, Mapping

import anyio
import pytest

from relay import App, BrokerUnavailable, Hub, UsageError, api
from relay.cluster.broker import Envelope
from relay.cluster.directory import Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.cluster.local import LocalBroker, LocalDirectory
from relay.facts import CacheMissed
from relay.protocol import rest, signing
from relay.protocol.messages import Identity
from relay.receipts import Remote
from relay.testing import ManualClock
from tests.unit.client import ACK, ERROR, arrive

pytestmark = pytest.mark.every_loop

APP = App(id="1", key="k", secret="s", client_events=True)
ROOM = "presence-room"


class Breakable:
    """Fails at the steps named in `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[str] = set()

    def fail_at(self, step: str) -> None:
        if step in self.broken:
            raise BrokerUnavailable("connection refused")


class BreakableBroker(Breakable, LocalBroker):
    async def subscribe(self, app: str, channel: str) -> None:
        self.fail_at("subscribe")

    async def unsubscribe(self, app: str, channel: str) -> None:
        self.fail_at("unsubscribe")

    async def publish(self, envelope: Envelope) -> Remote:
        self.fail_at("publish")
        return "sent"


class BreakableDirectory(Breakable, LocalDirectory):
    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        self.fail_at("join")
        return await super().join(app, channel, socket_id, member, max_members=max_members)

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        self.fail_at("leave")
        return await super().leave(app, channel, socket_id)

    async def occupied(self, app: str, prefix: str) -> Mapping[str, Occupancy]:
        self.fail_at("ask")
        return await super().occupied(app, prefix)

    async def occupancy(self, app: str, channel: str) -> Occupancy:
        self.fail_at("ask")
        return await super().occupancy(app, channel)

    async def roster(self, app: str, channel: str) -> Roster:
        self.fail_at("ask")
        return await super().roster(app, channel)

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        self.fail_at("remember")
        return await super().remember(app, channel, text, now=now, retention=retention)

    async def recall(self, app: str, channel: str, *, now: float) -> Remembered | None:
        self.fail_at("recall")
        return await super().recall(app, channel, now=now)


@pytest.fixture
def broker() -> BreakableBroker:
    return BreakableBroker()


@pytest.fixture
def directory() -> BreakableDirectory:
    return BreakableDirectory()


@pytest.fixture
def hub(broker: BreakableBroker, directory: BreakableDirectory) -> Hub:
    return Hub(APP, broker=broker, directory=directory, clock=ManualClock())


async def test_an_event_that_other_nodes_cannot_get_is_delivered_here_and_the_receipt_says_so(hub, broker, caplog):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("news")
        assert (await hub.trigger("news", "paid", "")).remote == "sent"
        broker.broken = {"publish"}
        receipt = await hub.trigger(["news", "orders"], "paid", "")
        assert (receipt.remote, receipt.delivered) == ("unavailable", 1)
        assert socket.events() == [ACK, "paid", "paid"]
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert {record.getMessage() for record in warnings} == {"other nodes did not get an event"}


async def test_client_events_and_members_are_told_here_while_other_nodes_cannot_hear(hub, broker):
    broker.broken = {"publish"}
    async with hub:
        ada, bob = await arrive(hub), await arrive(hub)
        await ada.subscribe("presence-room", "ada")
        await bob.subscribe("presence-room", "bob")
        await bob.say("client-typing", {}, "presence-room")
        bob.disconnect()
        await hub.settle()
        added, typing, removed = ada.events()[1:]
        assert (added, typing, removed) == (
            "pusher_internal:member_added",
            "client-typing",
            "pusher_internal:member_removed",
        )


async def test_terminating_a_user_closes_the_connections_here_while_other_nodes_cannot_hear(hub, broker):
    async with hub:
        socket = await arrive(hub)
        await socket.sign_in("ada")
        broker.broken = {"publish"}
        closed = await hub.terminate_user_connections("ada")
        assert (closed, closed.remote, socket.open) == (1, "held", False)


async def test_terminating_a_user_over_rest_is_200_while_other_nodes_are_told_later(hub, broker):
    async with hub:
        broker.broken = {"publish"}
        answer = await over_rest(hub, "POST", "/apps/1/users/ada/terminate_connections", {})
        assert (answer.status, answer.body, hub.events_held()) == (200, b"{}", 1)


@pytest.mark.parametrize("step", ["subscribe", "join"])
async def test_a_subscribe_during_an_outage_is_answered_one_way_or_the_other(hub, broker, directory, step):
    broker.broken = directory.broken = {step}
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("news")
        assert socket.events() in ([ACK], [ERROR])
        broker.broken = directory.broken = set()
        await socket.subscribe("orders")
        assert (socket.events(), socket.open) == ([ACK], True)


@pytest.mark.unsound_hub  # the directory does not hear of who left, and nobody tells it later
@pytest.mark.parametrize("step", ["leave", "unsubscribe"])
async def test_an_unsubscribe_during_an_outage_is_no_accident(hub, broker, directory, step):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("news")
        broker.broken = directory.broken = {step}
        await socket.unsubscribe("news")
        await hub.trigger("news", "paid", "")
        assert (socket.events(), socket.open) == ([ACK], True)


@pytest.mark.unsound_hub  # the directory does not hear of who left, and nobody tells it later
@pytest.mark.parametrize("step", ["leave", "unsubscribe", "publish"])
async def test_a_client_that_leaves_during_an_outage_does_not_take_the_hub_with_it(hub, broker, directory, step):
    async with hub:
        leaving, staying = await arrive(hub), await arrive(hub)
        for socket, user in ((leaving, "ada"), (staying, "bob")):
            await socket.subscribe("presence-room", user)
            await socket.subscribe("private-" + user)
        staying.frames()
        broker.broken = directory.broken = {step}
        leaving.disconnect()
        with anyio.fail_after(5):
            await hub.settle()
        await hub.trigger("private-bob", "paid", "")
        assert (staying.events()[-1], staying.open) == ("paid", True)


async def test_a_broker_that_cannot_start_is_the_embedding_programs_to_see_and_the_hub_may_be_run_again(hub, broker):
    async def fail(receive: object) -> None:
        raise BrokerUnavailable("connection refused")

    broker.start = fail
    with pytest.raises(BrokerUnavailable):
        await hub.run()
    assert not hub.running
    del broker.start
    async with hub:
        assert hub.running


async def over_rest(hub: Hub, method: str, path: str, body: object = None) -> rest.Response:
    """A signed request, and what the hub answers."""
    raw = b"" if body is None else json.dumps(body).encode()
    signed = signing.sign_rest(APP, method, path, query=[], body=raw, now=int(hub.clock.time()))
    query = "&".join(f"{name}={value}" for name, value in signed)
    return await api.respond(hub, rest.Request(method, f"{path}?{query}", raw))


@pytest.mark.parametrize("path", ["channels", "channels/news", "channels/news/stats", "channels/presence-room/users"])
async def test_a_question_about_all_nodes_is_503_with_one_line_while_they_cannot_be_asked(hub, directory, path):
    async with hub:
        directory.broken = {"ask"}
        answer = await over_rest(hub, "GET", f"/apps/1/{path}")
        assert (answer.status, answer.body) == (503, b"The other nodes cannot be asked now: try again later\n")
        directory.broken = set()
        assert (await over_rest(hub, "GET", f"/apps/1/{path}")).status == 200


@pytest.mark.parametrize("question", [Hub.channels, lambda hub: hub.channel("news"), lambda hub: hub.members(ROOM)])
async def test_a_question_about_all_nodes_is_raised_here_as_what_it_is(hub, directory, question):
    directory.broken = {"ask"}
    async with hub:
        with pytest.raises(BrokerUnavailable):
            await question(hub)


async def test_an_event_whose_counts_cannot_be_told_is_published_all_the_same(hub, directory):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("news")
        directory.broken = {"ask"}
        receipt = await hub.trigger(["news", ROOM], "paid", "", info=["subscription_count", "user_count"])
        assert (receipt.remote, receipt.delivered) == ("unavailable", 1)
        assert receipt.info == {"news": {}, ROOM: {}}
        assert socket.events() == [ACK, "paid"]
        assert hub.check() == []


async def test_a_publish_over_rest_whose_counts_cannot_be_told_is_no_failure_to_be_tried_again(hub, directory):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("news")
        directory.broken = {"ask"}
        body = {"name": "paid", "channel": "news", "data": "", "info": "subscription_count"}
        answer = await over_rest(hub, "POST", "/apps/1/events", body)
        assert (answer.status, json.loads(answer.body)) == (200, {"channels": {"news": {}}})
        assert socket.events() == [ACK, "paid"]


async def test_an_event_that_cannot_be_remembered_is_delivered_and_that_is_logged(hub, directory, caplog):
    async with hub:
        early = await arrive(hub)
        await early.subscribe("cache-bus")
        await hub.trigger("cache-bus", "one", "")
        directory.broken = {"remember"}
        receipt = await hub.trigger("cache-bus", "two", "")
        assert (receipt.delivered, early.events()) == (1, [ACK, "pusher:cache_miss", "one", "two"])
        assert [record.getMessage() for record in caplog.records] == ["an event could not be remembered"]


async def test_whoever_subscribes_while_nothing_can_be_recalled_gets_a_cache_miss_that_is_no_fact(
    hub, directory, caplog
):
    directory.broken = {"recall"}
    async with hub:
        await hub.trigger("cache-bus", "one", "")
        socket = await arrive(hub)
        await socket.subscribe("cache-bus")
        await hub.trigger("cache-bus", "two", "")
        assert socket.events() == [ACK, "pusher:cache_miss", "two"]
        assert not any(isinstance(fact, CacheMissed) for fact in hub.journal)
        assert [record.getMessage() for record in caplog.records] == ["the last event cannot be recalled"]
        with pytest.raises(BrokerUnavailable):
            await hub.channel("cache-bus", info=["cache"])


class Taken(LocalBroker):
    """In use already: a second hub was given the cluster of the first."""

    closed = False

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        raise UsageError("in use already")

    async def close(self) -> None:
        self.closed = True


async def test_a_broker_that_refuses_to_start_is_not_closed():
    broker = Taken()
    with pytest.raises(UsageError, match="in use already"):
        await Hub(APP, broker=broker).run()
    assert not broker.closed
