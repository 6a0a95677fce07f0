"""Silence, on a clock that the test moves: pinged, then closed; and whatever is heard puts it off."""

from __future__ import annotations

import pytest

from relay import App, Connection, Hub
from relay.facts import Disconnected
from relay.testing import ManualClock
from tests.integration.bad_frames import moving_in, say, whisper
from tests.integration.raw import InProcessTransport, TextFraming, connect, ended

pytestmark = pytest.mark.every_loop

APP = App(id="1", key="k", secret="s", activity_timeout=120, pong_timeout=30)
PING = b'{"event":"pusher:ping","data":"{}"}'
MISSED = (4201, "Pong reply not received")


class Unpingable(TextFraming):
    """A kind of transport over which nobody can be made to answer."""

    ping = None  # type: ignore[assignment]


async def arrive(hub: Hub, transport: InProcessTransport) -> Connection:
    """A client that has read its greeting and does nothing by itself."""
    connection = await hub.connect("k", transport)
    assert transport.take() is not None
    return connection


async def test_silent_client_is_pinged_after_the_activity_timeout_and_not_before():
    clock, transport = ManualClock(), InProcessTransport()
    async with Hub(APP, clock=clock) as hub:
        await arrive(hub, transport)
        await clock.advance(119.9)
        assert transport.take() is None
        await clock.advance(0.1)
        assert (transport.take(), transport.take()) == (PING, None)


async def test_client_that_does_not_answer_is_closed_with_4201_after_the_pong_timeout_and_not_before():
    clock, transport = ManualClock(), InProcessTransport()
    async with Hub(APP, clock=clock) as hub:
        await arrive(hub, transport)
        await clock.advance(149.9)
        assert ended(transport) is None
        await clock.advance(0.1)
        assert ended(transport) == MISSED
        assert (hub.stats().connections, hub.check()) == (0, [])


async def test_client_that_times_out_leaves_its_channels_and_a_fact():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, connect(hub) as client:
        await client.subscribe("orders")
        await clock.advance(150)
        assert await hub.channels() == {}
        (fact,) = [fact for fact in hub.journal if isinstance(fact, Disconnected)]
        assert (fact.socket_id, fact.code, fact.time) == (client.socket_id, 4201, clock.time())


@pytest.mark.parametrize(
    "text",
    [say("pusher:pong"), say("pusher:ping"), say("unknown"), "rubbish", whisper("private-room", {})],
    ids=["pong", "ping", "unknown event", "rubbish", "client event"],
)
async def test_any_frame_puts_the_ping_off(text):
    clock, transport = ManualClock(), InProcessTransport()
    async with Hub(APP, clock=clock) as hub:
        connection = await arrive(hub, transport)
        await clock.advance(119)
        await connection.receive(text)
        transport.take()
        await clock.advance(119)
        assert transport.take() is None
        await clock.advance(1)
        assert transport.take() == PING


@pytest.mark.parametrize("text", [say("pusher:pong"), "rubbish"])
async def test_any_frame_answers_a_ping(text):
    clock, transport = ManualClock(), InProcessTransport()
    async with Hub(APP, clock=clock) as hub:
        connection = await arrive(hub, transport)
        await clock.advance(149)
        assert transport.take() == PING
        await connection.receive(text)
        transport.take()
        await clock.advance(119)
        assert (transport.take(), ended(transport)) == (None, None)
        await clock.advance(1)
        assert transport.take() == PING


async def test_control_frame_and_binary_frame_are_signs_of_life_too():
    clock, transport = ManualClock(), InProcessTransport()
    async with Hub(APP, clock=clock) as hub:
        connection = await arrive(hub, transport)
        for sign_of_life in connection.heard, lambda: connection.reject("Binary messages are not supported"):
            await clock.advance(119)
            sign_of_life()
            transport.take()
        await clock.advance(119)
        assert transport.take() is None


async def test_what_the_hub_sends_is_no_sign_of_life():
    clock, transport = ManualClock(), InProcessTransport()
    async with Hub(APP, clock=clock) as hub:
        connection = await arrive(hub, transport)
        await connection.receive(say("pusher:subscribe", {"channel": "orders"}))
        await clock.advance(100)
        await hub.trigger("orders", "paid", "{}")
        await clock.advance(50)
        assert ended(transport) == MISSED


async def test_client_that_answers_pings_stays_for_days():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, connect(hub) as client:
        for _ in range(2 * 24 * 60):
            await clock.advance(60)
            await client.received()
        assert ended(client) is None


async def test_silent_client_that_cannot_be_pinged_is_closed_with_4202():
    clock, transport = ManualClock(), InProcessTransport()
    transport.framing = Unpingable()
    async with Hub(APP, clock=clock) as hub:
        await arrive(hub, transport)
        await clock.advance(119.9)
        assert ended(transport) is None
        await clock.advance(0.1)
        assert ended(transport) == (4202, "Closed after inactivity")
        assert (transport.take(), hub.stats().connections) == (None, 0)


async def test_client_that_cannot_be_pinged_stays_while_it_speaks():
    clock, transport = ManualClock(), InProcessTransport()
    transport.framing = Unpingable()
    async with Hub(APP, clock=clock) as hub:
        connection = await arrive(hub, transport)
        for _ in range(5):
            await clock.advance(119)
            await connection.receive(say("pusher:ping"))
        assert ended(transport) is None


async def test_each_app_has_its_own_timeouts():
    quick = App(id="2", key="quick", secret="s", activity_timeout=5, pong_timeout=2)
    clock = ManualClock()
    async with Hub(APP, quick, clock=clock) as hub, connect(hub, "k") as slow, connect(hub, "quick") as fast:
        await clock.advance(7)
        assert (ended(slow), ended(fast)) == (None, MISSED)


async def test_one_silent_client_among_many_is_the_only_one_that_is_closed():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, connect(hub) as silent, connect(hub) as neighbour:
        for text in moving_in(neighbour.socket_id):
            await neighbour.send(text)
        for _ in range(3):
            await clock.advance(50)
            await neighbour.send(say("pusher:ping"))
        assert (ended(silent), ended(neighbour)) == (MISSED, None)
        assert hub.check() == []


async def test_client_that_left_is_neither_pinged_nor_closed():
    clock, transport = ManualClock(), InProcessTransport()
    async with Hub(APP, clock=clock) as hub:
        connection = await arrive(hub, transport)
        connection.disconnected()
        await clock.advance(1000)
        assert (transport.take(), ended(transport)) == (None, None)
