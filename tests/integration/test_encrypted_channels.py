"""Encrypted channels over HTTP and sockets: the REST client encrypts, the hub looks into nothing (protocol 8.3)."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from relay import App, Event, Hub, UsageError
from relay.client import ServerError, Settings
from relay_transports.aiohttp import RestClient, connect
from relay_transports.inprocess import connect as connect_inprocess
from relay_transports.inprocess import connect_raw
from tests.integration.serving import Served, serving
from tests.integration.worlds import APP

VAULT = "private-encrypted-vault"
OTHER_KEY = "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
KEYLESS = App(id=APP.id, key=APP.key, secret=APP.secret)
OPAQUE = ["plain", "{}", '{"nonce":"AAAA","ciphertext":"AAAA"}', '{"nonce": 1, "ciphertext": [] }']


async def anybody(request: object, channel: str) -> bool:
    return True


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(Hub(APP), authorize=anybody) as served:
        yield served


def rest(served: Served, app: App = APP) -> RestClient:
    return RestClient(app, f"http://127.0.0.1:{served.port}", retries=0)


async def test_whatever_the_rest_client_publishes_is_encrypted(served):
    async with rest(served) as publisher, connect_inprocess(served.hub) as client:
        vault = await client.subscribe(VAULT)
        await publisher.trigger(VAULT, "paid", {"n": 1})
        batch = [Event(VAULT, "paid", {"n": 2}), Event("orders", "paid"), Event(VAULT, "paid", 3)]
        await publisher.trigger_batch(batch)
        publisher.trigger_soon(VAULT, "paid", "last")
        await publisher.flush()
        assert [(await anext(vault)).data for _ in range(4)] == [{"n": 1}, {"n": 2}, 3, "last"]


@pytest.mark.parametrize(
    ("app", "channels", "data", "says"),
    [
        (KEYLESS, VAULT, {}, "need the master key of App 1001: set encryption_master_key"),
        (APP, [VAULT, "orders"], {}, "cannot trigger to multiple channels when using encrypted channels"),
        (APP, VAULT, "x" * 8000, "encrypted: "),
    ],
)
async def test_rest_client_refuses_at_once_what_cannot_be_encrypted(served, app, channels, data, says):
    async with rest(served, app) as publisher:
        with pytest.raises(UsageError, match=says):
            await publisher.trigger(channels, "paid", data)
        with pytest.raises(UsageError, match=says):
            publisher.trigger_soon(channels, "paid", data)


async def test_rest_client_signs_what_the_hub_signs(served):
    async with rest(served) as publisher:
        answer = publisher.authorize_channel("1.2", VAULT)
    assert answer == served.hub.authorize_channel("1.2", VAULT)
    assert sorted(answer) == ["auth", "shared_secret"]


@pytest.mark.parametrize("app", [APP, KEYLESS], ids=["key", "no key"])
@pytest.mark.parametrize("data", OPAQUE)
async def test_hub_relays_what_others_encrypted_byte_for_byte(app, data):
    async with serving(Hub(app)) as served, rest(served) as publisher, connect_raw(served.hub) as client:
        auth = publisher.authorize_channel(client.socket_id, VAULT)["auth"]
        await client.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": VAULT, "auth": auth}}).encode())
        await publisher.post("/events", {"name": "paid", "channels": [VAULT], "data": data})
        _, paid = await client.received()
    assert json.loads(paid.text) == {"event": "paid", "channel": VAULT, "data": data}


async def test_several_encrypted_channels_of_one_request_are_relayed_as_hosted_does(served):
    async with rest(served) as publisher:
        body = {"name": "paid", "channels": [VAULT, VAULT + "-2", "orders"], "data": "{}"}
        assert await publisher.post("/events", body) == {}


async def test_client_event_of_a_client_that_sends_one_is_opaque_too(served):
    async with connect_raw(served.hub) as sender, connect_raw(served.hub) as reader:
        for client in sender, reader:
            await client.subscribe(VAULT)
        await sender.trigger(VAULT, "client-hi", OPAQUE[2])
        _, heard = await reader.received()
    assert (heard.event, json.loads(heard.text)["data"]) == ("client-hi", OPAQUE[2])


async def test_auth_endpoint_tells_the_secret(served):
    url = f"http://127.0.0.1:{served.port}/pusher/auth"
    async with aiohttp.ClientSession() as http:
        async with http.post(url, data={"socket_id": "1.2", "channel_name": VAULT}) as answer:
            assert await answer.json() == served.hub.authorize_channel("1.2", VAULT)
        async with http.post(url, data={"socket_id": "1.2", "channel_name": "private-team"}) as answer:
            assert list(await answer.json()) == ["auth"]


async def test_client_with_nobody_to_ask_for_a_new_secret_says_so(served):
    errors: list[ServerError] = []
    url = f"ws://127.0.0.1:{served.port}/app/{APP.key}"
    other = App(id=APP.id, key=APP.key, secret=APP.secret, encryption_master_key=OTHER_KEY)
    async with connect(url, settings=Settings(reconnect=None)) as client, rest(served, other) as publisher:
        client.connection.bind("error", errors.append)
        vault = await client.subscribe(VAULT, auth=served.hub.authorize_channel(client.socket_id, VAULT))
        await publisher.trigger(VAULT, "paid", 1)
        await served.hub.trigger(VAULT, "paid", 2)
        assert ((await anext(vault)).data, vault.undecrypted) == (2, 1)
    assert "there is nobody to ask" in errors[0].message


async def test_what_arrives_while_the_client_closes_ends_well(served):
    url = f"ws://127.0.0.1:{served.port}/app/{APP.key}"
    endpoint = f"http://127.0.0.1:{served.port}/pusher/auth"
    other = App(id=APP.id, key=APP.key, secret=APP.secret, encryption_master_key=OTHER_KEY)
    async with rest(served, other) as publisher:
        async with connect(url, auth_endpoint=endpoint) as client:
            vault, orders = await client.subscribe(VAULT), await client.subscribe("orders")
            await publisher.trigger(VAULT, "paid", 1)
            await publisher.trigger("orders", "paid", 2)
            await anext(orders)
        assert [event async for event in vault] == []
