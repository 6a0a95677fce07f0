import pytest
from fastapi_shop import app, pusher_client
from httpx import ASGITransport, AsyncClient
from pusher import Pusher

from relay_transports.aiohttp import connect


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def shop(relay_server, monkeypatch):
    monkeypatch.setitem(app.dependency_overrides, pusher_client, lambda: Pusher(**relay_server.pusher))
    return AsyncClient(transport=ASGITransport(app), base_url="http://shop.example")


@pytest.mark.anyio
async def test_everyone_but_the_payer_hears_of_a_payment(shop, relay_server):
    async with shop, connect(relay_server.ws_url) as payer, connect(relay_server.ws_url) as clerk:
        await payer.subscribe("pay_channel")
        orders = await clerk.subscribe("pay_channel")

        await shop.post("/pay", headers={"X-Socket-ID": payer.socket_id})

        assert (await anext(orders)).data == {"message": "pay success!"}
        [published] = relay_server.published("pay_channel")
        assert published.receipt.channels["pay_channel"].excluded == 1
