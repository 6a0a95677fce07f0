"""Publishing without waiting: in order, in batches, within a bound, and no event is lost without a word."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import App, Event, RequestError, TooLarge, UsageError
from relay.errors import HostError, PublisherClosed, QueueFull, Unauthorized
from relay.facts import Published
from relay.protocol.events import CheckedEvent
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient
from relay_transports.aiohttp.unsent import batches
from tests.integration.hostile import OK, Act, Hostile, Skipping, Watched, after, hostile, says, silence
from tests.integration.serving import Served

APP = App(id="1001", key="app-key", secret="app-secret")


class Told:
    """What ``on_error`` was told."""

    def __init__(self) -> None:
        self.errors: list[tuple[type[Exception], str]] = []

    def __call__(self, error: Exception, event: Event) -> None:
        self.errors.append((type(error), event.name))


class Scene(NamedTuple):
    """A host, its client, and what went wrong."""

    host: Hostile
    client: RestClient
    told: Told

    def soon(self, *names: str, channels: str | list[str] = "orders") -> None:
        """Queue an event of each name."""
        for name in names:
            self.client.trigger_soon(channels, name, {"n": 1}, on_error=self.told)

    @property
    def calls(self) -> list[list[str]]:
        """The names of the events in each call that came."""
        return [[item["name"] for item in asked.json.get("batch", [asked.json])] for asked in self.host.asked]


@asynccontextmanager
async def scene(*script: Act, clock: ManualClock | None = None, **options: Any) -> AsyncIterator[Scene]:
    async with hostile(*script) as host, RestClient(APP, host.url, clock=clock or ManualClock(), **options) as client:
        yield Scene(host, client, Told())


def numbered(start: int, stop: int) -> list[str]:
    return [f"event-{number}" for number in range(start, stop)]


async def test_events_reach_the_hub_in_the_order_they_were_queued(served: Served):
    seen: list[str] = []
    served.hub.on(Published, lambda fact: seen.append(fact.event))
    async with RestClient(APP, f"http://127.0.0.1:{served.port}", clock=ManualClock()) as client:
        for name in numbered(0, 100):
            client.trigger_soon(["orders", "audit"], name, "")
        assert (seen, served.sockets) == ([], 0)
        await client.flush()
        assert list(dict.fromkeys(seen)) == numbered(0, 100)
        assert (len(seen), served.sockets) == (200, 1)


async def test_what_waits_meanwhile_goes_in_one_call():
    gate = asyncio.Event()
    async with scene(after(gate, OK)) as on:
        on.soon("first")
        await on.host.asked_times(1)
        on.soon(*numbered(0, 25))
        gate.set()
        await on.client.flush()
        assert on.calls == [["first"], numbered(0, 10), numbered(10, 20), numbered(20, 25)]
        assert [asked.path for asked in on.host.asked] == ["/apps/1001/events"] + ["/apps/1001/batch_events"] * 3


async def test_event_is_never_divided_between_calls():
    many = [f"channel-{number}" for number in range(12)]
    async with scene() as on:
        on.soon("a", channels=many[:6])
        on.soon("b", channels=many[:6])
        on.soon("c", channels=many)
        on.soon("d", "e", channels=many[:4])
    assert [(len(names), set(names)) for names in on.calls] == [(1, {"a"}), (1, {"b"}), (1, {"c"}), (8, {"d", "e"})]
    assert on.host.asked[2].json["channels"] == many


@given(sizes=st.lists(st.integers(1, 30), max_size=30), most=st.integers(1, 12))
def test_batches_hold_whole_events_in_order_and_no_more_channels_than_allowed(sizes, most):
    events = [CheckedEvent(("c",) * size, f"e{number}", "", None, ()) for number, size in enumerate(sizes)]
    made = list(batches(events, most))
    assert list(chain.from_iterable(made)) == events
    assert all(len(batch) == 1 or sum(len(event.channels) for event in batch) <= most for batch in made)


async def test_event_is_as_it_was_when_it_was_queued():
    data = {"n": 1}
    async with scene() as on:
        on.client.trigger_soon("orders", "paid", data, socket_id="1.2")
        data["n"] = 2
    assert on.host.asked[0].json == {"name": "paid", "data": '{"n":1}', "channels": ["orders"], "socket_id": "1.2"}


async def test_wrong_event_is_an_error_at_once():
    async with scene() as on:
        for error, arguments in (
            (UsageError, ("no spaces", "x", "")),
            (UsageError, ("orders", "pusher:x", "")),
            (UsageError, ("orders", "half \ud800", "")),
            (TooLarge, ("orders", "x", "x" * 10_241)),
        ):
            with pytest.raises(error):
                on.client.trigger_soon(*arguments)
    assert on.host.asked == []


async def test_more_than_the_bound_is_refused_until_there_is_room():
    gate = asyncio.Event()
    async with scene(after(gate, OK), max_queued=3) as on:
        on.soon("first")
        await on.host.asked_times(1)
        on.soon("second", "third")
        with pytest.raises(QueueFull, match="3 events wait"):
            on.soon("fourth")
        gate.set()
        await on.client.flush()
        on.soon("fifth")
    assert on.calls == [["first"], ["second", "third"], ["fifth"]]


async def test_failed_event_is_told_and_the_next_ones_go_on():
    async with scene(says(500)) as on:
        on.soon("lost")
        await on.client.flush()
        on.soon("sent")
    assert (on.told.errors, on.calls) == ([(HostError, "lost")], [["lost"], ["sent"]])


async def test_event_the_host_refuses_does_not_take_others_with_it():
    async with scene(says(400, "no"), OK, says(400, "no"), OK) as on:
        on.soon("good", "bad", "better")
    assert on.told.errors == [(RequestError, "bad")]
    assert on.calls == [["good", "bad", "better"], ["good"], ["bad"], ["better"]]


@pytest.mark.parametrize(("answer", "error"), [(says(401), Unauthorized), (says(500), HostError)])
async def test_failure_that_is_nobodys_own_is_told_for_all_of_a_batch(answer, error):
    async with scene(answer) as on:
        on.soon("a", "b")
    assert (on.told.errors, on.calls) == ([(error, "a"), (error, "b")], [["a", "b"]])


async def test_order_holds_while_a_host_is_busy():
    clock = Skipping()
    async with scene(says(503), says(429), clock=clock) as on:
        on.soon(*numbered(0, 15))
        await on.client.flush()
    assert (on.told.errors, on.calls) == ([], [numbered(0, 10)] * 3 + [numbered(10, 15)])


async def test_error_without_a_callback_is_logged_without_the_data(caplog):
    async with scene(says(500)) as on:
        on.client.trigger_soon("orders", "paid", {"card": "of Ada"})
        await on.client.flush()
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    told = vars(record)
    assert (told["event"], told["channels"], told["error"]) == ("paid", "orders", "HTTP status 500")
    assert "of Ada" not in str(told)


async def test_callback_that_raises_holds_up_nothing(caplog):
    def broken(error: Exception, event: Event) -> None:
        raise ZeroDivisionError

    async with scene(says(500)) as on:
        on.client.trigger_soon("orders", "lost", "", on_error=broken)
        await on.client.flush()
        on.soon("sent")
    assert on.calls == [["lost"], ["sent"]]
    assert [record.message for record in caplog.records] == ["an on_error callback raised"]
    caplog.clear()


async def test_callback_may_queue_the_event_again():
    async with scene(says(500)) as on:

        def again(error: Exception, event: Event) -> None:
            on.client.trigger_soon(event.channels, event.name, event.data)

        on.client.trigger_soon("orders", "paid", {"n": 1}, on_error=again)
        await on.host.asked_times(2)
        await on.client.flush()
    assert on.host.asked[0].body == on.host.asked[1].body


async def test_unforeseen_error_does_not_stop_the_queue():
    class Broken(ManualClock):
        def time(self) -> float:
            if not asked:
                asked.append("once")
                raise ZeroDivisionError
            return super().time()

    asked: list[str] = []
    async with scene(clock=Broken()) as on:
        on.soon("lost")
        await on.client.flush()
        on.soon("sent")
        await on.client.flush()
    assert (on.told.errors, on.calls) == ([(ZeroDivisionError, "lost")], [["sent"]])


async def test_flush_waits_for_what_was_queued_before_it_and_for_nothing_else():
    first, second = asyncio.Event(), asyncio.Event()
    async with scene(after(first, OK), after(second, OK)) as on:
        await on.client.flush()
        on.soon("before")
        flushing = asyncio.ensure_future(on.client.flush())
        await on.host.asked_times(1)
        on.soon("after")
        assert not flushing.done()
        first.set()
        await flushing
        await on.host.asked_times(2)
        second.set()


async def test_closing_sends_what_waits_and_takes_nothing_more():
    gate = asyncio.Event()
    async with scene(after(gate, OK), clock=Watched()) as on:
        on.soon(*numbered(0, 15))
        closing = asyncio.ensure_future(on.client.aclose())
        await on.host.asked_times(1)
        with pytest.raises(PublisherClosed):
            on.soon("late")
        gate.set()
        await closing
    assert (on.told.errors, on.calls) == ([], [numbered(0, 10), numbered(10, 15)])


async def test_closing_does_not_wait_for_ever_and_tells_what_was_lost():
    clock = Watched()
    async with scene(silence, clock=clock) as on:
        on.soon("a", channels=[f"channel-{number}" for number in range(10)])
        on.soon("b", "c")
        flushing = asyncio.ensure_future(on.client.flush())
        await on.host.asked_times(1)
        closing = asyncio.ensure_future(on.client.aclose(within=7))
        await clock.pausing.wait()
        await clock.advance(6)
        assert (on.told.errors, closing.done()) == ([], False)
        await clock.advance(1)
        await closing
        await flushing
    assert on.told.errors == [(PublisherClosed, name) for name in "abc"]
    assert on.calls == [["a"]]


async def test_closing_that_is_itself_cancelled_lets_go_of_everything():
    async with scene(silence, clock=Watched()) as on:
        on.soon("a")
        await on.host.asked_times(1)
        closing = asyncio.ensure_future(on.client.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert on.told.errors == [(PublisherClosed, "a")]


def test_loop_that_ends_without_closing_tells_what_it_left_behind():
    told = Told()
    client = RestClient(APP, "http://127.0.0.1:1")

    async def forgetful() -> None:
        client.trigger_soon("orders", "forgotten", "", on_error=told)

    asyncio.run(forgetful())
    assert told.errors == [(PublisherClosed, "forgotten")]
    asyncio.run(client.aclose())


def test_without_a_loop_nothing_can_be_sent_later():
    with pytest.raises(UsageError, match="no event loop runs here"):
        RestClient(APP, "http://127.0.0.1:1").trigger_soon("orders", "paid", "")


async def test_many_producers_lose_nothing_and_keep_each_their_order(served: Served):
    seen: list[str] = []
    served.hub.on(Published, lambda fact: seen.append(fact.event))

    async def produce(who: str) -> None:
        for number in range(50):
            client.trigger_soon("orders", f"{who}-{number}", "")
            if number % 7 == 0:
                await client.flush()

    async with RestClient(APP, f"http://127.0.0.1:{served.port}", clock=ManualClock()) as client:
        await asyncio.gather(*(produce(who) for who in "abc"))
    for who in "abc":
        assert [name for name in seen if name[0] == who] == [f"{who}-{number}" for number in range(50)]
