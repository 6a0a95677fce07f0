"""Type-checked, and run: application code takes a Publisher and does not know which it got."""

from __future__ import annotations

import asyncio

from aiohttp import web

from relay import App, Event, Hub
from relay.client import Publisher
from relay_transports.aiohttp import RestClient, setup

APP = App(id="1001", key="app-key", secret="app-secret")


async def pay(publisher: Publisher, order: int) -> int | None:
    await publisher.trigger_batch([Event("orders", "paid", {"id": order}), Event("audit", "paid", {"id": order})])
    accepted = await publisher.trigger("orders", "counted", "", info=["subscription_count"])
    channel = await publisher.channel("orders", info=["subscription_count"])
    assert accepted.info["orders"]["subscription_count"] == channel.subscription_count
    return channel.subscription_count


async def main() -> None:
    hub = Hub(APP)
    app = web.Application()
    setup(app, hub)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with RestClient(APP, f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
        assert await pay(hub, 7) == await pay(client, 7) == 0
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
