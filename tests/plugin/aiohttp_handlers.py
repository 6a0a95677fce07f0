"""Only for pytest-aiohttp: its `aiohttp_client` asks an application, the clients of the hub are in-process."""

from aiohttp import web

from relay import Hub

HUB = web.AppKey("HUB", Hub)


async def pay(request: web.Request) -> web.Response:
    receipt = await request.app[HUB].trigger(
        "pay_channel", "pay_notify", "paid", socket_id=request.headers.get("X-Socket-ID")
    )
    return web.json_response({"delivered": receipt.delivered})


async def test_a_handler_announces_the_payment(aiohttp_client, relay):
    app = web.Application()
    app[HUB] = relay.hub
    app.router.add_post("/pay", pay)
    http, payer, clerk = await aiohttp_client(app), await relay.connect(), await relay.connect()
    mine, orders = await payer.subscribe("pay_channel"), await clerk.subscribe("pay_channel")

    async with http.post("/pay", headers={"X-Socket-ID": payer.socket_id}) as response:
        assert await response.json() == {"delivered": 1}

    await orders.expect("pay_notify")
    await mine.expect_nothing()
