"""Bad frames, in the hub's own process and over a real socket: each gets its answer, the neighbour notices nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from relay import App, Hub, Member
from relay.testing import ManualClock
from tests.integration.bad_frames import APP, BAD_FRAMES, KEY, NEIGHBOURHOOD, moving_in, say, subscribe, whisper
from tests.integration.raw import Client, InProcessTransport, connect, ended
from tests.integration.serving import Served

BOTH_DOORS = True
PING = say("pusher:ping")

pytestmark = pytest.mark.usefixtures("nothing_crashes")
every_bad_frame = pytest.mark.parametrize("bad", BAD_FRAMES, ids=[bad.name for bad in BAD_FRAMES])


async def answers(client: Client) -> list[dict[str, Any]]:
    """The frames that are there, as they were sent."""
    return [json.loads(event.text) for event in await client.received()]


async def move_in(client: Client) -> None:
    """Put an in-process client into the whole neighbourhood."""
    for text in moving_in(client.socket_id):
        await client.send(text)
    assert len(await client.received()) == len(moving_in(client.socket_id))


@pytest.mark.every_loop
@every_bad_frame
async def test_bad_frame_gets_its_one_error_and_leaves_no_trace(bad):
    async with Hub(APP, clock=ManualClock()) as hub, connect(hub) as client:
        for text in bad.frames(client.socket_id):
            await client.send(text)
        seen = [bad.seen(event) for event in await answers(client) if event["event"] == "pusher:error"]
        assert seen == [bad.expected]
        assert ended(client) is None
        assert hub.check() == []


@pytest.mark.every_loop
@every_bad_frame
async def test_bad_frame_is_not_noticed_by_the_neighbour(bad):
    async with Hub(APP, clock=ManualClock()) as hub, connect(hub) as neighbour, connect(hub) as client:
        await move_in(neighbour)
        for text in bad.frames(client.socket_id):
            await client.send(text)
        await client.received()
        assert await neighbour.received() == []
        await hub.trigger(NEIGHBOURHOOD, "paid", "{}")
        assert [event.channel for event in await neighbour.received()] == list(NEIGHBOURHOOD)
        assert await client.received() == []


class Socket:
    """A WebSocket of aiohttp's client that speaks in events."""

    def __init__(self, response: ClientWebSocketResponse) -> None:
        self._response = response
        self.socket_id = ""

    async def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await self._response.receive_str(timeout=10))
        return event

    async def ask(self, *texts: str) -> list[dict[str, Any]]:
        """Send ``texts``; returns all that came until the answer to a ping sent after them."""
        for text in (*texts, PING):
            await self._response.send_str(text)
        events = []
        while (event := await self.event())["event"] != "pusher:pong":
            events.append(event)
        return events


@asynccontextmanager
async def socket(served: Served) -> AsyncIterator[Socket]:
    async with (
        ClientSession() as session,
        session.ws_connect(
            f"{'http' if served.browser is None else 'https'}://127.0.0.1:{served.port}/app/{KEY}?protocol=7",
            ssl=served.browser or True,
        ) as response,
    ):
        client = Socket(response)
        client.socket_id = json.loads((await client.event())["data"])["socket_id"]
        yield client


@every_bad_frame
async def test_bad_frame_over_a_socket_gets_the_same_answer_and_the_neighbour_notices_nothing(bad, served):
    async with socket(served) as neighbour, socket(served) as client:
        await neighbour.ask(*moving_in(neighbour.socket_id))
        told = await client.ask(*bad.frames(client.socket_id))
        assert [bad.seen(event) for event in told if event["event"] == "pusher:error"] == [bad.expected]
        await served.hub.trigger(NEIGHBOURHOOD, "paid", "{}")
        assert [event.get("channel") for event in await neighbour.ask()] == list(NEIGHBOURHOOD)
        assert await client.ask() == []
        assert served.hub.check() == []


@pytest.mark.every_loop
@pytest.mark.parametrize("text", [b"\xff", b'{"event":"\xff"}', b'{"event":"pusher:signin","data":"\xed\xa0\x80"}'])
async def test_bytes_that_are_no_utf8_are_refused(text):
    async with Hub(APP) as hub, connect(hub) as client:
        await client.send(text)
        (answer,) = await answers(client)
        assert (answer["event"], answer["data"]["code"]) == ("pusher:error", None)


@pytest.mark.parametrize("bad", BAD_FRAMES[:1])
async def test_an_error_is_an_object_with_code_and_message_and_no_channel(bad, served):
    async with socket(served) as client:
        assert await client.ask(*bad.frames(client.socket_id)) == [
            {
                "event": "pusher:error",
                "data": {"code": None, "message": "Received invalid JSON: Input data was truncated"},
            }
        ]


ENDLESS = "x" * 100_000


@pytest.mark.every_loop
@pytest.mark.parametrize(
    "text",
    [
        say(ENDLESS),
        subscribe(ENDLESS),
        subscribe("private-room", auth=ENDLESS),
        subscribe("private-room", auth=f"{ENDLESS}:"),
        subscribe("private-room", auth=f"{KEY}:{ENDLESS}"),
        say("pusher:signin", {"auth": f"{KEY}:{ENDLESS}", "user_data": "{}"}),
        say("pusher:unsubscribe", {"channel": ENDLESS}),
        whisper(f"private-{ENDLESS}", {}),
        whisper(f"private-{ENDLESS}"),
    ],
    ids=["event", "channel", "auth", "key", "signature", "sign-in", "unsubscribe", "client event", "no data"],
)
async def test_endless_input_is_neither_echoed_nor_remembered_whole(text):
    async with Hub(APP) as hub, connect(hub) as client:
        await client.send(text)
        (answer,) = await client.received()
        assert len(answer.text) < 1000
        assert len(repr(list(hub.journal))) < 3000


@pytest.mark.every_loop
async def test_client_that_sends_nothing_but_rubbish_is_closed_with_1008():
    async with Hub(APP, clock=ManualClock()) as hub, connect(hub) as client:
        for _ in range(1000):
            await client.send("rubbish")
        assert ended(client) is None
        await client.send("rubbish")
        last = (await client.received())[-1]
        assert (last.event, last.data) == ("pusher:error", {"code": 1008, "message": "Too many invalid messages"})
        assert ended(client) == (1008, "Too many invalid messages")
        assert hub.stats().connections == 0


@pytest.mark.every_loop
async def test_client_whose_rubbish_comes_slowly_stays():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, connect(hub) as client:
        for _ in range(20):
            for _ in range(100):
                await client.send("rubbish")
            await clock.advance(1)
        assert ended(client) is None


@pytest.mark.every_loop
async def test_client_event_rate_is_for_each_connection_and_second():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub, connect(hub) as fast, connect(hub) as other:
        for client in fast, other:
            await client.subscribe("private-room")
        for _ in range(20):
            await fast.trigger("private-room", "client-typing", {})
        await other.trigger("private-room", "client-typing", {})
        await clock.advance(1)
        await fast.trigger("private-room", "client-again", {})
        assert [event.event for event in await other.received()][1:] == ["client-typing"] * 10 + ["client-again"]
        told = [event.event for event in await fast.received()][1:]
        assert told == ["pusher:error"] * 10 + ["client-typing"]


@pytest.mark.every_loop
async def test_client_events_are_refused_unless_the_app_allows_them():
    async with Hub(App(id="1", key="k", secret="s")) as hub, connect(hub) as client, connect(hub) as neighbour:
        await client.subscribe("private-room")
        await neighbour.subscribe("private-room")
        await client.trigger("private-room", "client-typing", {})
        assert (await answers(client))[1:] == [
            {
                "event": "pusher:error",
                "data": {
                    "code": None,
                    "message": "To send client events, you must enable this feature in the Settings page of your"
                    " dashboard.",
                },
            }
        ]
        assert len(await neighbour.received()) == 1


@pytest.mark.every_loop
async def test_client_event_says_who_sent_it_whatever_the_client_says():
    async with Hub(APP) as hub, connect(hub) as client, connect(hub) as neighbour:
        await client.subscribe("presence-room", Member("ada"))
        await neighbour.subscribe("presence-room", Member("bob"))
        await client.send(whisper("presence-room", "hi")[:-1] + ',"user_id":"bob","socket_id":"1.1"}')
        assert (await answers(neighbour))[-1] == {
            "event": "client-typing",
            "channel": "presence-room",
            "data": "hi",
            "user_id": "ada",
        }


@pytest.mark.every_loop
async def test_what_is_just_within_the_limits_is_accepted():
    async with Hub(APP) as hub, connect(hub) as client, connect(hub) as neighbour:
        channel, name = "private-" + "x" * 192, "client-" + "x" * 193
        await neighbour.subscribe(channel)
        await client.subscribe(channel)
        await client.trigger(channel, name, "\u00e9" * 5120)
        event = (await neighbour.received())[-1]
        assert (event.event, event.channel, event.data) == (name, channel, "\u00e9" * 5120)
        await client.subscribe("presence-room", Member("u" * 128, {"x": "i" * 1016}))
        assert [event.event for event in await client.received()] == ["pusher_internal:subscription_succeeded"] * 2


@pytest.mark.every_loop
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"event":"pusher:ping","data":""}', "pusher:pong"),
        ('{"event":"pusher:ping","data":null,"channel":null}', "pusher:pong"),
        (' {"x": 1, "data": {}, "event": "pusher:ping"}\n', "pusher:pong"),
        (
            '{"event":"pusher:subscribe","data":"{\\"channel\\":\\"orders\\"}"}',
            "pusher_internal:subscription_succeeded",
        ),
        (subscribe("orders", auth=None, channel_data=None), "pusher_internal:subscription_succeeded"),
        (subscribe("orders", auth="nonsense", delta={"x": [1]}), "pusher_internal:subscription_succeeded"),
        (subscribe("pusher:x".replace(":", "-")), "pusher_internal:subscription_succeeded"),
    ],
)
async def test_odd_frames_of_real_clients_are_understood(text, answer):
    async with Hub(APP) as hub, connect(hub) as client:
        await client.send(text)
        assert [event.event for event in await client.received()] == [answer]


@pytest.mark.every_loop
async def test_full_presence_channel_lets_a_second_connection_of_a_member_in_and_no_new_user():
    app = App(id="1", key="k", secret="s", max_members=1)
    async with Hub(app) as hub, connect(hub) as first, connect(hub) as second, connect(hub) as stranger:
        await first.subscribe("presence-room", Member("ada"))
        await second.subscribe("presence-room", Member("ada"))
        await stranger.subscribe("presence-room", Member("bob"))
        assert [event.event for event in await second.received()] == ["pusher_internal:subscription_succeeded"]
        (refusal,) = await answers(stranger)
        assert refusal["data"] == {
            "code": None,
            "message": "Over member limit: presence-room has 1 users, allowed are 1",
        }
        assert len(await first.received()) == 1
        assert (await hub.members("presence-room"), hub.check()) == ([Member("ada")], [])


@pytest.mark.every_loop
async def test_member_that_leaves_makes_room_for_who_was_refused():
    app = App(id="1", key="k", secret="s", max_members=1)
    async with Hub(app) as hub, connect(hub) as first, connect(hub) as second:
        await first.subscribe("presence-room", Member("ada"))
        await second.subscribe("presence-room", Member("bob"))
        await first.unsubscribe("presence-room")
        await second.subscribe("presence-room", Member("bob"))
        assert [event.event for event in await second.received()] == [
            "pusher:error",
            "pusher_internal:subscription_succeeded",
        ]


@pytest.mark.every_loop
async def test_connection_may_have_as_many_channels_as_its_app_says():
    app = App(id="1", key="k", secret="s", max_subscriptions=2)
    async with Hub(app) as hub, connect(hub) as client:
        for name in "one", "two", "three":
            await client.subscribe(name)
        last = (await answers(client))[-1]
        assert last["data"]["message"] == "Over subscription limit: 2 channels a connection (subscription to three)"
        assert set(await hub.channels()) == {"one", "two"}


@pytest.mark.every_loop
async def test_refused_subscribe_is_also_told_in_the_way_of_echo_where_the_app_says_so():
    app = App(id="1", key="k", secret="s", subscription_errors=True)
    async with Hub(app) as hub, connect(hub) as client:
        await client.send(subscribe("private-room"))
        message = "Auth info required to subscribe to private-room"
        assert await answers(client) == [
            {"event": "pusher:error", "data": {"code": None, "message": message}},
            {
                "event": "pusher:subscription_error",
                "channel": "private-room",
                "data": {"type": "AuthError", "error": message, "status": 401},
            },
        ]


# Subscribes that take a while


class Authorizer:
    """Says who may join when the test lets it."""

    def __init__(self, *, answer: Member | bool) -> None:
        self._answer = answer
        self.asked = anyio.Event()
        self.may_answer = anyio.Event()

    async def __call__(self, channel: str) -> Member | bool:
        self.asked.set()
        await self.may_answer.wait()
        return self._answer


@pytest.mark.every_loop
@pytest.mark.parametrize("answer", [Member("ada"), False])
async def test_disconnect_in_the_middle_of_a_subscribe_leaves_no_trace(answer):
    authorizer = Authorizer(answer=answer)
    async with Hub(APP) as hub, connect(hub) as neighbour, anyio.create_task_group() as tasks:
        await neighbour.subscribe("presence-room", Member("bob"))
        connection = await hub.connect(KEY, InProcessTransport(), authorize=authorizer)
        tasks.start_soon(connection.receive, subscribe("presence-room"))
        await authorizer.asked.wait()
        connection.disconnected()
        authorizer.may_answer.set()
        await hub.settle()
        assert len(await neighbour.received()) == 1
        assert (await hub.members("presence-room"), hub.check()) == ([Member("bob")], [])


@pytest.mark.every_loop
async def test_cancelled_subscribe_leaves_no_trace_and_can_be_repeated():
    authorizer = Authorizer(answer=Member("ada"))
    async with Hub(APP) as hub:
        connection = await hub.connect(KEY, InProcessTransport(), authorize=authorizer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.receive, subscribe("presence-room"))
            await authorizer.asked.wait()
            tasks.cancel_scope.cancel()
        assert (set(await hub.channels()), hub.check()) == (set(), [])
        authorizer.may_answer.set()
        await connection.receive(subscribe("presence-room"))
        assert await hub.members("presence-room") == [Member("ada")]


@pytest.mark.every_loop
@pytest.mark.parametrize("answer", [False, None, 0, "", "ada", 1])
async def test_authorizer_that_says_neither_true_nor_who_lets_nobody_in(answer):
    """A function that forgets to return says None."""

    async def authorize(channel: str) -> Any:
        return answer

    transport = InProcessTransport()
    async with Hub(APP) as hub:
        connection = await hub.connect(KEY, transport, authorize=authorize)
        await connection.receive(subscribe("private-room"))
        frames = [transport.take() for _ in range(2)]
        assert b"Not authorized to subscribe to private-room" in (frames[-1] or b"")
        assert await hub.channels() == {}


@pytest.mark.every_loop
async def test_client_nobody_has_vouched_for_yet_is_not_counted_as_reached():
    authorizer = Authorizer(answer=False)
    async with Hub(APP) as hub, anyio.create_task_group() as tasks:
        connection = await hub.connect(KEY, InProcessTransport(), authorize=authorizer)
        tasks.start_soon(connection.receive, subscribe("private-room"))
        await authorizer.asked.wait()
        receipt = await hub.trigger("private-room", "paid", "{}")
        authorizer.may_answer.set()
        assert receipt.delivered == 0
