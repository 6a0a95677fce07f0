"""What a client can do, each as a function of a world; run over both transports and compared."""

from typing import Any

import msgspec
import pytest

from relay import UsageError
from relay.client import SubscriptionRefused
from relay.protocol.events import CheckedEvent
from tests.integration.worlds import World


async def the_next(channel: Any) -> Any:
    """The data of the next event of a channel."""
    return (await anext(aiter(channel))).data


async def public_channel(world: World) -> None:
    client = await world.client()
    orders = await client.subscribe("orders")
    receipt = await world.hub.trigger("orders", "paid", {"id": 7, "note": "café"})
    assert receipt.delivered == 1
    assert await the_next(orders) == {"id": 7, "note": "café"}


async def all_but_the_sender(world: World) -> None:
    sender, other = await world.client(), await world.client()
    mine, theirs = await sender.subscribe("orders"), await other.subscribe("orders")
    await world.hub.trigger("orders", "paid", 1, socket_id=sender.socket_id)
    await world.hub.trigger("orders", "paid", 2)
    assert [await the_next(theirs), await the_next(theirs)] == [1, 2]
    assert await the_next(mine) == 2


async def private_channel(world: World) -> None:
    client = await world.client()
    team = await client.subscribe("private-team")
    await world.hub.trigger("private-team", "note", "plain text")
    assert await the_next(team) == "plain text"


async def encrypted_channel(world: World) -> None:
    client = await world.client()
    vault = await client.subscribe("private-encrypted-vault")
    for data in ({"id": 7, "note": "café"}, "plain text"):
        await world.hub.trigger("private-encrypted-vault", "note", data)
        assert await the_next(vault) == data
    with pytest.raises(UsageError, match="not supported on encrypted channels"):
        await vault.trigger("client-note", {})
    await world.hub.publish([CheckedEvent(("private-encrypted-vault",), "note", "{}", None, ())])
    await world.hub.trigger("private-encrypted-vault", "note", 1)
    assert (await the_next(vault), vault.undecrypted) == (1, 1)


async def presence_channel(world: World) -> None:
    ada, bob = await world.client(), await world.client()
    room = await ada.subscribe("presence-room", user_id="1", user_info={"name": "Ada"})
    seen: list[str] = []
    room.bind("pusher:member_added", lambda event: seen.append(f"+{event.data.id}"))
    room.bind("pusher:member_removed", lambda event: seen.append(f"-{event.data.id}"))
    other = await bob.subscribe("presence-room", user_id="2")
    assert other.members.count == 2
    assert other.members.me is not None
    assert other.members.get("1") is not None
    await other.unsubscribe()
    await bob.subscribe("barrier")  # its acknowledgement shows that the unsubscribe before it is done
    await world.hub.settle()
    await world.hub.trigger("presence-room", "marker", 0)
    assert await the_next(room) == 0
    assert (seen, [member.id for member in room.members]) == (["+2", "-2"], ["1"])


async def client_events(world: World) -> None:
    ada, bob = await world.client(), await world.client()
    mine = await ada.subscribe("presence-room", user_id="1")
    theirs = await bob.subscribe("presence-room", user_id="2")
    await mine.trigger("client-typing", {"who": "ada"})
    event = await anext(aiter(theirs))
    assert (event.event, event.data, event.user_id) == ("client-typing", {"who": "ada"}, "1")


async def refused_subscription(world: World) -> None:
    client = await world.client()
    with pytest.raises(SubscriptionRefused, match="Invalid signature") as refused:
        await client.subscribe("private-team", auth={"auth": "app-key:bad"})
    assert refused.value.channel == "private-team"
    assert (await client.subscribe("private-team")).subscribed


async def other_refusals(world: World) -> None:
    client = await world.client()
    orders = await client.subscribe("orders")
    await orders.trigger("client-x", {})  # refused: a public channel
    assert (await client.subscribe("other")).subscribed


async def sign_in(world: World) -> None:
    client = await world.client()
    mine = await client.signin("u-42", {"name": "Ada"})
    await world.hub.send_to_user("u-42", "notice", {"text": "hi"})
    assert await the_next(mine) == {"text": "hi"}


async def leaving_a_channel(world: World) -> None:
    client = await world.client()
    orders = await client.subscribe("orders")
    await orders.unsubscribe()
    await client.subscribe("barrier")  # as above
    assert (await world.hub.trigger("orders", "paid", 1)).delivered == 0
    assert [event async for event in orders] == []


class Paid(msgspec.Struct):
    id: int
    amount: float


async def typed_events(world: World) -> None:
    client = await world.client()
    orders = await client.subscribe("orders")
    await world.hub.trigger("orders", "other", "no order")
    await world.hub.trigger("orders", "paid", {"id": 7, "amount": 9.5})
    assert await anext(aiter(orders.events(Paid, "paid"))) == Paid(7, 9.5)


async def cache_channels(world: World) -> None:
    early, late = await world.client(), await world.client()
    missed: list[Any] = []
    bus = await early.subscribe("cache-bus")
    bus.bind("pusher:cache_miss", missed.append)
    await world.hub.trigger("cache-bus", "position", {"lat": 1})
    assert await the_next(bus) == {"lat": 1}  # and no miss in the queue before it
    assert [event.data for event in missed] == [{}]
    bus.bind("pusher:cache_miss", missed.append)
    assert len(missed) == 1  # was told once
    assert await the_next(await late.subscribe("cache-bus")) == {"lat": 1}


SCENARIOS = [
    public_channel,
    all_but_the_sender,
    private_channel,
    encrypted_channel,
    presence_channel,
    client_events,
    cache_channels,
    refused_subscription,
    other_refusals,
    sign_in,
    leaving_a_channel,
    typed_events,
]
