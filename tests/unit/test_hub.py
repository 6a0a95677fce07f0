"""A hub's life, its doors, its Apps, and what it tells of itself."""

import logging
from random import Random

import anyio
import pytest

from relay import App, CloseCode, Disconnect, Hub, HubClosed, Member, UsageError, User
from relay.facts import (
    ChannelOccupied,
    ChannelVacated,
    ClientEvent,
    Connected,
    Disconnected,
    Fact,
    MemberAdded,
    MemberRemoved,
    Published,
    RefusedRequest,
    SignedIn,
    SlowConsumer,
    Subscribed,
    Unsubscribed,
    UserOnline,
)
from relay.metrics import Stats
from relay.testing import ManualClock
from relay_transports.inprocess import InProcessTransport
from tests.unit.client import ACK, APP, ERROR, Socket, arrive, read, say

pytestmark = pytest.mark.every_loop

OTHER = App(id="2", key="other-key", secret="other-secret")


@pytest.fixture
def hub() -> Hub:
    return Hub(APP, clock=ManualClock(), random=Random(7))


async def refused(hub: Hub, key: str = APP.key, **options: object) -> tuple[list[tuple[str, object]], int, str]:
    """What a client that may not come in is sent, and how it is closed."""
    transport = InProcessTransport()
    with pytest.raises(Disconnect) as disconnect:
        await hub.connect(key, transport, **options)  # type: ignore[arg-type]
    frames = [(frame.event, frame.data) for frame in map(read, iter(transport.take, None))]
    assert transport.closed is not None
    assert (transport.closed.code, transport.closed.reason) == (disconnect.value.code, disconnect.value.message)
    return frames, transport.closed.code, transport.closed.reason


# Life


def test_a_hub_needs_an_app_and_no_two_alike():
    with pytest.raises(UsageError, match="a Hub needs at least one App"):
        Hub()
    for twin in (App(id=APP.id, key="k", secret="s"), App(id="3", key=APP.key, secret="s")):
        with pytest.raises(UsageError, match="both must be unique in a hub"):
            Hub(APP, twin)


def test_a_hub_may_be_built_before_there_is_a_loop_and_asked_what_it_holds():
    hub = Hub(APP, OTHER)
    assert hub.apps == (APP, OTHER)
    assert (hub.running, hub.stats(), hub.check(), list(hub.journal)) == (False, Stats(), [], [])


@pytest.mark.parametrize(
    "verb",
    [
        lambda hub: hub.trigger("a", "paid", ""),
        lambda hub: hub.trigger_batch([]),
        lambda hub: hub.publish([]),
        lambda hub: hub.send_to_user("ada", "paid", ""),
        lambda hub: hub.terminate_user_connections("ada"),
        lambda hub: hub.channels(),
        lambda hub: hub.channel("a"),
        lambda hub: hub.occupancy("a"),
        lambda hub: hub.members("presence-a"),
    ],
)
async def test_no_verb_works_before_the_hub_runs_or_after_it_closed(hub, verb):
    with pytest.raises(HubClosed, match="the hub does not run: use 'async with hub'"):
        await verb(hub)
    async with hub:
        await verb(hub)
    with pytest.raises(HubClosed):
        await verb(hub)


async def test_a_client_that_comes_before_or_after_is_told_to_try_again_later(hub):
    told = [("pusher:error", {"code": 4100, "message": "Not accepting connections now"})]
    assert await refused(hub) == (told, 4100, "Not accepting connections now")
    async with hub:
        pass
    assert (await refused(hub))[1] == 4100


async def test_closing_sends_every_client_away_with_4200_and_ends_the_run(hub):
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        sockets = [await arrive(hub) for _ in range(3)]
        await sockets[0].subscribe("news")
        hub.close()
        assert [socket.close_code for socket in sockets] == [CloseCode.RECONNECT] * 3
        hub.close()
    assert (hub.running, hub.stats(), hub.check()) == (False, Stats(), [])


async def test_a_hub_that_ended_can_run_again_and_is_empty(hub):
    for _ in range(3):
        async with hub:
            socket = await arrive(hub)
            await socket.subscribe("presence-room", "ada")
            assert socket.frames()[0].data["presence"]["count"] == 1
            assert hub.stats() == Stats(1, 1, 1, 0)


async def test_what_was_in_the_directory_is_out_of_it_when_the_hub_ended(hub):
    async with hub:
        await (await arrive(hub)).subscribe("presence-room", "ada")
    async with hub:
        assert await hub.members("presence-room") == []
        assert await hub.channels() == {}


async def test_a_hub_that_runs_cannot_be_run_again(hub):
    async with hub:
        with pytest.raises(UsageError, match="this hub runs already"):
            await hub.run()
        assert hub.running


async def test_an_error_in_the_block_of_a_hub_comes_out_as_it_is(hub):
    with pytest.raises(ZeroDivisionError):
        async with hub:
            raise ZeroDivisionError
    assert not hub.running


async def test_entering_a_hub_that_runs_is_a_usage_error_and_leaves_it_running(hub):
    async with hub:
        with pytest.raises(UsageError, match="this hub runs already"):
            async with hub:
                pytest.fail("it was let in")
        assert hub.running


async def test_cancelling_the_block_of_a_hub_ends_it_like_any_other_block(hub):
    with anyio.CancelScope() as scope:
        async with hub:
            socket = await arrive(hub)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert (hub.running, socket.close_code) == (False, CloseCode.RECONNECT)
    async with hub:
        assert hub.running


async def test_cancelling_the_run_closes_the_clients_and_leaves_nobody_in_the_directory(hub):
    async with anyio.create_task_group() as tasks:
        await tasks.start(hub.run)
        socket = await arrive(hub)
        await socket.subscribe("presence-room", "ada")
        tasks.cancel_scope.cancel()
    assert socket.close_code == CloseCode.RECONNECT
    async with hub:
        assert await hub.members("presence-room") == []


async def test_work_begun_beside_the_hub_is_waited_for(hub):
    done = []

    async def work() -> None:
        await anyio.lowlevel.checkpoint()
        done.append("work")

    async with hub:
        hub.start_soon(work)
        await hub.settle()
        assert done == ["work"]


async def test_a_stepped_hub_does_in_settle_what_others_do_beside(hub):
    hub.step()
    socket, other = await arrive(hub), await arrive(hub)
    await socket.subscribe("presence-room", "ada")
    await other.subscribe("presence-room", "bob")
    other.disconnect()
    await hub.settle()
    assert socket.events() == [ACK, "pusher_internal:member_added", "pusher_internal:member_removed"]
    await hub.clock.advance(150)
    assert (socket.close_code, hub.check()) == (4201, [])
    hub.close()
    assert not hub.running


async def test_a_hub_is_stepped_or_run_and_not_both(hub):
    hub.step()
    with pytest.raises(UsageError, match="this hub runs already"):
        hub.step()
    with pytest.raises(UsageError, match="this hub runs already"):
        await hub.run()
    hub.close()
    async with hub:
        assert hub.running


# Doors


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"key": "nobody"}, 4001),
        ({"protocol": None}, 4008),
        ({"protocol": "x"}, 4006),
        ({"protocol": "8"}, 4007),
    ],
)
async def test_who_may_not_come_in_is_told_why_and_closed_with_the_code(hub, options, code):
    async with hub:
        [(event, data)], closed_with, reason = await refused(hub, **options)
        assert (event, data) == (ERROR, {"code": code, "message": reason})
        assert closed_with == code
        assert hub.stats().connections == 0


async def test_apps_that_are_off_or_want_tls_say_so():
    off = App(id="3", key="off", secret="s", enabled=False)
    tls = App(id="4", key="tls", secret="s", tls_only=True)
    async with Hub(off, tls) as hub:
        assert (await refused(hub, "off"))[1] == CloseCode.APP_DISABLED
        assert (await refused(hub, "tls", secure=False))[1] == CloseCode.TLS_ONLY
        assert (await arrive(hub, tls)).open


async def test_one_client_too_many_of_an_app_is_closed_with_4004():
    small = App(id="3", key="small", secret="s", max_connections=2)
    async with Hub(small, OTHER) as hub:
        sockets = [await arrive(hub, small) for _ in range(2)]
        assert (await refused(hub, "small"))[1:] == (CloseCode.OVER_QUOTA, "Over connection quota")
        assert (await arrive(hub, OTHER)).open
        sockets[0].disconnect()
        assert (await arrive(hub, small)).open


async def test_one_client_too_many_of_all_is_closed_with_4100():
    async with Hub(APP, OTHER, max_connections=2) as hub:
        sockets = [await arrive(hub, app) for app in (APP, OTHER)]
        assert (await refused(hub))[1:] == (CloseCode.OVER_CAPACITY, "Over capacity")
        sockets[1].disconnect()
        assert (await arrive(hub)).open


async def test_socket_ids_are_two_integers_unlike_any_other_and_the_same_for_the_same_seed():
    ids = []
    for _ in range(2):
        async with Hub(APP, random=Random(7)) as hub:
            ids.append([(await arrive(hub)).id for _ in range(50)])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 50
    for half in ".".join(ids[0]).split("."):
        assert str(int(half)) == half
        assert int(half) < 1 << 53


async def test_the_greeting_tells_the_apps_own_timeout():
    async with Hub(App(id="3", key="k", secret="s", activity_timeout=17)) as hub:
        transport = InProcessTransport()
        connection = await hub.connect("k", transport)
        greeting = read(transport.take() or b"")
        assert greeting.data == {"socket_id": connection.socket_id, "activity_timeout": 17}


async def test_a_client_without_auth_is_asked_for_at_the_authorizer_of_its_own_connection(hub):
    asked = []

    answers: dict[str, Member | bool] = {"presence-room": Member("ada"), "private-a": True, "private-b": False}

    async def authorize(channel: str) -> Member | bool:
        asked.append(channel)
        return answers[channel]

    async with hub:
        socket, stranger = await arrive(hub, authorize=authorize), await arrive(hub)
        for channel in ("presence-room", "private-a", "private-b"):
            await socket.say("pusher:subscribe", {"channel": channel})
            await stranger.say("pusher:subscribe", {"channel": channel})
        assert asked == ["presence-room", "private-a", "private-b"]
        assert socket.events() == [ACK, ACK, ERROR]
        assert {frame.data["message"].partition(" to subscribe")[0] for frame in stranger.frames()} == {
            "Auth info required"
        }


@pytest.mark.parametrize(
    "answer",
    [LookupError("the session store is away"), Member("ada", ["no object"]), Member("ada", {1, 2}), Member("")],
)
async def test_an_authorizer_that_fails_refuses_the_subscribe_and_nothing_else(hub, answer, caplog):
    async def authorize(channel: str) -> Member:
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Member)
        return answer

    async with hub:
        socket = await arrive(hub, authorize=authorize)
        await socket.say("pusher:subscribe", {"channel": "presence-a"})
        await socket.subscribe("news")
        await hub.settle()
        refusal, acknowledged = socket.frames()
        assert refusal.data["message"] == "Not authorized to subscribe to presence-a: try again later"
        assert (acknowledged.event, hub.stats().channels, hub.check()) == (ACK, 1, [])
        assert set(socket.connection.session.subscriptions) == {"news"}
        assert "an authorizer failed" in caplog.messages


async def test_a_member_whose_id_is_a_whole_number_is_known_by_its_text(hub):
    async def authorize(channel: str) -> Member:
        return Member(7, {"name": "Ada"})  # type: ignore[arg-type]  # what a primary key often is

    async with hub:
        socket = await arrive(hub, authorize=authorize)
        await socket.say("pusher:subscribe", {"channel": "presence-a"})
        assert await hub.members("presence-a") == [Member("7", {"name": "Ada"})]


async def test_a_client_that_was_closed_is_not_listened_to(hub):
    async with hub:
        socket = await arrive(hub)
        socket.connection.close(4009, "You got disconnected by the app.")
        await socket.subscribe("news")
        socket.connection.reject("Binary messages are not supported")
        socket.connection.close(4200, "again")
        socket.connection.disconnected()
        assert (socket.events(), socket.close_code, hub.stats()) == ([], 4009, Stats())
        assert sum(isinstance(fact, Disconnected) for fact in hub.journal) == 1


async def test_a_client_that_sends_nothing_but_rubbish_is_told_and_closed(hub):
    async with hub:
        socket = await arrive(hub)
        for _ in range(1001):
            await socket.connection.receive("rubbish")
        last = socket.frames()[-1]
        assert (last.event, last.data) == (ERROR, {"code": 1008, "message": "Too many invalid messages"})
        assert socket.close_code == 1008


async def test_what_is_no_message_at_all_is_refused_and_counted(hub):
    async with hub:
        socket = await arrive(hub)
        socket.connection.reject("Binary messages are not supported: send text")
        [frame] = socket.frames()
        assert frame.data == {"code": None, "message": "Binary messages are not supported: send text"}
        for _ in range(1000):
            socket.connection.reject("again")
        assert socket.close_code == 1008


async def test_an_app_may_have_refused_subscribes_told_to_echo_too():
    async with Hub(App(id="3", key="k", secret="s", subscription_errors=True)) as hub:
        socket = await arrive(hub)
        await socket.say("pusher:subscribe", {"channel": "private-a", "auth": "k:wrong"})
        await socket.say("rubbish")
        error, subscription_error, rubbish = socket.frames()
        assert (error.event, error.channel) == (ERROR, None)
        assert (subscription_error.event, subscription_error.channel) == ("pusher:subscription_error", "private-a")
        assert subscription_error.data == {"type": "AuthError", "error": error.data["message"], "status": 401}
        assert rubbish.event == ERROR


async def test_a_full_presence_channel_refuses_a_new_user_and_takes_another_tab_of_a_member():
    async with Hub(App(id="3", key="k", secret="s", max_members=1)) as hub:
        sockets = [await arrive(hub) for _ in range(3)]
        for socket, user in zip(sockets, ("ada", "bob", "ada"), strict=True):
            await socket.subscribe("presence-room", user)
        assert [socket.frames()[0].event for socket in sockets] == [ACK, ERROR, ACK]
        await sockets[1].subscribe("news")
        assert hub.check() == []


# Several Apps


async def test_apps_share_nothing():
    async with Hub(APP, OTHER) as hub:
        mine, theirs = await arrive(hub, APP), await arrive(hub, OTHER)
        for socket in (mine, theirs):
            await socket.subscribe("news")
        receipt = await hub.trigger("news", "paid", "", app=OTHER)
        assert (mine.events(), theirs.events()) == ([ACK], [ACK, "paid"])
        assert receipt.delivered == 1
        assert hub.stats() == Stats(2, 2, 2, 0)
        assert hub.stats(app="2") == hub.stats(app=OTHER) == Stats(1, 1, 1, 0)


async def test_with_several_apps_verbs_must_say_which():
    async with Hub(APP, OTHER) as hub:
        with pytest.raises(UsageError, match="this hub has several Apps: say which with app=, one of 1001, 2"):
            await hub.trigger("news", "paid", "")
        with pytest.raises(UsageError, match="no App with id '3' in this hub, only 1001, 2"):
            await hub.trigger("news", "paid", "", app="3")


async def test_a_socket_of_another_app_excludes_nobody():
    async with Hub(APP, OTHER) as hub:
        mine, theirs = await arrive(hub, APP), await arrive(hub, OTHER)
        await mine.subscribe("news")
        receipt = await hub.trigger("news", "paid", "", socket_id=theirs.id, app=APP)
        assert receipt.channels["news"].excluded == 0
        assert mine.events() == [ACK, "paid"]


# Facts


async def tell_a_story(hub: Hub) -> Socket:
    ada, bob = await arrive(hub), await arrive(hub)
    await ada.sign_in("ada")
    await ada.subscribe("presence-room", "ada")
    await bob.subscribe("presence-room", "bob")
    await ada.say("client-typing", {}, "presence-room")
    await ada.say("rubbish")
    await hub.trigger("presence-room", "paid", "")
    await ada.unsubscribe("presence-room")
    bob.disconnect()
    await hub.settle()
    return ada


async def test_everything_that_happened_is_a_fact_in_order(hub):
    async with hub:
        await tell_a_story(hub)
        assert [type(fact) for fact in hub.journal] == [
            *(Connected, Connected, SignedIn, UserOnline),
            *(Subscribed, ChannelOccupied, MemberAdded),
            *(Subscribed, MemberAdded, UserOnline),
            *(ClientEvent, RefusedRequest, Published),
            *(Unsubscribed, MemberRemoved),
            *(Disconnected, Unsubscribed, MemberRemoved, ChannelVacated),
        ]
        assert {(fact.app, fact.time) for fact in hub.journal} == {(APP.id, hub.clock.time())}


async def test_facts_say_whom_and_what_they_are_about(hub):
    async with hub:
        ada = await tell_a_story(hub)
        now = hub.clock.time()
        facts = list(hub.journal)
        assert SignedIn(app=APP.id, time=now, socket_id=ada.id, user_id="ada") in facts
        about = {"app": APP.id, "time": now, "channel": "presence-room", "user_id": "ada"}
        for fact in (Subscribed, Unsubscribed):
            assert fact(socket_id=ada.id, **about) in facts
        for edge in (MemberAdded, MemberRemoved):
            assert edge(**about) in facts
        [typing] = [fact for fact in facts if isinstance(fact, ClientEvent)]
        assert typing == ClientEvent(socket_id=ada.id, event="client-typing", text=typing.text, **about)


async def test_callbacks_hear_facts_of_their_type_until_they_stop(hub):
    heard: list[Fact] = []
    async with hub:
        stop = hub.on(Connected, heard.append)
        socket = await arrive(hub)
        await socket.subscribe("news")
        stop()
        await arrive(hub)
    assert heard == [Connected(app=APP.id, time=hub.clock.time(), socket_id=socket.id)]


# Slow clients


async def test_a_client_that_does_not_read_is_closed_with_4100_and_is_a_fact_and_disturbs_nobody():
    async with Hub(App(id="3", key="k", secret="s", max_backlog=500), clock=ManualClock()) as hub:
        slow, quick = await arrive(hub), await arrive(hub)
        for socket in (slow, quick):
            await socket.subscribe("news")
        for _ in range(3):
            await hub.trigger("news", "paid", "x" * 200)
            assert quick.events()[-1] == "paid"
        await hub.settle()
        assert slow.close_code == CloseCode.OVER_CAPACITY
        [fact] = [fact for fact in hub.journal if isinstance(fact, SlowConsumer)]
        assert fact.socket_id == slow.id
        assert 0 < fact.backlog <= 500
        assert (hub.stats().connections, hub.check()) == (1, [])


async def test_a_receipt_counts_whom_the_event_was_lost_for_and_keeps_counting_them_until_they_are_closed():
    async with Hub(App(id="3", key="k", secret="s", max_backlog=300)) as hub:
        socket = await arrive(hub)
        await socket.subscribe("news")
        socket.frames()
        receipts = [await hub.trigger("news", "paid", "x" * 200) for _ in range(3)]
        await hub.settle()
        assert [(one.channels["news"].queued, one.channels["news"].refused) for one in receipts] == [
            (1, 0),
            (0, 1),
            (0, 1),
        ]
        assert socket.events() == ["paid"]
        assert sum(receipt.delivered for receipt in receipts) == 1


async def test_no_log_line_tells_a_secret_or_a_signature(hub, caplog):
    caplog.set_level(logging.DEBUG)
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("private-a")
        await socket.connection.receive(say("pusher:subscribe", {"channel": "private-b", "auth": "app-key:feedbeef"}))
        signed = hub.authenticate_user(socket.id, User("ada"))
    for secret in (APP.secret, "feedbeef", signed["auth"]):
        assert secret not in caplog.text
        assert secret not in repr(hub.apps)
