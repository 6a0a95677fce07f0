"""Users who are told when those on their watchlist come online and go offline (protocol 4.5), and the Facts of it."""

import json
from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest

from relay import App, Hub, UsageError, User
from relay.facts import Fact, UserOffline, UserOnline
from relay.protocol import signing
from relay.testing import ManualClock
from tests.unit.client import APP, ERROR, Frame, Socket, arrive

pytestmark = pytest.mark.every_loop

THE_APP = msgspec.structs.replace(APP, watchlists=True, offline_grace=2.0)
SUCCESS, NEWS = "pusher:signin_success", "pusher_internal:watchlist_events"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hub(clock: ManualClock) -> AsyncIterator[Hub]:
    async with Hub(THE_APP, clock=clock) as hub:
        yield hub
        assert hub.check() == []


async def come(hub: Hub, user: str, *watchlist: str) -> Socket:
    """A new connection, signed in as `user`."""
    socket = await arrive(hub)
    await socket.sign_in(user, watchlist)
    return socket


async def sign_in_with(socket: Socket, user_data: object) -> None:
    text = json.dumps(user_data)
    auth = signing.sign_user(socket.app, socket.id, text)
    await socket.say("pusher:signin", {"auth": auth, "user_data": text})


def told(frames: Iterable[Frame]) -> list[dict[str, list[str]]]:
    """What each frame of watchlist events says."""
    return [
        {event["name"]: event["user_ids"] for event in frame.data["events"]} for frame in frames if frame.event == NEWS
    ]


def edges(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    """Who went online and offline, in order."""
    return [(type(fact).__name__, fact.user_id) for fact in facts if isinstance(fact, UserOnline | UserOffline)]


async def test_who_is_online_and_who_is_not_follows_the_acknowledgement_in_one_frame(hub):
    await come(hub, "ada")
    bob = await come(hub, "bob", "eve", "ada", "joe")
    success, news = bob.frames()
    assert success.event == SUCCESS
    assert news.text == (
        b'{"event":"pusher_internal:watchlist_events","data":"{\\"events\\":['
        b'{\\"name\\":\\"online\\",\\"user_ids\\":[\\"ada\\"]},'
        b'{\\"name\\":\\"offline\\",\\"user_ids\\":[\\"eve\\",\\"joe\\"]}]}"}'
    )


async def test_a_watcher_is_told_of_every_change_from_then_on(hub, clock):
    bob = await come(hub, "bob", "ada")
    ada = await come(hub, "ada")
    await hub.settle()
    ada.disconnect()
    await clock.advance(2)
    assert told(bob.frames()) == [{"offline": ["ada"]}, {"online": ["ada"]}, {"offline": ["ada"]}]


async def test_changes_of_one_turn_share_a_frame(hub, clock):
    bob = await come(hub, "bob", "ada", "eve")
    ada, eve = await come(hub, "ada"), await come(hub, "eve")
    await hub.settle()
    ada.disconnect()
    eve.disconnect()
    await clock.advance(2)
    assert told(bob.frames())[1:] == [{"online": ["ada", "eve"]}, {"offline": ["ada", "eve"]}]


async def test_further_tabs_make_no_noise(hub, clock):
    bob = await come(hub, "bob", "ada")
    tabs = [await come(hub, "ada") for _ in range(3)]
    for tab in tabs[1:]:
        tab.disconnect()
    await clock.advance(10)
    assert told(bob.frames()) == [{"offline": ["ada"]}, {"online": ["ada"]}]


async def test_a_reconnect_within_the_grace_makes_no_noise(hub, clock):
    bob, ada = await come(hub, "bob", "ada"), await come(hub, "ada")
    await hub.settle()
    bob.frames()
    ada.disconnect()
    await clock.advance(1.9)
    await come(hub, "ada")
    await clock.advance(10)
    assert told(bob.frames()) == []


async def test_a_user_in_its_grace_is_still_online_to_one_who_comes(hub, clock):
    ada = await come(hub, "ada")
    ada.disconnect()
    await clock.advance(1.9)
    bob = await come(hub, "bob", "ada")
    await clock.advance(0.1)
    assert told(bob.frames()) == [{"online": ["ada"]}, {"offline": ["ada"]}]


async def test_without_a_grace_a_user_is_offline_at_once(clock):
    async with Hub(msgspec.structs.replace(THE_APP, offline_grace=0.0), clock=clock) as hub:
        bob, ada = await come(hub, "bob", "ada"), await come(hub, "ada")
        await hub.settle()
        ada.disconnect()
        await hub.settle()
        assert told(bob.frames())[-1] == {"offline": ["ada"]}


async def test_coming_and_going_within_one_turn_is_no_news(clock):
    async with Hub(msgspec.structs.replace(THE_APP, offline_grace=0.0), clock=clock) as hub:
        ada = await come(hub, "ada")
        bob = await come(hub, "bob", "ada")
        ada.disconnect()
        await come(hub, "ada")
        await hub.settle()
        assert told(bob.frames()) == [{"online": ["ada"]}]


async def test_a_user_may_watch_itself(hub):
    ada = await come(hub, "ada", "ada")
    assert told(ada.frames()) == [{"online": ["ada"]}]


async def test_presence_alone_makes_nobody_online_to_watchers(hub):
    ada, bob = await arrive(hub), await come(hub, "bob", "ada")
    await ada.subscribe("presence-room", "ada")
    await hub.settle()
    assert told(bob.frames()) == [{"offline": ["ada"]}]


async def test_signing_in_again_replaces_the_watchlist(hub):
    bob = await come(hub, "bob", "ada", "eve")
    await bob.sign_in("bob", ["eve", "joe"])
    for user in ("ada", "joe"):
        await come(hub, user)
    await hub.settle()
    assert told(bob.frames()) == [{"offline": ["ada", "eve"]}, {"offline": ["eve", "joe"]}, {"online": ["joe"]}]


async def test_signing_in_again_without_a_watchlist_ends_it(hub):
    bob = await come(hub, "bob", "ada")
    await bob.sign_in("bob")
    await come(hub, "ada")
    await hub.settle()
    assert [frame.event for frame in bob.frames()] == [SUCCESS, NEWS, SUCCESS]


async def test_signing_in_as_another_user_changes_nothing(hub):
    bob = await come(hub, "bob", "ada")
    bob.frames()
    await bob.sign_in("eve", ["joe"])
    [refusal] = bob.frames()
    assert refusal.data == {"code": None, "message": "Connection is signed in as bob already"}
    for user in ("ada", "joe"):
        await come(hub, user)
    await hub.settle()
    assert told(bob.frames()) == [{"online": ["ada"]}]


async def test_of_a_watchlist_that_is_too_long_the_first_are_watched_and_4302_follows(hub):
    bob = await come(hub, "bob", *(f"u{number}" for number in range(101)))
    success, refusal, news = bob.frames()
    assert (success.event, refusal.event) == (SUCCESS, ERROR)
    message = "Watchlist too long: it has 101 users, only the first 100 are watched"
    assert refusal.data == {"code": 4302, "message": message}
    assert told([news]) == [{"offline": [f"u{number}" for number in range(100)]}]
    for user in ("u100", "u99"):
        await come(hub, user)
    await hub.settle()
    assert told(bob.frames()) == [{"online": ["u99"]}]


async def test_a_user_named_twice_is_told_of_once(hub):
    bob = await come(hub, "bob", "ada", "ada")
    assert told(bob.frames()) == [{"offline": ["ada"]}]


@pytest.mark.parametrize(
    ("watchlist", "reason"),
    [
        ("ada", "Expected `array | null`, got `str` - at `$.watchlist`, watchlist should be an array of user ids"),
        ({"ada": 1}, "Expected `array | null`, got `object` - at `$.watchlist`"),
        (["ada", 7], "Expected `str`, got `int` - at `$.watchlist[1]`"),
        ([["ada"]], "Expected `str`, got `array` - at `$.watchlist[0]`"),
        ([""], "watchlist has an id of 0 characters, allowed are 1 to 128"),
        (["a" * 129], "watchlist has an id of 129 characters, allowed are 1 to 128"),
    ],
)
async def test_a_malformed_watchlist_is_refused_and_nobody_is_signed_in(hub, watchlist, reason):
    bob = await arrive(hub)
    await sign_in_with(bob, {"id": "bob", "watchlist": watchlist})
    [refusal] = bob.frames()
    assert refusal.data["code"] is None
    assert refusal.data["message"].startswith(f"Invalid user_data: {reason}")
    assert refusal.data["message"].endswith(" (signin)")
    assert (bob.open, hub.stats().users) == (True, 0)


@pytest.mark.parametrize("user_data", [{"id": "bob"}, {"id": "bob", "watchlist": []}, {"id": "bob", "watchlist": None}])
async def test_who_watches_nobody_is_told_nothing(hub, user_data):
    bob = await arrive(hub)
    await sign_in_with(bob, user_data)
    await come(hub, "ada")
    await hub.settle()
    assert bob.events() == [SUCCESS]


async def test_where_there_are_no_watchlists_the_key_is_free():
    async with Hub(APP, clock=ManualClock()) as hub:
        bob = await arrive(hub)
        await sign_in_with(bob, {"id": "bob", "watchlist": 7})
        assert bob.events() == [SUCCESS]


@pytest.mark.parametrize("watchlist", ["ada", [""], [7]])
async def test_a_watchlist_that_no_hub_would_take_is_not_signed(hub, watchlist):
    with pytest.raises(UsageError, match=r"User\.watchlist must hold user ids, strings that are not empty, got "):
        hub.authenticate_user("1.1", User("bob", watchlist=watchlist))


async def test_terminating_a_user_takes_it_offline_after_the_grace(hub, clock):
    bob = await come(hub, "bob", "ada")
    tabs = [await come(hub, "ada"), await come(hub, "ada")]
    await hub.settle()
    assert await hub.terminate_user_connections("ada") == 2
    assert [tab.close_code for tab in tabs] == [4009, 4009]
    await clock.advance(1.9)
    assert told(bob.frames()) == [{"offline": ["ada"]}, {"online": ["ada"]}]
    await clock.advance(0.1)
    assert told(bob.frames()) == [{"offline": ["ada"]}]


async def test_a_watcher_that_is_gone_is_forgotten(hub):
    bob = await come(hub, "bob", "ada")
    bob.disconnect()
    await come(hub, "ada")
    await hub.settle()
    assert told(bob.frames()) == [{"offline": ["ada"]}]


async def test_places_are_no_channels_and_no_subscriptions(hub):
    ada = await come(hub, "ada", "bob")
    assert dict(await hub.channels()) == {}
    assert (hub.stats().channels, hub.stats().subscriptions) == (0, 0)
    ada.frames()
    for name in ("#signed-in-ada", "#present-ada"):
        await ada.say("pusher:subscribe", {"channel": name})
        await ada.say("client-x", {}, name)
        with pytest.raises(UsageError, match="Invalid channel name"):
            await hub.trigger(name, "paid", "")
        with pytest.raises(UsageError, match="Invalid channel name"):
            await hub.channel(name)
    assert ada.events() == [ERROR] * 4


async def test_a_hub_that_closes_tells_its_own_clients_nothing_and_leaves_nobody_behind(clock):
    facts: list[Fact] = []
    hub = Hub(THE_APP, clock=clock)
    hub.on(Fact, facts.append)
    async with hub:
        bob, ada, gone = await come(hub, "bob", "ada", "gone"), await come(hub, "ada"), await come(hub, "gone")
        await hub.settle()
        gone.disconnect()
        bob.frames()
    assert (bob.close_code, ada.close_code, bob.events()) == (4200, 4200, [])
    assert sorted(edges(facts)[3:]) == [("UserOffline", "ada"), ("UserOffline", "bob"), ("UserOffline", "gone")]
    assert hub.check() == []


async def test_a_stepped_hub_does_the_same(clock):
    hub = Hub(THE_APP, clock=clock)
    hub.step()
    bob, ada = await come(hub, "bob", "ada"), await come(hub, "ada")
    await hub.settle()
    ada.disconnect()
    await clock.advance(2)
    assert told(bob.frames()) == [{"offline": ["ada"]}, {"online": ["ada"]}, {"offline": ["ada"]}]
    hub.close()
    assert hub.check() == []


# Facts


async def test_users_online_and_offline_are_facts_once_for_all_their_connections(hub, clock):
    signed_in, present = await come(hub, "ada"), await arrive(hub)
    await present.subscribe("presence-room", "ada")
    signed_in.disconnect()
    await clock.advance(5)
    assert edges(hub.journal) == [("UserOnline", "ada")]
    present.disconnect()
    await clock.advance(1.9)
    assert edges(hub.journal) == [("UserOnline", "ada")]
    await clock.advance(0.1)
    assert edges(hub.journal) == [("UserOnline", "ada"), ("UserOffline", "ada")]


async def test_a_presence_user_is_online_while_its_connection_lives(hub, clock):
    ada = await arrive(hub)
    await ada.subscribe("presence-room", "ada")
    await ada.unsubscribe("presence-room")
    await clock.advance(60)
    assert edges(hub.journal) == [("UserOnline", "ada")]
    ada.disconnect()
    await clock.advance(2)
    assert edges(hub.journal) == [("UserOnline", "ada"), ("UserOffline", "ada")]


async def test_a_reconnect_within_the_grace_is_no_fact(hub, clock):
    ada = await come(hub, "ada")
    ada.disconnect()
    await clock.advance(1.9)
    ada = await arrive(hub)
    await ada.subscribe("presence-room", "ada")
    await clock.advance(60)
    assert edges(hub.journal) == [("UserOnline", "ada")]


async def test_facts_need_no_watchlists(clock):
    async with Hub(APP, clock=clock) as hub:
        ada = await come(hub, "ada")
        ada.disconnect()
        await clock.advance(APP.offline_grace)
        assert edges(hub.journal) == [("UserOnline", "ada"), ("UserOffline", "ada")]
        assert hub.check() == []


async def test_who_is_refused_a_full_channel_is_not_online(clock):
    async with Hub(App(id="1", key="k", secret="s", max_members=1), clock=clock) as hub:
        for user in ("ada", "bob"):
            await (await arrive(hub)).subscribe("presence-room", user)
        assert edges(hub.journal) == [("UserOnline", "ada")]


async def test_an_anonymous_connection_takes_no_place(hub):
    anonymous = await arrive(hub)
    await anonymous.subscribe("private-a")
    anonymous.disconnect()
    await hub.settle()
    assert edges(hub.journal) == []
