"""`relay serve --webhook`: what it sends is what the official SDKs, and ours, take for genuine."""

from __future__ import annotations

import json
from typing import Any

import pusher
import pytest

from relay import App
from relay.protocol import signing
from relay_transports.aiohttp import RestClient
from tests.integration.hostile import Asked, Hostile, hostile, says
from tests.integration.wire import Wire, websocket
from tests.unit.command import CREDENTIALS, port_in, serving

APP = App(id="1001", key="app-key", secret="hush-hush")
CREDENTIALS_OF = {"app_id": APP.id, "key": APP.key, "secret": APP.secret}
ROOM = "presence-cache-room"
TOLD = ["channel_occupied", "member_added", "cache_miss", "client_event", "member_removed", "channel_vacated"]


async def visit(client: Wire) -> None:
    """Join a presence channel, say something, go."""
    socket_id = json.loads((await client.event())["data"])["socket_id"]
    member = json.dumps({"user_id": "u-42", "user_info": {"name": "Ad\u00e4"}})
    data = {"channel": ROOM, "auth": signing.sign_channel(APP, socket_id, ROOM, member), "channel_data": member}
    client.send(json.dumps({"event": "pusher:subscribe", "data": data}))
    while (await client.event())["event"] != "pusher:cache_miss":
        pass
    client.send(json.dumps({"event": "client-typing", "channel": ROOM, "data": {"who": "Ad\u00e4", "line": "\u2028"}}))


async def story(receiver: Hostile, *flags: str) -> list[Asked]:
    """What a receiver gets of a visit, the departure because the server is stopped."""
    with serving("--port", "0", *CREDENTIALS, "--client-events", *flags, "--webhook", receiver.url + "/hook") as (
        program,
        line,
    ):
        async with websocket(port_in(line), "/app/app-key?protocol=7") as client:
            await visit(client)
            await receiver.asked_times(4)
        program.terminate()
        await receiver.asked_times(6)
    return receiver.asked


def events_of(requests: list[Asked]) -> list[dict[str, Any]]:
    return [event for request in requests for event in request.json["events"]]


async def test_python_sdk_takes_every_request():
    async with hostile() as receiver:
        requests = await story(receiver)
    sdk: Any = pusher.Pusher(**CREDENTIALS_OF)
    for request in requests:
        key, signature = request.headers["x-pusher-key"], request.headers["x-pusher-signature"]
        assert sdk.validate_webhook(key, signature, request.body.decode()) == request.json
        assert sdk.validate_webhook(key, signature, request.body.decode() + " ") is None
    assert [event["name"] for event in events_of(requests)] == TOLD
    assert {request.target for request in requests} == {"/hook"}


async def test_npm_sdk_takes_every_request(run_node):
    async with hostile() as receiver:
        requests = await story(receiver)
    sdk = run_node("webhook.mjs", json.dumps({"appId": APP.id, "key": APP.key, "secret": APP.secret}))
    for request in requests:
        told = sdk.ask({"headers": request.headers, "body": request.body.decode()})
        assert told == {"valid": True, **request.json}
        assert sdk.ask({"headers": request.headers, "body": request.body.decode() + " "}) == {"valid": False}
    said = next(event for event in events_of(requests) if event["name"] == "client_event")
    assert json.loads(said["data"]) == {"who": "Ad\u00e4", "line": "\u2028"}
    assert said["user_id"] == "u-42"


async def test_our_own_client_takes_every_request_of_a_receiver_that_failed_first():
    async with hostile(says(500)) as receiver:
        first, again, *rest = await story(receiver)
    assert first.body == again.body
    client = RestClient(APP, "http://host")
    names = [event.name for asked in (again, *rest) for event in client.webhook(asked.headers, asked.body).events]
    assert names == TOLD[: len(names)]
    await client.aclose()


async def test_forbidden_private_addresses_get_nothing(capfd):
    async with hostile() as receiver:
        with serving("--port", "0", *CREDENTIALS, "--no-webhook-private-addresses", "--webhook", receiver.url) as (
            program,
            line,
        ):
            async with websocket(port_in(line), "/app/app-key?protocol=7") as client:
                await client.event()
                client.send('{"event":"pusher:subscribe","data":{"channel":"orders"}}')
                await client.event()
            program.terminate()
            program.wait(30)
        assert receiver.asked == []


@pytest.mark.parametrize("url", ["ftp://a", "https://u:sesame@a/"])
def test_address_that_cannot_be_is_told(url, capsys):
    from relay.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["serve", *CREDENTIALS, "--webhook", url])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert "argument --webhook: a webhook's url must look like" in told
    assert "sesame" not in told
