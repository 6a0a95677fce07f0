"""Encrypted channels: what one party encrypts the others read, whoever told the secret; the hub relays it unread."""

import base64
from collections.abc import Callable

import pytest

from relay.client import Client, ServerError, Settings
from relay_transports.aiohttp import RestClient, connect

from .application import APP
from .sdks import Rejected

VAULT, OTHER = "private-encrypted-vault", "private-encrypted-other"
NEW_KEY = base64.b64encode(b"n" * 32).decode()
DATA = {"id": 7, "note": "café"}
PUBLISHERS = ["hub", "rest", "pypi", "npm"]
ENDPOINTS = ["/pusher/auth", "/auth/hub", "/auth/pypi"]

Publish = Callable[[str | list[str], str, object], object]


@pytest.fixture
def publisher(site, make_sdk) -> Callable[[str], Publish]:
    """`publisher("npm")` is the `trigger` of one of those who may publish."""

    def publisher(who: str) -> Publish:
        if who in ("pypi", "npm"):
            trigger: Publish = make_sdk(who).trigger
            return trigger
        return lambda *event: site.run(site.hub.trigger if who == "hub" else over_rest, *event)

    async def over_rest(channels, event, data):
        async with RestClient(APP, site.url()) as client:
            return await client.trigger(channels, event, data)

    return publisher


@pytest.fixture
def page(open_client):
    """`page(channel, auth=...)`: pusher-js with encryption in Chromium, subscribed."""

    def page(*channels, auth="/pusher/auth"):
        client = open_client("8.6.0", build="pusher-with-encryption", auth=auth)
        for channel in channels:
            client.subscribe(channel)
        return client

    return page


@pytest.fixture
def own_client(site):
    """`own_client(channel, auth=...)`: Relay's own channel over a socket, and the errors that its client was told."""
    clients: list[Client] = []

    def own_client(channel, auth="/pusher/auth"):
        return site.run(enter, channel, auth)

    async def enter(channel, auth):
        url = f"ws://127.0.0.1:{site.port}/app/{APP.key}"
        client = await connect(
            url, auth_endpoint=site.url(auth), auth_headers={"X-User": "ada"}, settings=Settings(reconnect=None)
        )
        clients.append(client)
        errors: list[ServerError] = []
        client.connection.bind("error", errors.append)
        return await client.subscribe(channel), errors

    yield own_client
    for client in clients:
        site.run(client.close)


@pytest.fixture
def everybody(subscribe, page, own_client):
    """`everybody(auth)`: a subscriber of each kind, the one in Node to orders too."""
    return lambda auth: (subscribe(VAULT, "orders", auth=auth), page(VAULT, auth=auth), *own_client(VAULT, auth))


@pytest.mark.parametrize("who", PUBLISHERS)
@pytest.mark.parametrize("data", [DATA, "as it is"], ids=["object", "string"])
def test_pusher_js_in_node_reads_what_anybody_encrypts(who, data, publisher, subscribe):
    subscriber = subscribe(VAULT)
    publisher(who)(VAULT, "paid", data)
    assert subscriber.wait_for(event="paid") == {"channel": VAULT, "event": "paid", "data": data}


@pytest.mark.parametrize("who", PUBLISHERS)
def test_pusher_js_in_a_browser_reads_what_anybody_encrypts(who, publisher, page):
    client = page(VAULT)
    publisher(who)(VAULT, "paid", DATA)
    assert client.wait_for("paid") == DATA


@pytest.mark.parametrize("who", PUBLISHERS)
@pytest.mark.parametrize("data", [DATA, "as it is"], ids=["object", "string"])
def test_our_client_reads_what_anybody_encrypts(who, data, site, publisher, own_client):
    vault, errors = own_client(VAULT)
    publisher(who)(VAULT, "paid", data)
    event = site.run(anext, vault)
    assert (event.event, event.data, errors) == ("paid", data, [])
    assert b"ciphertext" in event.text


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_secret_comes_from_any_auth_endpoint(endpoint, site, publisher, page, own_client):
    client, (vault, _) = page(VAULT, auth=endpoint), own_client(VAULT, endpoint)
    publisher("hub")(VAULT, "paid", DATA)
    assert client.wait_for("paid") == DATA
    assert site.run(anext, vault).data == DATA


def test_secret_of_the_npm_sdk_is_the_hubs(site, make_sdk):
    answer = make_sdk("npm").call("authorizeChannel", "183923.7465120", VAULT)
    assert answer == site.hub.authorize_channel("183923.7465120", VAULT)
    assert answer["shared_secret"] == "wp8Orjt2S4H4n8dDP7pa2A9reduRTTedbaiVnjqomsc="


def test_batches_of_the_sdks_are_encrypted_event_by_event(sdk, subscribe):
    subscriber = subscribe(VAULT, "orders")
    sdk.trigger_batch([{"channel": name, "name": "paid", "data": {"to": name}} for name in (VAULT, "orders")])
    for name in VAULT, "orders":
        assert subscriber.wait_for(event="paid") == {"channel": name, "event": "paid", "data": {"to": name}}


@pytest.mark.parametrize("who", PUBLISHERS)
def test_encrypted_channel_stands_alone_with_every_publisher(who, publisher):
    with pytest.raises((ValueError, Rejected), match="cannot trigger to multiple channels when using encrypted"):
        publisher(who)([VAULT, "orders"], "paid", DATA)


@pytest.mark.parametrize("source", ["pypi", "npm"])
def test_all_ask_for_the_new_secret_when_the_master_key_has_changed(source, site, make_sdk, everybody):
    node, browser, vault, errors = everybody("/auth/pypi")
    site.encrypt_with(NEW_KEY)
    sdk = make_sdk(source, master_key=NEW_KEY)
    with browser.page.expect_response("**/auth/pypi"):
        sdk.trigger(VAULT, "paid", DATA)
    assert node.wait_for(event="paid")["data"] == DATA
    assert browser.wait_for("paid") == DATA
    assert (site.run(anext, vault).data, errors) == (DATA, [])


def test_event_of_another_master_key_is_dropped_and_all_else_goes_on(site, make_sdk, everybody, caplog):
    node, browser, vault, errors = everybody("/pusher/auth")
    with browser.page.expect_response("**/pusher/auth"):
        make_sdk("pypi", master_key=NEW_KEY).trigger(VAULT, "lost", DATA)
    sdk = make_sdk("npm")
    for channel in "orders", VAULT:
        sdk.trigger(channel, "paid", DATA)
        assert node.next() == {"channel": channel, "event": "paid", "data": DATA}
    assert browser.wait_for("paid") == DATA
    assert "lost" not in dict(browser.events())
    assert (site.run(anext, vault).event, vault.undecrypted, len(errors)) == ("paid", 1, 1)
    assert [record.getMessage() for record in caplog.records] == ["an event could not be decrypted"]
    caplog.clear()
