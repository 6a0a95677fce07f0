"""A running hub's webhooks: driven by its clock, finished when it closes, and no receiver in the way of anybody."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import anyio
import pytest

from relay import App, Hub, UsageError, WebhookEndpoint
from relay.cluster.local import LocalDirectory
from relay.facts import Fact, WebhookDelivered, WebhookGivenUp
from relay.protocol.webhooks import verify
from relay.testing import ManualClock, WebhookRecorder
from relay.webhooks import Answer, Request
from tests.unit.client import arrive

pytestmark = pytest.mark.every_loop

FIRST, SECOND = "https://a.example/w", "https://b.example/w"
APP = App(
    id="1001",
    key="app-key",
    secret="app-secret",
    client_events=True,
    activity_timeout=1000,
    webhooks=(WebhookEndpoint(FIRST), WebhookEndpoint(SECOND, events=("member_added",))),
)
PLAIN = App(id="2", key="other-key", secret="other-secret")


class Receivers:
    """Sends to receivers of this test, which answer when they like; a sender over the network as the hub sees it."""

    at_once = False

    def __init__(self, respond: Callable[[Request], Answer] = lambda _: Answer(200)) -> None:
        self.respond = respond
        self.taken: list[tuple[str, str]] = []
        self.hanging: dict[str, anyio.Event] = {}
        self.closed = False
        self._news = anyio.Event()

    async def send(self, request: Request) -> Answer:
        sent = verify(APP, request.headers, request.body)
        if (gate := self.hanging.get(request.url)) is not None:
            await gate.wait()
        answer = self.respond(request)
        if answer.status == 200:
            self.taken += [(request.url, event.name) for event in sent.events]
        self._news.set()
        self._news = anyio.Event()
        return answer

    async def close(self) -> None:
        self.closed = True

    async def took(self, *wanted: tuple[str, str]) -> None:
        """Return when exactly these have been taken."""
        while len(self.taken) < len(wanted):
            await self._news.wait()
        assert self.taken == list(wanted)


def make(sender: Receivers | WebhookRecorder, *apps: App) -> Hub:
    hub = Hub(*(apps or (APP,)), clock=ManualClock(), random=Random(7))
    hub.send_webhooks(sender)
    return hub


async def advance(hub: Hub, seconds: float) -> None:
    assert isinstance(hub.clock, ManualClock)
    await hub.clock.advance(seconds)


def outcomes(hub: Hub) -> list[Fact]:
    return [fact for fact in hub.journal if isinstance(fact, WebhookDelivered | WebhookGivenUp)]


async def test_receivers_are_told_what_happens_each_what_it_wants():
    async with make(recorder := WebhookRecorder([APP])) as hub:
        socket = await arrive(hub)
        await socket.subscribe("presence-room", "ada")
        await hub.settle()
        assert [(request.url, request.events[0].name) for request in recorder.requests if request.url == FIRST] == [
            (FIRST, "channel_occupied"),
            (FIRST, "member_added"),
        ]
        assert [event.user_id for event in recorder.events("member_added")] == ["ada", "ada"]
        socket.disconnect()
        await advance(hub, 2.9)
        assert recorder.events("channel_vacated") == []
        await advance(hub, 0.2)
        assert [event.name for event in recorder.events()[3:]] == ["member_removed", "channel_vacated"]


async def test_client_event_tells_its_data_as_text():
    async with make(recorder := WebhookRecorder([APP])) as hub:
        socket = await arrive(hub)
        await socket.subscribe("presence-room", "ada")
        await socket.say("client-typing", {"who": "ada", "odd": '\u2028"'}, "presence-room")
        await hub.settle()
        [event] = recorder.events("client_event")
        assert (event.data, event.socket_id) == ('{"who": "ada", "odd": "\\u2028\\""}', socket.id)
        assert (event.user_id, event.event, event.channel) == ("ada", "client-typing", "presence-room")


async def test_what_became_of_each_request_is_a_fact():
    async with make(recorder := WebhookRecorder([APP])) as hub:
        recorder.status = 503
        await (await arrive(hub)).subscribe("orders")
        await hub.settle()
        assert outcomes(hub) == []
        recorder.status = 200
        await advance(hub, 1)
        time = hub.clock.time()
        [fact] = outcomes(hub)
        assert isinstance(fact, WebhookDelivered)
        assert (fact.app, fact.url, fact.events, fact.status, fact.attempts) == (APP.id, FIRST, 1, 200, 2)
        assert time - 1 < fact.time <= time


async def test_receiver_that_never_takes_anything_is_given_up_after_five_minutes():
    async with make(recorder := WebhookRecorder([APP])) as hub:
        recorder.status = 500
        await (await arrive(hub)).subscribe("orders")
        await advance(hub, 299.9)
        assert outcomes(hub) == []
        await advance(hub, 0.2)
        [fact] = outcomes(hub)
        assert isinstance(fact, WebhookGivenUp)
        assert fact.attempts == len(recorder.requests) > 8


async def test_cache_channel_without_an_event_is_told_once_until_one_is_published():
    async with make(recorder := WebhookRecorder([APP])) as hub:
        for _ in range(3):
            await (await arrive(hub)).subscribe("cache-bus")
        await hub.settle()
        assert len(recorder.events("cache_miss")) == 1
        await hub.trigger("cache-bus", "moved", {})
        await advance(hub, APP.cache_ttl + 1)
        await (await arrive(hub)).subscribe("cache-bus")
        await hub.settle()
        assert len(recorder.events("cache_miss")) == 2


async def test_slow_receiver_delays_nobody_and_settle_does_not_wait_for_it():
    receivers = Receivers()
    async with make(receivers) as hub:
        gate = receivers.hanging[FIRST] = anyio.Event()
        await (await arrive(hub)).subscribe("presence-room", "ada")
        await hub.settle()
        await receivers.took((SECOND, "member_added"))
        gate.set()
        await receivers.took((SECOND, "member_added"), (FIRST, "channel_occupied"), (FIRST, "member_added"))


async def test_other_apps_have_nothing_to_do_with_it():
    async with make(recorder := WebhookRecorder([APP]), APP, PLAIN) as hub:
        await (await arrive(hub, PLAIN)).subscribe("orders")
        await advance(hub, 10)
        assert recorder.requests == []


async def test_sender_that_raises_is_an_attempt_that_failed(caplog):
    failures = [ZeroDivisionError("mine")]

    def respond(_: Request) -> Answer:
        if failures:
            raise failures.pop()
        return Answer(200)

    receivers = Receivers(respond)
    async with make(receivers) as hub:
        await (await arrive(hub)).subscribe("orders")
        await hub.settle()
        await anyio.wait_all_tasks_blocked()
        await advance(hub, 1)
        await receivers.took((FIRST, "channel_occupied"))
    assert "a webhook sender failed" in caplog.messages


async def test_closing_hub_tells_everything_that_waits_before_it_ends():
    receivers = Receivers()
    async with make(receivers) as hub:
        await (await arrive(hub)).subscribe("orders")
    await receivers.took((FIRST, "channel_occupied"), (FIRST, "channel_vacated"))
    assert receivers.closed
    assert hub.check() == []


async def test_closing_hub_gives_up_what_a_receiver_does_not_take():
    receivers = Receivers(lambda _: Answer(None, "no route"))
    async with make(receivers) as hub:
        await (await arrive(hub)).subscribe("orders")
    [fact] = outcomes(hub)
    assert isinstance(fact, WebhookGivenUp)
    assert (fact.events, fact.reason) == (2, "the hub closed; the last answer was no route")


async def test_closing_hub_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("relay.life._CLOSING_SECONDS", 0.05)
    receivers = Receivers()
    receivers.hanging[FIRST] = anyio.Event()
    async with make(receivers) as hub:
        await (await arrive(hub)).subscribe("orders")
        await hub.settle()
    [fact] = outcomes(hub)
    assert isinstance(fact, WebhookGivenUp)
    assert (fact.events, fact.reason[:14]) == (2, "the hub closed")


async def test_cancelled_hub_tells_what_it_can():
    receivers = Receivers()
    hub = make(receivers)
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        await (await arrive(hub)).subscribe("orders")
        tasks.cancel_scope.cancel()
    assert receivers.taken == [(FIRST, "channel_occupied"), (FIRST, "channel_vacated")]


async def test_hub_that_runs_again_sends_again():
    hub = make(recorder := WebhookRecorder([APP]))
    for _ in range(2):
        async with hub:
            await (await arrive(hub)).subscribe("orders")
    assert [event.name for event in recorder.events()] == ["channel_occupied", "channel_vacated"] * 2


async def test_hub_with_nothing_to_send_its_webhooks_says_so():
    for hub in (Hub(APP), Hub(PLAIN, APP)):
        with pytest.raises(UsageError, match="App 1001 has webhooks and nothing sends them: "):
            await hub.run()
        with pytest.raises(UsageError, match=r"hub\.send_webhooks"):
            hub.step()
        assert not hub.running
    async with Hub(PLAIN) as hub:
        assert hub.webhook_sender is None


async def test_receiver_is_told_nothing_it_does_not_want():
    app = App(
        id="3", key="k", secret="s", client_events=True, webhooks=(WebhookEndpoint(FIRST, events=("member_added",)),)
    )
    async with make(recorder := WebhookRecorder([app]), app) as hub:
        socket = await arrive(hub)
        await socket.subscribe("presence-room", "ada")
        await socket.say("client-typing", {}, "presence-room")
        await hub.settle()
        assert [event.name for event in recorder.events()] == ["member_added"]


@pytest.mark.parametrize("channel", ["orders", "presence-room"])
async def test_who_is_back_on_another_node_is_not_told_as_gone(channel):
    directory, mine = SharedDirectory(), WebhookRecorder([APP])
    here, there = (Hub(APP, clock=clock, directory=directory) for clock in [ManualClock()] * 2)
    here.send_webhooks(mine)
    there.send_webhooks(theirs := WebhookRecorder([APP]))
    async with here, there:
        socket = await arrive(here)
        await socket.subscribe(channel, "ada")
        socket.disconnect()
        await here.settle()
        second = await arrive(there)
        await second.subscribe(channel, "ada")
        await advance(here, 10)
        assert {event.name for event in mine.events()} == {event.name for event in theirs.events()}
        assert {event.name for event in mine.events()} <= {"channel_occupied", "member_added"}
        second.disconnect()
        await advance(here, 10)
        assert theirs.events("channel_vacated")
        assert mine.events("channel_vacated") == []


class SharedDirectory(LocalDirectory):
    """One that two hubs share, as they would a server."""
