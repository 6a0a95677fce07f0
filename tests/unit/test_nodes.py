"""Several nodes on one wire and one directory act as one hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from relay import App, Hub, UsageError
from relay.cluster.broker import Envelope
from relay.receipts import Remote
from relay.testing import ManualClock
from tests.property.engines import Pace, SlowDirectory, Wire
from tests.unit.client import ACK, ADDED, APP, ERROR, REMOVED, arrive

pytestmark = pytest.mark.every_loop

OTHER = App(id="2", key="other-key", secret="other-secret")


@asynccontextmanager
async def two_nodes(*apps: App) -> AsyncIterator[tuple[Hub, Hub]]:
    """Two nodes; the second one serves `apps` too."""
    pace = Pace(before=(1,), after=(0,))
    wire, directory = Wire(pace), SlowDirectory(pace)
    here = Hub(APP, broker=wire.end(), directory=directory, clock=ManualClock())
    there = Hub(APP, *apps, broker=wire.end(), directory=directory, clock=ManualClock())
    async with here, there:
        yield here, there


async def test_an_event_reaches_the_subscribers_of_every_node_and_the_receipt_tells_of_this_one():
    async with two_nodes() as (here, there):
        near, far = await arrive(here), await arrive(there)
        for socket in (near, far):
            await socket.subscribe("news")
        receipt = await here.trigger("news", "paid", {"id": 7})
        assert (receipt.delivered, receipt.remote) == (1, "sent")
        assert near.frames()[-1].text == far.frames()[-1].text


async def test_the_socket_an_event_excludes_is_excluded_on_its_own_node():
    async with two_nodes() as (here, there):
        near, far = await arrive(here), await arrive(there)
        for socket in (near, far):
            await socket.subscribe("news")
        receipt = await here.trigger("news", "paid", "", socket_id=far.id)
        assert (near.events(), far.events()) == ([ACK, "paid"], [ACK])
        assert receipt.channels["news"].excluded == 0


async def test_a_client_event_reaches_the_others_on_every_node():
    async with two_nodes() as (here, there):
        near, far = await arrive(here), await arrive(there)
        for socket in (near, far):
            await socket.subscribe("private-a")
        await near.say("client-typing", {}, "private-a")
        assert (near.events(), far.events()) == ([ACK], [ACK, "client-typing"])


async def test_members_come_and_go_for_the_subscribers_of_every_node():
    async with two_nodes() as (here, there):
        near, far = await arrive(here), await arrive(there)
        await near.subscribe("presence-room", "ada")
        await far.subscribe("presence-room", "bob")
        assert far.frames()[0].data["presence"]["ids"] == ["ada", "bob"]
        far.disconnect()
        await there.settle()
        assert near.events() == [ACK, ADDED, REMOVED]


async def test_a_user_is_terminated_on_every_node_and_counted_on_this_one():
    async with two_nodes() as (here, there):
        near, far, other = await arrive(here), await arrive(there), await arrive(there)
        for socket, user in ((near, "ada"), (far, "ada"), (other, "bob")):
            await socket.sign_in(user)
        assert await here.terminate_user_connections("ada") == 1
        assert [socket.close_code for socket in (near, far, other)] == [4009, 4009, None]
        assert far.events()[-1] == ERROR


async def test_counts_and_members_are_those_of_all_nodes():
    async with two_nodes() as (here, there):
        for hub, user in ((here, "ada"), (there, "ada"), (there, "bob")):
            await (await arrive(hub)).subscribe("presence-room", user)
        info = await here.channel("presence-room", info=["user_count"])
        assert (info.occupied, info.user_count) == (True, 2)
        assert [member.id for member in await here.members("presence-room")] == ["ada", "bob"]


async def test_a_full_channel_is_full_on_every_node():
    small = App(id="3", key="small", secret="s", max_members=1)
    pace = Pace(before=(1,), after=(0,))
    wire, directory = Wire(pace), SlowDirectory(pace)
    async with (
        Hub(small, broker=wire.end(), directory=directory) as here,
        Hub(small, broker=wire.end(), directory=directory) as there,
    ):
        near, far = await arrive(here), await arrive(there)
        await near.subscribe("presence-room", "ada")
        await far.subscribe("presence-room", "bob")
        assert (near.events(), far.events()) == ([ACK], [ERROR])


async def test_what_is_about_an_app_that_a_node_does_not_serve_does_not_concern_it():
    async with two_nodes(OTHER) as (here, there):
        near, far = await arrive(here), await arrive(there, OTHER)
        await near.subscribe("news")
        await far.sign_in("ada")
        await there.trigger("news", "paid", "", app=OTHER)
        assert await there.terminate_user_connections("ada", app=OTHER) == 1
        assert (near.events(), near.open, here.check()) == ([ACK], True, [])


class Waiting:
    """A broker that takes its time."""

    def __init__(self, wire: Wire) -> None:
        self._end = wire.end()

    async def start(self, receive: object) -> None:
        await self._end.publish(Envelope(app="1", channel="news"))

    async def subscribe(self, app: str, channel: str) -> None:
        await self._end.subscribe(app, channel)

    async def unsubscribe(self, app: str, channel: str) -> None:
        await self._end.unsubscribe(app, channel)

    async def publish(self, envelope: Envelope) -> Remote:
        return await self._end.publish(envelope)

    async def close(self) -> None:
        await self._end.close()


async def test_a_hub_whose_engines_wait_cannot_be_stepped():
    hub = Hub(APP, broker=Waiting(Wire(Pace(before=(1,), after=(1,)))), clock=ManualClock())
    with pytest.raises(UsageError, match="a stepped hub needs a broker and a directory that never suspend"):
        hub.step()
