"""Subscribers who are told how many they are (protocol 5), and the Facts of it."""

from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec
import pytest

from relay import Hub
from relay.facts import ChannelOccupied, CountChanged, Fact
from relay.testing import ManualClock
from relay_transports.inprocess import connect
from tests.unit.client import ACK, APP, Frame, Socket, arrive

pytestmark = pytest.mark.every_loop

KEY = "dGVzdC1tYXN0ZXIta2V5LXRlc3QtbWFzdGVyLWtleSE="
THE_APP = msgspec.structs.replace(APP, subscription_counts=True, encryption_master_key=KEY)
COUNT = "pusher_internal:subscription_count"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hub(clock: ManualClock) -> AsyncIterator[Hub]:
    async with Hub(THE_APP, clock=clock) as hub:
        yield hub
        assert hub.check() == []


@pytest.fixture
def told(hub: Hub) -> list[tuple[str, int]]:
    """The Facts."""
    told: list[tuple[str, int]] = []
    hub.on(CountChanged, lambda fact: told.append((fact.channel, fact.subscription_count)))
    return told


def counts(frames: Iterable[Frame]) -> list[int]:
    """What a client was told, in order."""
    return [frame.data["subscription_count"] for frame in frames if frame.event == COUNT]


async def come(hub: Hub, channel: str = "orders", how_many: int = 1, user: str | None = None) -> Sequence[Socket]:
    """New connections that are in `channel`, and the turn is over."""
    sockets = [await arrive(hub) for _ in range(how_many)]
    for socket in sockets:
        await socket.subscribe(channel, user)
    await hub.settle()
    return sockets


async def crowd(hub: Hub, how_many: int) -> Sequence[Socket]:
    """So many who are in the channel, and have read what they were told."""
    sockets = await come(hub, how_many=how_many)
    for socket in sockets:
        socket.frames()
    return sockets


async def test_a_new_subscriber_is_told_after_its_acknowledgement(hub):
    [ada] = await come(hub)
    ack, count = ada.frames()
    assert ack.event == ACK
    assert count.text == (
        b'{"event":"pusher_internal:subscription_count","channel":"orders","data":"{\\"subscription_count\\":1}"}'
    )


@pytest.mark.parametrize("channel", ["orders", "private-orders", "cache-orders", "private-cache-orders"])
async def test_everybody_is_told_of_who_subscribes_unsubscribes_and_disconnects(channel, hub):
    [ada] = await come(hub, channel)
    [bob] = await come(hub, channel)
    [eve] = await come(hub, channel)
    await bob.unsubscribe(channel)
    await hub.settle()
    eve.disconnect()
    await hub.settle()
    assert [counts(socket.frames()) for socket in (ada, bob, eve)] == [[1, 2, 3, 2, 1], [2, 3], [3, 2]]


async def test_the_count_comes_after_the_replay_of_a_cache_channel(hub):
    await hub.trigger("cache-bus", "position", "here")
    [ada] = await come(hub, "cache-bus")
    assert ada.events() == [ACK, "position", COUNT]
    [bob] = await come(hub, "cache-train")
    assert bob.events() == [ACK, "pusher:cache_miss", COUNT]


async def test_events_that_were_held_come_before_the_count(hub, clock):
    async def slowly(channel: str) -> bool:
        await hub.trigger(channel, "paid", "")
        return True

    ada = await arrive(hub, authorize=slowly)
    await ada.say("pusher:subscribe", {"channel": "private-orders"})
    await hub.settle()
    assert ada.events()[-1] == COUNT


async def test_one_connection_counts_once_in_each_of_its_channels(hub):
    [ada] = await come(hub)
    await ada.subscribe("news")
    await ada.subscribe("news")  # refused
    await hub.settle()
    assert [(frame.channel, frame.data["subscription_count"]) for frame in ada.frames() if frame.event == COUNT] == [
        ("orders", 1),
        ("news", 1),
    ]


@pytest.mark.parametrize("channel", ["presence-room", "presence-cache-room"])
async def test_presence_channels_have_members_and_no_count(channel, hub, told):
    [ada] = await come(hub, channel, user="ada")
    assert COUNT not in ada.events()
    assert told == []


async def test_a_users_own_channel_has_no_count(hub, told):
    ada = await arrive(hub)
    await ada.sign_in("ada")
    await ada.subscribe("#server-to-user-ada")
    await hub.settle()
    assert COUNT not in ada.events()
    assert told == []


@pytest.mark.parametrize("channel", ["private-encrypted-a", "private-encrypted-cache-a"])
async def test_encrypted_channels_have_facts_and_no_frames_which_java_would_decrypt(channel, hub, told):
    [ada] = await come(hub, channel)
    assert COUNT not in ada.events()
    assert told == [(channel, 1)]


async def test_nobody_is_told_where_the_app_does_not_want_it(clock):
    happened: list[Fact] = []
    async with Hub(APP, clock=clock) as hub:
        hub.on(CountChanged, happened.append)
        [ada] = await come(hub)
        assert ada.events() == [ACK]
    assert happened == []


# One turn


async def test_changes_of_one_turn_share_a_frame(hub, told):
    [ada] = await come(hub)
    sockets = await come(hub, how_many=7)
    assert [counts(socket.frames()) for socket in (ada, *sockets)] == [[1, 8], *[[8]] * 7]
    assert told == [("orders", 1), ("orders", 8)]


async def test_who_comes_and_goes_in_one_turn_is_no_news(hub, told):
    [ada] = await come(hub)
    ada.frames()
    bob = await arrive(hub)
    for _ in range(1000):
        await bob.subscribe("orders")
        await bob.unsubscribe("orders")
    await hub.settle()
    assert ada.frames() == []
    assert bob.events() == [ACK] * 1000
    assert told == [("orders", 1)]


async def test_who_changes_places_with_another_is_told_and_nobody_else(hub):
    ada, bob = await come(hub, how_many=2)
    ada.frames()
    eve = await arrive(hub)
    await bob.unsubscribe("orders")
    await eve.subscribe("orders")
    await hub.settle()
    assert (counts(ada.frames()), counts(eve.frames())) == ([], [2])


async def test_the_last_one_out_is_a_fact_and_nobodys_frame(hub, told):
    [ada] = await come(hub)
    ada.frames()
    await ada.unsubscribe("orders")
    await hub.settle()
    assert ada.frames() == []
    assert told == [("orders", 1), ("orders", 0)]


async def test_a_channel_is_occupied_before_it_has_a_count(hub):
    facts: list[Fact] = []
    hub.on(Fact, facts.append)
    await come(hub)
    kinds = [type(fact) for fact in facts]
    assert kinds.index(ChannelOccupied) < kinds.index(CountChanged)


# Large channels


async def test_up_to_a_hundred_are_told_of_every_change(hub):
    sockets = await crowd(hub, 99)
    [last] = await come(hub)
    last.disconnect()
    await hub.settle()
    assert counts(sockets[0].frames()) == [100, 99]


async def test_more_than_a_hundred_are_told_every_five_seconds_of_what_is_then(hub, clock, told):
    sockets = await crowd(hub, 101)
    told.clear()
    await come(hub)
    await clock.advance(1)
    await come(hub)
    await clock.advance(3.9)
    assert (counts(sockets[0].frames()), told) == ([], [])
    await clock.advance(0.1)
    assert (counts(sockets[0].frames()), told) == ([103], [("orders", 103)])
    await clock.advance(60)
    assert sockets[0].frames() == []


async def test_a_newcomer_to_a_large_channel_is_told_at_once(hub, clock):
    await crowd(hub, 101)
    [new] = await come(hub)
    assert counts(new.frames()) == [102]
    await clock.advance(5)
    assert counts(new.frames()) == [102]


async def test_after_a_rest_a_large_channel_is_told_at_once(hub, clock):
    sockets = await crowd(hub, 101)
    await clock.advance(5)
    await come(hub)
    assert counts(sockets[0].frames()) == [102]


async def test_coming_and_going_at_the_border_is_not_told_each_time(hub, clock):
    sockets = await crowd(hub, 101)
    for _ in range(10):
        sockets[100].disconnect()
        await hub.settle()
        sockets = [*sockets[:100], *await come(hub)]
    assert counts(sockets[0].frames()) == []
    sockets[100].disconnect()
    await clock.advance(5)
    assert counts(sockets[0].frames()) == [100]


async def test_a_large_channel_that_is_left_by_all_costs_nothing_more(hub, clock, told):
    for socket in await crowd(hub, 101):
        socket.disconnect()
    await hub.settle()
    assert told == [("orders", 101)]
    await clock.advance(5)
    assert told == [("orders", 101), ("orders", 0)]
    await clock.advance(60)
    assert len(told) == 2
    [ada] = await come(hub)
    assert counts(ada.frames()) == [1]


async def test_churn_in_a_large_channel_costs_each_subscriber_one_frame_in_five_seconds(hub, clock):
    sockets = await crowd(hub, 150)
    churning = await arrive(hub)
    for _ in range(100):
        await churning.subscribe("orders")
        await hub.settle()
        await churning.unsubscribe("orders")
        await clock.advance(0.1)
    assert all(len(counts(socket.frames())) <= 2 for socket in sockets)
    assert len(churning.frames()) == 200


# The end, and the client


async def test_a_hub_that_closes_tells_the_last_count(clock):
    told: list[int] = []
    async with Hub(THE_APP, clock=clock) as hub:
        hub.on(CountChanged, lambda fact: told.append(fact.subscription_count))
        await crowd(hub, 101)
    assert told == [101, 0]
    assert hub.check() == []


async def test_our_client_knows_the_count_and_is_told_of_changes(hub):
    seen = []
    async with connect(hub) as client, connect(hub) as other:
        channel = await client.subscribe("orders")
        channel.bind("pusher:subscription_count", lambda event: seen.append(event.data))
        assert channel.subscription_count is None
        await hub.settle()
        await other.subscribe("orders")
        await hub.settle()
        client.pump()
        assert channel.subscription_count == 2
    assert seen == [{"subscription_count": 1}, {"subscription_count": 2}]


@pytest.mark.parametrize("data", ["{}", '{"subscription_count":"many"}', "nonsense", None])
async def test_our_client_makes_nothing_of_a_count_that_is_none(data, hub):
    async with connect(hub) as client:
        channel = await client.subscribe("orders")
        client.feed(msgspec.json.encode({"event": COUNT, "channel": "orders", "data": data}))
        assert channel.subscription_count is None
