"""Who may sign in, and who may stay without (protocol 4.1, 4.4)."""

import pytest

from relay import App, Hub, User
from relay.facts import Disconnected
from relay.testing import ManualClock
from relay_transports.inprocess import InProcessTransport
from tests.unit.client import ACK, ERROR, Socket, arrive, say

pytestmark = pytest.mark.every_loop

WHY = "Connection not authorized within timeout"


def app(**settings: object) -> App:
    return App(id="1", key="k", secret="s", **settings)  # type: ignore[arg-type]


async def show(socket: Socket, sign: str) -> None:
    """Prove in some way to be authorized."""
    if sign == "sign-in":
        await socket.sign_in("ada")
    else:
        await socket.subscribe(sign, "ada")


async def test_sign_in_that_is_switched_off_is_refused_and_the_connection_stays():
    async with Hub(app(user_authentication=False), clock=ManualClock()) as hub:
        ada = await arrive(hub)
        await ada.say("pusher:signin", hub.authenticate_user(ada.id, User("ada")))
        [refusal] = ada.frames()
        message = "To sign in, user authentication must be enabled for this app (signin)"
        assert (refusal.event, refusal.channel, refusal.data) == (ERROR, None, {"code": None, "message": message})
        await ada.subscribe("presence-room", "ada")
        assert (ada.events(), hub.stats().users) == ([ACK], 0)


async def test_who_proves_nothing_in_time_is_closed_with_4009():
    clock = ManualClock()
    async with Hub(app(authorized_within=30), clock=clock) as hub:
        socket = await arrive(hub)
        await socket.subscribe("news")
        await clock.advance(29.9)
        assert (socket.events(), socket.open) == ([ACK], True)
        await clock.advance(0.1)
        [error] = socket.frames()
        assert (error.event, error.data) == (ERROR, {"code": 4009, "message": WHY})
        assert socket.transport.closed is not None
        assert (socket.transport.closed.code, socket.transport.closed.reason) == (4009, WHY)
        [end] = [fact for fact in hub.journal if isinstance(fact, Disconnected)]
        assert (end.code, end.reason) == (4009, WHY)


@pytest.mark.parametrize("sign", ["sign-in", "private-a", "presence-room", "private-encrypted-a"])
async def test_who_proved_something_once_may_stay(sign):
    clock = ManualClock()
    key = "dGVzdC1tYXN0ZXIta2V5LXRlc3QtbWFzdGVyLWtleSE="
    async with Hub(app(authorized_within=30, activity_timeout=600, encryption_master_key=key), clock=clock) as hub:
        socket = await arrive(hub)
        await show(socket, sign)
        await socket.unsubscribe(sign)
        await clock.advance(500)
        assert socket.open


async def test_a_refused_proof_is_none():
    clock = ManualClock()
    async with Hub(app(authorized_within=30), clock=clock) as hub:
        socket = await arrive(hub)
        await socket.say("pusher:subscribe", {"channel": "private-a", "auth": "k:beef"})
        await socket.say("pusher:signin", {"user_data": '{"id":"ada"}', "auth": "k:beef"})
        assert socket.events() == [ERROR, ERROR]
        await clock.advance(30)
        assert socket.close_code == 4009


async def test_pings_come_as_before_and_do_not_authorize_anybody():
    clock = ManualClock()
    async with Hub(app(authorized_within=30, activity_timeout=20, pong_timeout=15), clock=clock) as hub:
        silent, speaking = await arrive(hub), await arrive(hub)
        await clock.advance(20)
        assert (silent.events(), speaking.events()) == (["pusher:ping"], ["pusher:ping"])
        await speaking.connection.receive(say("pusher:pong"))
        await clock.advance(10)
        assert (silent.close_code, speaking.close_code) == (4009, 4009)


async def test_who_is_authorized_while_a_pong_is_awaited_is_closed_when_none_comes():
    clock = ManualClock()
    async with Hub(app(authorized_within=30, activity_timeout=20, pong_timeout=15), clock=clock) as hub:
        socket = await arrive(hub)
        await socket.subscribe("private-a")
        await clock.advance(34.9)
        assert (socket.events(), socket.open) == ([ACK, "pusher:ping"], True)
        await clock.advance(0.1)
        assert socket.close_code == 4201


async def test_without_the_switch_anybody_may_stay():
    clock = ManualClock()
    async with Hub(app(), clock=clock) as hub:
        socket = await arrive(hub)
        for _ in range(10):
            await clock.advance(119)
            await socket.connection.receive(say("pusher:ping"))
        assert socket.open


async def test_a_fallback_that_cannot_be_pinged_is_closed_in_time_too():
    class Unpingable:
        ping = None
        shares = False

        def frame(self, text: bytes) -> bytes:
            return text

        def text(self, frame: bytes) -> bytes:
            return frame

    clock = ManualClock()
    async with Hub(app(authorized_within=30), clock=clock) as hub:
        transport = InProcessTransport()
        transport.framing = Unpingable()  # type: ignore[assignment]
        await hub.connect("k", transport)
        await clock.advance(30)
        assert transport.closed is not None
        assert transport.closed.code == 4009
