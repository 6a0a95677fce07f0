"""What people write with the fixtures. Run here, and by `test_environments.py` wherever async tests can run."""

import anyio
import pytest

from relay import App, Member
from relay.client import Backoff, Publisher, SubscriptionRefused
from relay.facts import ChannelOccupied
from relay.testing import Faults

try:  # in its strict mode pytest-asyncio wants a decorator of its own
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    async_fixture = pytest.fixture

SHOP = App(id="1", key="shop", secret="of the shop")
BANK = App(id="2", key="bank", secret="of the bank")


async def pay(publisher: Publisher, socket_id: str | None = None) -> None:
    """The code under test: it does not know whether it got a hub or a REST client."""
    await publisher.trigger("pay_channel", "pay_notify", {"message": "pay success!"}, socket_id=socket_id)


async def test_payment_is_announced_to_everyone_but_the_payer(relay):
    payer, clerk = await relay.connect(), await relay.connect()
    await payer.subscribe("pay_channel")
    orders = await clerk.subscribe("pay_channel")

    await pay(relay.hub, socket_id=payer.socket_id)

    assert (await orders.expect("pay_notify")).data == {"message": "pay success!"}
    await payer.expect_nothing()


async def test_idle_client_is_dropped(relay):
    ghost = await relay.connect(answer_pings=False)
    await relay.clock.advance(150)
    assert ghost.closed.code == 4201


async def test_presence(relay):
    ada = await relay.connect()
    room = await ada.subscribe("presence-room", user_id="1", user_info={"name": "Ada"})
    assert room.members.count == 1
    assert room.members.me.id == "1"
    assert room.members.get("1").info["name"] == "Ada"


async def test_members_follow_who_comes_and_goes(relay):
    ada, bob = await relay.connect(), await relay.connect()
    room = await ada.subscribe("presence-room", user_id="1")
    async with bob:
        await bob.subscribe("presence-room", user_id="2")
        assert [member.id for member in room.members] == ["1", "2"]
    assert [member.id for member in room.members] == ["1"]


async def test_a_client_event_reaches_the_others(relay):
    ada, bob = await relay.connect(), await relay.connect()
    mine, his = await ada.subscribe("presence-room", user_id="1"), await bob.subscribe("presence-room", user_id="2")
    await mine.trigger("client-typing", {"on": True})
    assert (await his.expect("client-typing")).user_id == "1"
    await mine.expect_nothing()


async def test_a_user_is_reached_on_every_connection(relay):
    phone, laptop, other = await relay.connect(), await relay.connect(), await relay.connect()
    mine, also_mine, not_mine = await phone.signin("7"), await laptop.signin("7"), await other.signin("8")
    await relay.hub.send_to_user("7", "invoice", {"total": 5})
    assert (await mine.expect("invoice")).data == (await also_mine.expect("invoice")).data == {"total": 5}
    await not_mine.expect_nothing()


async def test_an_authorizer_of_ones_own_refuses(relay):
    stranger = await relay.connect()
    with pytest.raises(SubscriptionRefused, match="private-orders"):
        await stranger.subscribe("private-orders", auth={"auth": "shop:forged"})


async def test_everything_published_is_recorded_with_its_receipt(relay):
    payer = await relay.connect()
    await payer.subscribe("pay_channel")
    await pay(relay.hub, socket_id=payer.socket_id)
    [published] = relay.published("pay_channel", "pay_notify")
    assert published.data == {"message": "pay success!"}
    assert published.receipt.channels["pay_channel"].excluded == 1


async def test_what_happened_is_there_as_facts(relay):
    await (await relay.connect()).subscribe("orders")
    assert [fact.channel for fact in relay.facts if isinstance(fact, ChannelOccupied)] == ["orders"]


async def test_code_that_publishes_in_the_background_is_waited_for(relay):
    orders = await (await relay.connect()).subscribe("pay_channel")
    async with anyio.create_task_group() as background:
        background.start_soon(pay, relay.hub)
        await orders.expect("pay_notify")


async def test_a_client_comes_back_to_its_channels_when_the_node_does(relay):
    clerk = await relay.connect(reconnect=Backoff(first=1, most=10))
    orders = await clerk.subscribe("pay_channel")
    relay.lose_node()
    await relay.clock.advance(60)
    relay.restore_node()
    await relay.clock.advance(10)
    await pay(relay.hub)
    await orders.expect("pay_notify")


async def test_a_connection_breaks_where_the_test_says(relay):
    faults = Faults(drop_after=3)  # the greeting, the acknowledgement, one event
    client = await relay.connect(faults=faults)
    orders = await client.subscribe("orders")
    await relay.hub.trigger("orders", "paid", 1)
    await relay.hub.trigger("orders", "paid", 2)
    assert (await orders.expect("paid")).data == 1
    await client.expect_closed(1006)


@async_fixture
async def clerk(relay):
    async with relay.connect() as client:
        yield client


async def test_a_client_may_come_from_an_async_fixture(relay, clerk):
    orders = await clerk.subscribe("pay_channel")
    await pay(relay.hub)
    await orders.expect("pay_notify")


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_no_test_sees_what_another_did(relay, turn):
    assert (relay.clock.now(), len(relay.transcript), relay.facts, relay.published()) == (0, 0, [], [])
    assert relay.hub.stats().connections == 0
    orders = await (await relay.connect()).subscribe("orders")
    await pay(relay.hub)
    await relay.clock.advance(10)
    await orders.expect_nothing()


async def test_several_apps_do_not_hear_each_other(relay_factory):
    kit = relay_factory(SHOP, BANK)
    in_shop = await (await kit.connect("shop")).subscribe("orders")
    in_bank = await (await kit.connect("bank")).subscribe("orders")
    await kit.hub.trigger("orders", "paid", "", app=BANK)
    await in_bank.expect("paid")
    await in_shop.expect_nothing()


async def test_a_test_may_have_several_hubs(relay, relay_factory):
    other = relay_factory(SHOP)
    here, there = await (await relay.connect()).subscribe("orders"), await (await other.connect()).subscribe("orders")
    await other.hub.trigger("orders", "paid", "")
    await there.expect("paid")
    await here.expect_nothing()


class TestWithAnotherApp:
    @pytest.fixture
    def relay_app(self):
        return App(id="7", key="small", secret="of the small", max_members=1, activity_timeout=10)

    async def test_its_limits_hold(self, relay):
        ada, bob = await relay.connect(), await relay.connect()
        await ada.subscribe("presence-room", user_id="1")
        with pytest.raises(SubscriptionRefused):
            await bob.subscribe("presence-room", user_id="2")
        assert await relay.hub.members("presence-room") == [Member("1")]

    async def test_its_timeouts_hold(self, relay):
        ghost = await relay.connect(answer_pings=False)
        await relay.clock.advance(10 + 30)
        await ghost.expect_closed(4201)
