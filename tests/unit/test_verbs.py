"""The verbs of the server SDKs on a hub in the same process: what they deliver, answer and refuse."""

import json

import pytest

from relay import ChannelInfo, ChannelReceipt, Event, Hub, Member, Receipt, TooLarge, UsageError, User
from relay.cluster.directory import Occupancy
from relay.protocol import signing
from relay.testing import ManualClock
from tests.unit.client import ACK, APP, ERROR, arrive

pytestmark = pytest.mark.every_loop


@pytest.fixture
def hub() -> Hub:
    return Hub(APP, clock=ManualClock())


# trigger


async def test_an_event_reaches_every_subscriber_of_its_channel_and_nobody_else(hub):
    async with hub:
        one, two, other = [await arrive(hub) for _ in range(3)]
        for socket, channel in ((one, "orders"), (two, "orders"), (other, "news")):
            await socket.subscribe(channel)
        await hub.trigger("orders", "paid", {"id": 7})
        assert [socket.events() for socket in (one, two, other)] == [[ACK, "paid"], [ACK, "paid"], [ACK]]


async def test_the_frame_is_the_one_of_the_reference(hub):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("orders")
        socket.frames()
        await hub.trigger("orders", "order.paid", '{"id":7,"note":"café"}')
        [frame] = socket.frames()
        expected = r'{"event":"order.paid","channel":"orders","data":"{\"id\":7,\"note\":\"café\"}"}'
        assert frame.text.decode() == expected


async def test_a_socket_in_several_of_the_channels_gets_one_frame_for_each_in_order(hub):
    async with hub:
        socket = await arrive(hub)
        for channel in ("a", "b", "c"):
            await socket.subscribe(channel)
        socket.frames()
        receipt = await hub.trigger(["c", "a", "c"], "paid", "")
        assert [frame.channel for frame in socket.frames()] == ["c", "a"]
        assert list(receipt.channels) == ["c", "a"]


async def test_the_socket_that_caused_an_event_does_not_get_it(hub):
    async with hub:
        cause, other = await arrive(hub), await arrive(hub)
        for socket in (cause, other):
            await socket.subscribe("orders")
        receipt = await hub.trigger("orders", "paid", "", socket_id=cause.id)
        assert (cause.events(), other.events()) == ([ACK], [ACK, "paid"])
        assert receipt == Receipt({"orders": ChannelReceipt("orders", matched=2, queued=1, excluded=1)})


@pytest.mark.parametrize("who", ["unknown", "not in the channel"])
async def test_a_socket_id_of_nobody_there_excludes_nobody(hub, who):
    async with hub:
        socket, elsewhere = await arrive(hub), await arrive(hub)
        await socket.subscribe("orders")
        receipt = await hub.trigger("orders", "paid", "", socket_id="1.1" if who == "unknown" else elsewhere.id)
        assert receipt == Receipt({"orders": ChannelReceipt("orders", matched=1, queued=1)})


async def test_publishing_to_nobody_is_fine_and_said(hub):
    async with hub:
        receipt = await hub.trigger("orders", "paid", "")
        assert (receipt, receipt.delivered) == (Receipt({"orders": ChannelReceipt("orders")}), 0)


async def test_info_tells_the_counts_that_apply(hub):
    async with hub:
        for user in ("ada", "ada", "bob"):
            socket = await arrive(hub)
            await socket.subscribe("presence-room", user)
            await socket.subscribe("orders")
        both = ["user_count", "subscription_count"]
        receipt = await hub.trigger(["presence-room", "orders", "empty"], "paid", "", info=both)
        assert {name: channel.info for name, channel in receipt.channels.items()} == {
            "presence-room": {"user_count": 2},
            "orders": {"subscription_count": 3},
            "empty": {"subscription_count": 0},
        }
        [receipt] = await hub.trigger_batch([Event("presence-room", "paid", "", None, ["subscription_count"])])
        assert receipt.channels["presence-room"].info == {}


async def test_a_batch_is_published_in_order_with_a_receipt_for_each(hub):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("a")
        receipts = await hub.trigger_batch([Event("a", "one"), Event("b", "two"), Event("a", "three")])
        assert socket.events() == [ACK, "one", "three"]
        assert [receipt.delivered for receipt in receipts] == [1, 0, 1]


async def test_one_bad_event_and_none_of_the_batch_is_published(hub):
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("a")
        with pytest.raises(TooLarge):
            await hub.trigger_batch([Event("a", "one"), Event("a", "two", "x" * 10_241)])
        with pytest.raises(UsageError, match="reserved"):
            await hub.trigger_batch([Event("a", "one"), Event("a", "pusher:two")])
        assert socket.events() == [ACK]


def test_verbs_of_a_hub_with_its_own_engines_never_suspend(hub):
    hub.step()
    step = hub.trigger(["a", "presence-b"], "paid", "", info=["user_count"])
    with pytest.raises(StopIteration) as done:
        step.send(None)
    assert isinstance(done.value.value, Receipt)
    hub.close()


# client events


async def test_a_client_event_reaches_the_others_and_not_its_sender(hub):
    async with hub:
        ada, bob = await arrive(hub), await arrive(hub)
        await ada.subscribe("presence-room", "ada")
        await bob.subscribe("presence-room", "bob")
        ada.frames()
        bob.frames()
        await ada.say("client-typing", {"who": "me"}, "presence-room")
        [frame] = bob.frames()
        assert (frame.event, frame.data, frame.user_id) == ("client-typing", {"who": "me"}, "ada")
        assert ada.frames() == []


# users


async def test_a_user_is_reached_on_every_connection_that_signed_in_and_listens(hub):
    async with hub:
        phone, laptop, deaf, other = [await arrive(hub) for _ in range(4)]
        for socket, user in ((phone, "ada"), (laptop, "ada"), (deaf, "ada"), (other, "bob")):
            await socket.sign_in(user)
            if socket is not deaf:
                await socket.subscribe(f"#server-to-user-{user}")
            socket.frames()
        receipt = await hub.send_to_user("ada", "notice", {"text": "hi"})
        assert receipt.delivered == 2
        assert [socket.events() for socket in (phone, laptop, deaf, other)] == [["notice"], ["notice"], [], []]


async def test_terminating_a_user_closes_its_signed_in_connections_with_4009_and_no_others(hub):
    async with hub:
        phone, laptop, member, other = [await arrive(hub) for _ in range(4)]
        for socket, user in ((phone, "ada"), (laptop, "ada"), (other, "bob")):
            await socket.sign_in(user)
            socket.frames()
        await member.subscribe("presence-room", "ada")
        assert await hub.terminate_user_connections("ada") == 2
        told = {"code": 4009, "message": "You got disconnected by the app."}
        assert [(frame.event, frame.data) for frame in phone.frames()] == [(ERROR, told)]
        assert [socket.close_code for socket in (phone, laptop, member, other)] == [4009, 4009, None, None]
        assert (await hub.terminate_user_connections("ada"), hub.stats().users) == (0, 1)


async def test_a_user_must_have_a_name(hub):
    async with hub:
        with pytest.raises(UsageError, match="user_id must not be empty"):
            await hub.send_to_user("", "notice", "")


async def test_a_connection_that_signs_in_twice_counts_once(hub):
    async with hub:
        socket = await arrive(hub)
        for _ in range(2):
            await socket.sign_in("ada")
        assert hub.stats().users == 1
        assert await hub.terminate_user_connections("ada") == 1
        assert (hub.stats().users, hub.check()) == (0, [])


# questions


async def test_channels_lists_what_is_occupied_with_the_counts_that_were_asked_for(hub):
    async with hub:
        socket, other = await arrive(hub), await arrive(hub)
        await socket.sign_in("ada")
        for channel in ("orders", "#server-to-user-ada"):
            await socket.subscribe(channel)
        for one in (socket, other):
            await one.subscribe("presence-room", "ada")
        assert await hub.channels() == {name: ChannelInfo(name, True) for name in ("orders", "presence-room")}
        counted = await hub.channels(prefix="presence-", info=["user_count", "subscription_count"])
        assert counted == {"presence-room": ChannelInfo("presence-room", True, user_count=1)}
        assert await hub.channels(prefix="ord", info=["subscription_count"]) == {
            "orders": ChannelInfo("orders", True, subscription_count=1)
        }


async def test_one_channel_is_told_of_occupied_or_not(hub):
    async with hub:
        await (await arrive(hub)).subscribe("orders")
        info = ["subscription_count", "user_count"]
        assert await hub.channel("orders", info=info) == ChannelInfo("orders", True, None, 1)
        assert await hub.channel("nobody", info=info) == ChannelInfo("nobody", False, None, 0)
        assert await hub.channel("presence-x", info=info) == ChannelInfo("presence-x", False, 0, None)
        assert await hub.occupancy("orders") == Occupancy(1, 0)


async def test_members_are_the_users_in_the_order_they_joined_with_their_info(hub):
    async with hub:
        for user, info in (("eve", {"name": "Eve"}), ("ada", None), ("eve", {"name": "Other"})):
            await (await arrive(hub)).subscribe("presence-room", user, info)
        assert await hub.members("presence-room") == [Member("eve", {"name": "Eve"}), Member("ada")]
        assert await hub.members("presence-empty") == []


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (lambda hub: hub.channel("a b"), "Invalid channel name 'a b'"),
        (lambda hub: hub.occupancy(""), "Invalid channel name ''"),
        (lambda hub: hub.members("a b"), "Invalid channel name 'a b'"),
        (lambda hub: hub.members("orders"), "Users can only be retrieved for presence channels, got 'orders'"),
        (lambda hub: hub.channels(info=["size"]), "Unknown info attribute 'size'"),
        (lambda hub: hub.channel("orders", info=["size"]), "Unknown info attribute 'size'"),
        (lambda hub: hub.trigger("orders", "pusher:a", ""), "The 'pusher' namespace is reserved"),
    ],
)
async def test_what_makes_no_sense_is_a_usage_error(hub, verb, message):
    async with hub:
        with pytest.raises(UsageError) as error:
            await verb(hub)
        assert str(error.value).startswith(message)


# authorization


def test_private_channels_are_signed_for_one_socket(hub):
    assert hub.authorize_channel("1.1", "private-a") == {"auth": signing.sign_channel(APP, "1.1", "private-a")}


def test_presence_channels_are_signed_together_with_the_member(hub):
    answer = hub.authorize_channel("1.1", "presence-a", Member("ada", {"name": "Ada"}))
    assert json.loads(answer["channel_data"]) == {"user_id": "ada", "user_info": {"name": "Ada"}}
    assert answer["auth"] == signing.sign_channel(APP, "1.1", "presence-a", answer["channel_data"])
    assert json.loads(hub.authorize_channel("1.1", "presence-a", Member("ada"))["channel_data"]) == {"user_id": "ada"}


def test_users_are_signed_for_one_socket(hub):
    answer = hub.authenticate_user("1.1", User("ada", {"name": "Ada"}))
    assert json.loads(answer["user_data"]) == {"id": "ada", "user_info": {"name": "Ada"}}
    assert answer["auth"] == signing.sign_user(APP, "1.1", answer["user_data"])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda hub: hub.authorize_channel("x", "private-a"), "Invalid socket id 'x'"),
        (lambda hub: hub.authorize_channel("1.1", "a b"), "Invalid channel name 'a b'"),
        (lambda hub: hub.authorize_channel("1.1", "orders"), "'orders' is public and needs no authorization"),
        (lambda hub: hub.authorize_channel("1.1", "presence-a"), "'presence-a' is a presence channel: pass member="),
        (lambda hub: hub.authenticate_user("x", User("ada")), "Invalid socket id 'x'"),
        (lambda hub: hub.authenticate_user("1.1", User("")), "User.id must not be empty"),
    ],
)
def test_what_cannot_be_signed_is_a_usage_error(hub, ask, message):
    with pytest.raises(UsageError) as error:
        ask(hub)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("member", [Member(""), Member("\ud800"), Member("ada", {1, object()}), Member("ada", "Ada")])
def test_a_member_that_every_hub_would_refuse_is_a_usage_error_where_it_is_signed(hub, member):
    with pytest.raises(UsageError):
        hub.authorize_channel("1.1", "presence-a", member)
