"""Type-checked, and run: a program that hears what happens in its hub; what it hears has the type it asked for."""

from __future__ import annotations

import asyncio

import msgspec

from relay import App, EventStream, FactStream, Hub, Listener, ReceivedEvent
from relay.facts import ChannelOccupied, ChannelVacated, Fact, Missed, UserOffline, UserOnline, UserStatus

hub = Hub(App(id="1001", key="app-key", secret="app-secret"))
told: list[str] = []


class Order(msgspec.Struct):
    id: int


@hub.on_user_offline
async def offline(fact: UserOffline) -> None:
    told.append(f"{fact.user_id} is offline")


@hub.on(UserStatus, app="1001")
async def status(fact: UserStatus) -> None:
    told.append(f"{fact.user_id} is {'here' if isinstance(fact, UserOnline) else 'away'}")


@hub.on(ChannelVacated, channel="private-*")
def vacated(fact: ChannelVacated) -> None:
    told.append(f"{fact.channel} is empty")


@hub.on(UserOnline)
def everything(fact: Fact) -> None:  # what takes any fact takes this one too
    told.append(type(fact).__name__)


async def read(stream: FactStream[ChannelOccupied]) -> str:
    fact = await anext(stream)
    return str(fact.count) if isinstance(fact, Missed) else fact.channel


async def main() -> None:
    listener: Listener[ChannelOccupied] = hub.on(ChannelOccupied, lambda fact: told.append(fact.channel))
    events: EventStream
    async with hub, hub.subscribe("orders") as events, hub.facts(ChannelOccupied) as stream, hub.facts():
        reading = asyncio.create_task(read(stream))
        await hub.trigger("orders", "paid", Order(7))
        event: ReceivedEvent = await anext(events)
        order: Order = event.decode(Order)
        assert (order.id, listener.missed, told) == (7, 0, [])
        reading.cancel()
    listener()


if __name__ == "__main__":
    asyncio.run(main())
