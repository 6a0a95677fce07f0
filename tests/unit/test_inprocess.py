"""Clients in the hub's own process see the bytes a socket would carry, and nothing else."""

import anyio
import pytest

from relay import App, Disconnect, Hub, Member, UsageError
from relay.client import Closed, Settings
from relay.testing import ManualClock
from relay_transports.inprocess import InProcessTransport, connect, connect_raw
from tests.unit.client import ACK

pytestmark = pytest.mark.every_loop

APP = App(id="1", key="k", secret="s", client_events=True)
OTHER = App(id="2", key="other", secret="s")


@pytest.fixture
def hub() -> Hub:
    return Hub(APP, clock=ManualClock())


async def test_a_raw_client_reads_the_bytes_of_the_protocol_and_what_they_say(hub):
    async with hub, connect_raw(hub) as client:
        await client.subscribe("orders")
        await hub.trigger("orders", "paid", {"id": 7})
        acknowledged, paid = await client.receive(), await client.receive()
        assert acknowledged.event == ACK
        assert paid.text == rb'{"event":"paid","channel":"orders","data":"{\"id\":7}"}'
        assert (paid.event, paid.channel, paid.data, paid.user_id) == ("paid", "orders", {"id": 7}, None)


@pytest.mark.parametrize("data", ["plain", "{", "", "7 "])
async def test_data_that_is_no_json_stays_a_string(hub, data):
    async with hub, connect_raw(hub) as client:
        await client.subscribe("orders")
        await hub.trigger("orders", "paid", data)
        [_, paid] = await client.received()
        assert paid.data == (7 if data == "7 " else data)


async def test_private_and_presence_channels_are_authorized_with_the_hubs_own_secret(hub):
    async with hub, connect_raw(hub) as client:
        await client.subscribe("private-a")
        await client.subscribe("presence-a", Member("ada", {"name": "Ada"}))
        private, presence = await client.received()
        assert (private.event, private.data) == (ACK, {})
        assert presence.data == {"presence": {"count": 1, "ids": ["ada"], "hash": {"ada": {"name": "Ada"}}}}


async def test_a_member_is_asked_for_on_presence_channels_and_nowhere_else(hub):
    async with hub, connect_raw(hub) as client:
        with pytest.raises(UsageError, match="presence channel"):
            await client.subscribe("presence-a")
        with pytest.raises(UsageError, match="member= is for presence channels"):
            await client.subscribe("orders", Member("ada"))
        assert await client.received() == []


async def test_client_events_go_out_and_unsubscribing_ends_them(hub):
    async with hub, connect_raw(hub) as ada, connect_raw(hub) as bob:
        for client in (ada, bob):
            await client.subscribe("private-a")
        await ada.trigger("private-a", "client-typing", {"who": "ada"})
        await bob.unsubscribe("private-a")
        await ada.trigger("private-a", "client-typing", {"who": "ada"})
        assert [event.event for event in await ada.received()] == [ACK]
        assert [event.event for event in await bob.received()] == [ACK, "client-typing"]


async def test_a_reader_waits_for_what_has_not_come_yet(hub):
    async with hub, connect_raw(hub) as client, anyio.create_task_group() as tasks:
        await client.subscribe("orders")
        await client.receive()
        tasks.start_soon(hub.trigger, "orders", "paid", "")
        with anyio.fail_after(5):
            assert (await client.receive()).event == "paid"


async def test_a_reader_that_gave_up_waiting_misses_nothing(hub):
    async with hub, connect_raw(hub) as client:
        await client.subscribe("orders")
        await client.receive()
        with anyio.move_on_after(0):
            await client.receive()
        await hub.trigger("orders", "paid", "")
        with anyio.fail_after(5):
            assert (await client.receive()).event == "paid"


async def test_the_end_comes_after_the_last_event_and_says_how(hub):
    async with hub, connect_raw(hub) as client:
        await client.subscribe("orders")
        await hub.trigger("orders", "paid", "")
        hub.close()
        assert [(await client.receive()).event for _ in range(2)] == [ACK, "paid"]
        for act in (client.receive(), client.send("{}")):
            with pytest.raises(Closed) as closed:
                await act
            assert (closed.value.code, closed.value.reason) == (4200, "Please reconnect immediately")
        assert client.closed is not None


async def test_a_client_that_reads_answers_pings_by_itself(hub):
    async with hub, connect_raw(hub) as client:
        await hub.clock.advance(120)
        assert await client.received() == []
        await hub.clock.advance(119)
        assert client.closed is None


async def test_a_frame_above_the_limit_ends_the_connection_as_on_a_socket(hub):
    most = APP.max_message_bytes
    async with hub, connect_raw(hub) as raw, connect(hub, settings=Settings(reconnect=None)) as client:
        for each in (raw, client):
            send = each.send if each is raw else client.send_raw
            await send('{"event":"pusher:ping"}'.ljust(most))
            assert each.closed is None
            await send("x" * (most - 1) + "é")
        client.pump()
        for each in (raw, client):
            closed = each.closed
            assert closed is not None
            assert (closed.code, closed.reason) == (1009, f"message too big: the limit is {most} bytes")
        await hub.settle()
        assert hub.stats().connections == 0


async def test_leaving_the_block_disconnects(hub):
    async with hub:
        async with connect_raw(hub) as client:
            await client.subscribe("orders")
            assert hub.stats().subscriptions == 1
        await hub.settle()
        assert hub.stats().connections == hub.stats().channels == 0


async def test_a_client_that_may_not_come_in_is_told_why(hub):
    async with hub:
        with pytest.raises(Disconnect) as disconnect:
            async with connect_raw(hub, "nobody"):
                pass
        assert disconnect.value.code == 4001
        with pytest.raises(Disconnect) as disconnect:
            async with connect_raw(hub, protocol="4"):
                pass
        assert disconnect.value.code == 4007


async def test_with_several_apps_the_key_says_which():
    async with Hub(APP, OTHER) as hub:
        with pytest.raises(UsageError, match="say which with key="):
            async with connect_raw(hub):
                pass
        async with connect_raw(hub, "other") as client:
            await client.subscribe("private-a")
            [acknowledged] = await client.received()
            assert acknowledged.event == ACK
            assert hub.stats(app="2").subscriptions == 1


async def test_a_tap_sees_every_frame_both_ways(hub):
    seen = []
    async with hub, connect_raw(hub, tap=lambda way, text: seen.append((way, text))) as client:
        await client.send('{"event":"pusher:ping"}')
    assert [way for way, _ in seen] == ["received", "sent", "received"]
    assert seen[1:] == [
        ("sent", b'{"event":"pusher:ping"}'),
        ("received", b'{"event":"pusher:pong","data":"{}"}'),
    ]


async def test_the_full_client_of_the_same_process_subscribes_and_gets_its_events(hub):
    async with hub, connect(hub) as client:
        orders = await client.subscribe("orders")
        receipt = await hub.trigger("orders", "paid", {"id": 7})
        assert receipt.delivered == 1
        with anyio.fail_after(5):
            async for event in orders:
                assert (event.event, event.data) == ("paid", {"id": 7})
                break


async def test_a_transport_wakes_its_reader_for_each_frame_and_for_the_end():
    transport = InProcessTransport()
    woken: list[bytes] = []
    transport.arrived = woken.append
    transport.send(b"a")
    transport.close(4200)
    transport.send(b"b")
    transport.close(4201)
    assert woken == [b"a", b""]
