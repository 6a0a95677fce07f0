"""`examples/embed/app.py`, run as its readers would."""

import importlib.util
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from relay_transports.aiohttp import HUB
from relay_transports.inprocess import connect

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed" / "app.py"


@pytest.fixture
async def client():
    spec = importlib.util.spec_from_file_location("embed_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with TestClient(TestServer(module.build())) as client:
        yield client


async def test_everybody_hears_of_a_payment_but_the_one_who_paid(client):
    hub = client.app[HUB]
    async with connect(hub) as payer, connect(hub) as clerk:
        paid, seen = await payer.subscribe("pay_channel"), await clerk.subscribe("pay_channel")
        answer = await client.post("/pay", headers={"X-Socket-ID": payer.socket_id})
        assert await answer.json() == {"delivered": 1}
        assert (await anext(seen)).data == {"message": "pay success!"}
        assert paid.queued() == []


async def test_a_socket_id_that_is_none_is_the_pages_mistake(client):
    answer = await client.post("/pay", headers={"X-Socket-ID": "me"})
    assert (answer.status, await answer.text()) == (
        400,
        "Invalid socket id 'me': should be two integers joined by a dot",
    )


@pytest.mark.parametrize(
    ("user", "channel", "status"), [("ada", "presence-a", 200), ("", "presence-a", 403), ("ada", "private-staff", 403)]
)
async def test_the_authorizer_decides_who_may_join(client, user, channel, status):
    form = {"socket_id": "1.2", "channel_name": channel}
    answer = await client.post("/pusher/auth", data=form, headers={"X-User": user})
    assert answer.status == status
