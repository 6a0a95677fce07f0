"""Things that go wrong on purpose, on the test's clock and the same every time."""

import pytest

from relay import App, UsageError
from relay.client import Backoff, Closed, ReceivedEvent, State, SubscriptionRefused
from relay.facts import SlowConsumer
from relay.testing import DEFAULT_APP, Faults, Kit

pytestmark = pytest.mark.every_loop


async def connected(relay, faults, **options):
    client = await relay.connect(faults=faults, **options)
    return client, await client.subscribe("orders")


async def publish(relay, *data):
    for each in data:
        await relay.hub.trigger("orders", "paid", each)


def data_of(channel):
    return [event.data for event in channel.queued()]


# A connection that breaks


async def test_drop_after_cuts_the_connection_once_after_so_many_frames(relay):
    client, orders = await connected(relay, Faults(drop_after=3))  # the greeting, the acknowledgement, one event
    await publish(relay, 1, 2)
    assert data_of(orders) == [1]
    await client.expect_closed(1006)
    await relay.settle()
    assert relay.hub.stats().connections == 0


async def test_drop_after_may_begin_later(relay):
    faults = Faults()
    client, orders = await connected(relay, faults)
    await publish(relay, 1)
    faults.drop_after(2)
    await publish(relay, 2, 3, 4)
    assert data_of(orders) == [1, 2, 3]
    await client.expect_closed(1006)


async def test_a_dropped_client_comes_back_and_is_not_dropped_again(relay):
    client, orders = await connected(relay, Faults(drop_after=3), reconnect=Backoff(first=1, most=1))
    before = client.socket_id
    await publish(relay, 1)
    await orders.expect("paid")
    await relay.clock.advance(1)
    assert client.connection.state is State.CONNECTED
    assert client.socket_id != before
    await publish(relay, 2, 3)
    assert data_of(orders) == [2, 3]


# A reader that stalls


@pytest.fixture
def relay_app():
    return App(id="1", key="key", secret="secret", max_backlog=2_000)


async def test_a_stalled_reader_is_given_up_with_4100_and_nobody_else_suffers(relay):
    faults = Faults()
    slow, _ = await connected(relay, faults)
    _, orders = await connected(relay, Faults())
    faults.stall()
    for number in range(20):
        await publish(relay, "x" * 500)
        assert (await orders.expect("paid")).data, number
    faults.resume()
    await slow.expect_closed(4100)
    assert [fact.socket_id for fact in relay.facts if isinstance(fact, SlowConsumer)] != []


async def test_a_reader_that_stalls_for_a_moment_misses_nothing(relay):
    faults = Faults()
    client, orders = await connected(relay, faults)
    faults.stall()
    await publish(relay, 1, 2)
    await orders.expect_nothing()
    faults.resume()
    assert data_of(orders) == [1, 2]
    assert client.closed is None


async def test_a_stalled_client_that_asks_is_told_so_instead_of_waiting_for_ever(relay):
    faults = Faults()
    client, _ = await connected(relay, faults)
    faults.stall()
    with pytest.raises(UsageError, match=r"does not read, .*: resume\(\) first"):
        await client.subscribe("refunds")
    faults.resume()
    await client.subscribe("refunds")


async def test_connecting_a_client_that_does_not_read_says_so_instead_of_waiting_for_ever(relay):
    faults = Faults()
    faults.stall()
    with pytest.raises(UsageError, match=r"does not read, .* greeting for ever: resume\(\) first"):
        await relay.connect(faults=faults)
    faults.resume()
    client = await relay.connect(faults=faults, reconnect=Backoff(first=1, most=1))
    relay.lose_node()
    relay.restore_node()
    client.pump()
    faults.stall()
    await relay.clock.advance(1)
    faults.resume()
    client.pump()
    assert client.connection.state is State.CONNECTED


# A slow network


async def test_delay_holds_frames_back_on_the_clock_and_keeps_their_order(relay):
    faults = Faults()
    _, orders = await connected(relay, faults)
    faults.delay = 2
    await publish(relay, 1)
    await relay.clock.advance(1)
    await publish(relay, 2)
    await orders.expect_nothing()
    await relay.clock.advance(1)
    assert data_of(orders) == [1]
    await relay.clock.advance(1)
    assert data_of(orders) == [1, 2]


async def test_a_slow_network_holds_nothing_back_that_the_test_waits_for(relay):
    client = await relay.connect(faults=Faults(delay=2))
    await client.subscribe("presence-room", user_id="1")
    await client.signin("1")
    with pytest.raises(SubscriptionRefused):
        await client.subscribe("private-orders", auth={"auth": "key:forged"})


async def test_pings_are_late_on_a_slow_network_too(relay):
    client = await relay.connect(faults=Faults(delay=31))
    await relay.clock.advance(120 + 31)
    await client.expect_closed(4201)


async def test_what_was_sent_before_a_close_still_arrives_before_it(relay):
    client, orders = await connected(relay, Faults(delay=2))
    await client.signin("7")
    await publish(relay, 1)
    await relay.hub.terminate_user_connections("7")
    await relay.clock.advance(1)
    assert client.closed is None
    await relay.clock.advance(1)
    assert data_of(orders) == [1]
    await client.expect_closed(4009)


async def test_what_is_on_its_way_when_the_connection_breaks_is_lost(relay):
    client, orders = await connected(relay, Faults(delay=2))
    await publish(relay, 1)
    await orders.expect_nothing()
    relay.lose_node()
    await relay.clock.advance(2)
    await client.expect_closed(1006)
    await orders.expect_nothing()


# Frames that come twice


async def delivered(seed):
    kit = Kit(DEFAULT_APP)
    _, orders = await connected(kit, Faults(seed=seed, duplicate=0.5))
    await publish(kit, *range(20))
    kit.close()
    return data_of(orders)


async def test_duplicates_come_by_chance_and_the_same_seed_replays_them():
    first, again, other = await delivered(1), await delivered(1), await delivered(2)
    assert first == again
    assert first != other
    assert sorted(set(first)) == list(range(20))
    assert 20 < len(first) < 40


async def test_only_events_come_twice_not_what_acknowledges(relay):
    client = await relay.connect(faults=Faults(duplicate=1))
    room = await client.subscribe("presence-room", user_id="1")
    assert room.members.me.id == "1"
    await relay.hub.trigger("presence-room", "paid", 1)
    assert data_of(room) == [1, 1]


# A server that says no, or is not there


async def test_only_the_next_subscribe_is_refused(relay):
    faults = Faults()
    client = await relay.connect(faults=faults)
    faults.refuse_next_subscribe("not today")
    with pytest.raises(SubscriptionRefused, match="subscription to orders refused: not today"):
        await client.subscribe("orders")
    orders = await client.subscribe("orders")
    await publish(relay, 1)
    await orders.expect("paid")


async def test_a_subscribe_refused_on_the_way_back_is_told_to_the_channel(relay):
    faults = Faults()
    told: list[ReceivedEvent] = []
    _, orders = await connected(relay, faults, reconnect=Backoff(first=1, most=1))
    orders.bind("pusher:subscription_error", told.append)
    faults.refuse_next_subscribe("not today")
    relay.lose_node()
    relay.restore_node()
    await relay.clock.advance(1)
    assert [event.data.message for event in told] == ["not today"]
    assert orders.over


async def test_a_lost_node_closes_everybody_and_lets_nobody_in(relay):
    client, _ = await connected(relay, Faults())
    relay.lose_node()
    await client.expect_closed(1006)
    with pytest.raises(Closed, match="1006 the node is lost"):
        await relay.connect()
    relay.restore_node()
    await relay.connect()


async def test_attempts_to_come_back_follow_the_backoff_and_are_the_same_every_time():
    first, again = await attempts(seed=1), await attempts(seed=1)
    assert first == again
    assert first != await attempts(seed=2)
    assert 1 <= first[0] <= first[1] <= 30


async def attempts(seed):
    kit = Kit(seed=seed)
    client, _ = await connected(kit, Faults(), reconnect=Backoff(first=1, most=8))
    times = []
    client.connection.bind("connecting", lambda _: times.append(kit.clock.now()))
    kit.lose_node()
    await kit.clock.advance(60)
    kit.restore_node()
    await kit.clock.advance(8)
    assert client.connection.state is State.CONNECTED
    kit.close()
    return times


async def test_subscriptions_survive_the_loss_of_the_node(relay):
    _, orders = await connected(relay, Faults(), reconnect=Backoff())
    relay.lose_node()
    await relay.clock.advance(300)
    relay.restore_node()
    await relay.clock.advance(30)
    await publish(relay, 1)
    await orders.expect("paid")
    assert relay.hub.check() == []


# Wrong use


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"drop_after": 0}, "drop_after counts frames from 1, got 0"),
        ({"duplicate": 1.5}, "duplicate is a chance from 0 to 1, got 1.5"),
        ({"delay": -1}, "delay is 0 or more seconds, got -1"),
    ],
)
async def test_faults_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        Faults(**wrong)
