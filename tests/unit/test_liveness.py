"""Clients that fall silent, on a clock that the test moves (protocol 1.6). Nothing here waits."""

import pytest

from relay import App, CloseCode, Hub
from relay.facts import Disconnected
from relay.testing import ManualClock
from relay_transports.inprocess import InProcessTransport
from tests.unit.client import Socket, arrive, say

pytestmark = pytest.mark.every_loop

APP = App(id="1", key="k", secret="s", activity_timeout=120, pong_timeout=30)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hub(clock: ManualClock) -> Hub:
    return Hub(APP, clock=clock)


async def test_a_silent_client_is_pinged_and_closed_when_it_does_not_answer(hub, clock):
    async with hub:
        socket = await arrive(hub)
        await clock.advance(119.9)
        assert socket.events() == []
        await clock.advance(0.1)
        assert socket.events() == ["pusher:ping"]
        await clock.advance(29.9)
        assert socket.open
        await clock.advance(0.1)
        assert socket.close_code == CloseCode.PONG_MISSED
        assert hub.stats().connections == 0


async def test_one_long_silence_is_the_same_as_many_short_ones(hub, clock):
    async with hub:
        socket = await arrive(hub)
        await clock.advance(150)
        assert socket.events() == ["pusher:ping"]
        assert socket.close_code == CloseCode.PONG_MISSED
        [end] = [fact for fact in hub.journal if isinstance(fact, Disconnected)]
        assert (end.time, end.code, end.reason) == (clock.time(), 4201, "Pong reply not received")


@pytest.mark.parametrize("sign", ["pong", "message", "control frame", "binary frame", "rubbish"])
async def test_any_sign_of_life_puts_the_next_ping_off_by_the_whole_timeout(hub, clock, sign):
    async with hub:
        socket = await arrive(hub)
        await clock.advance(130)
        assert socket.events() == ["pusher:ping"]
        await show_life(socket, sign)
        socket.frames()
        await clock.advance(119.9)
        assert socket.events() == []
        await clock.advance(0.1)
        assert socket.events() == ["pusher:ping"]


async def show_life(socket: Socket, sign: str) -> None:
    match sign:
        case "pong":
            await socket.say("pusher:pong", {})
        case "message":
            await socket.say("pusher:ping")
        case "control frame":
            socket.connection.heard()
        case "binary frame":
            socket.connection.reject("Binary messages are not supported")
        case "rubbish":
            await socket.connection.receive("rubbish")


async def test_a_client_that_talks_is_never_pinged(hub, clock):
    async with hub:
        socket = await arrive(hub)
        for _ in range(20):
            await clock.advance(100)
            await socket.connection.receive(say("pusher:ping"))
        assert set(socket.events()) == {"pusher:pong"}
        assert socket.open


async def test_each_client_has_its_own_time(hub, clock):
    async with hub:
        early = await arrive(hub)
        await clock.advance(60)
        late = await arrive(hub)
        await clock.advance(60)
        assert (early.events(), late.events()) == (["pusher:ping"], [])
        await clock.advance(60)
        assert (early.close_code, late.events()) == (4201, ["pusher:ping"])


async def test_a_client_of_an_app_with_a_shorter_timeout_is_pinged_first(clock):
    quick = App(id="2", key="q", secret="s", activity_timeout=5, pong_timeout=2)
    async with Hub(APP, quick, clock=clock) as hub:
        slow_one = await arrive(hub, APP)
        quick_one = await arrive(hub, quick)
        await clock.advance(7)
        assert (slow_one.events(), quick_one.close_code) == ([], 4201)


class Unpingable:
    """A kind of transport over which nobody can be made to answer."""

    ping = None

    def frame(self, text: bytes) -> bytes:
        return text


async def test_a_client_that_cannot_be_pinged_is_closed_for_its_silence_alone(hub, clock):
    transport = InProcessTransport()
    transport.framing = Unpingable()  # type: ignore[assignment]
    async with hub:
        await hub.connect("k", transport)
        await clock.advance(120)
        assert transport.closed is not None
        assert transport.closed.code == CloseCode.INACTIVE


async def test_a_client_that_is_gone_is_not_pinged(hub, clock):
    async with hub:
        socket = await arrive(hub)
        socket.disconnect()
        await clock.advance(1000)
        assert socket.frames() == []
        assert hub.check() == []


async def test_a_client_that_leaves_while_others_are_pinged_disturbs_nobody(hub, clock):
    async with hub:
        sockets = [await arrive(hub) for _ in range(3)]
        hub.on(Disconnected, lambda _: sockets[1].disconnect())
        await clock.advance(130)
        await sockets[2].say("pusher:pong")
        await clock.advance(20)
        assert [socket.open for socket in sockets] == [False, False, True]
