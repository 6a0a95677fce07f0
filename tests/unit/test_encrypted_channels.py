"""Encrypted channels over hub and client: who reads what, and what becomes of an event that cannot be read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
import pytest

from relay import App, Event, Hub, Member, UsageError
from relay.client import ServerError, Settings, SubscriptionRefused
from relay.protocol.encryption import encrypt, master_key, shared_secret, tell_secret
from relay.protocol.events import CheckedEvent
from relay.testing import Kit
from relay.testing.asserting import AssertingChannel
from relay.testing.kit import DEFAULT_APP
from relay_transports.inprocess import connect, connect_raw

pytestmark = pytest.mark.every_loop

VAULT, OTHER = "private-encrypted-vault", "private-encrypted-other"
OLD = shared_secret(master_key(DEFAULT_APP), VAULT)
NEW = shared_secret(b"n" * 32, VAULT)
NONCES = iter(range(1 << 30))


@dataclass
class Endpoint:
    """An auth endpoint that tells what `secrets` holds for a channel, if anything; None is no secret at all."""

    relay: Kit
    secrets: dict[str, str | None] = field(default_factory=dict)
    trouble: Exception | None = None
    asked: list[str] = field(default_factory=list)

    async def authorize(self, socket_id: str, channel: str, member: Member | None) -> Mapping[str, str]:
        self.asked.append(channel)
        if self.trouble is not None:
            raise self.trouble
        answer = {**self.relay.hub.authorize_channel(socket_id, channel), **self.secrets}
        return {name: value for name, value in answer.items() if value is not None}

    def rotate(self) -> None:
        """From now on the channel has another secret."""
        self.secrets["shared_secret"] = tell_secret(NEW)

    async def enter(self, *channels: str, **settings: int) -> list[AssertingChannel]:
        client = await self.relay.connect(settings=Settings(authorize=self.authorize, reconnect=None, **settings))  # type: ignore[arg-type]
        return [await client.subscribe(channel) for channel in channels]


@pytest.fixture
def endpoint(relay: Kit) -> Endpoint:
    return Endpoint(relay)


def sealed(secret: bytes, n: int) -> str:
    """What somebody else publishes: `{"n": n}`, encrypted."""
    return encrypt(secret, json.dumps({"n": n}), next(NONCES).to_bytes(24))


async def relayed(relay: Kit, *data: str, channel: str = VAULT) -> None:
    """Publish as the REST API does: the hub does not look inside."""
    await relay.hub.publish([CheckedEvent((channel,), "paid", text, None, ()) for text in data])


def errors_of_client(relay: Kit) -> list[ServerError]:
    """What the newest client is told."""
    errors: list[ServerError] = []
    relay.clients[-1].connection.bind("error", errors.append)
    return errors


# The hub's part


async def test_hub_encrypts_and_the_kits_clients_read(relay):
    client = await relay.connect()
    vault = await client.subscribe(VAULT)
    for data in ({"n": 1}, "plain", "", [None]):
        await relay.hub.trigger(VAULT, "paid", data)
        assert (await vault.expect("paid")).data == data
    assert "plain" not in str(relay.transcript)


async def test_what_the_hub_sends_holds_nonce_and_ciphertext_alone(relay):
    async with connect_raw(relay.hub) as client:
        await client.subscribe(VAULT)
        await relay.hub.trigger(VAULT, "paid", {"n": 1})
        _, paid = await client.received()
    assert paid.text.startswith(b'{"event":"paid","channel":"private-encrypted-vault","data":"{\\"nonce\\":')
    assert sorted(paid.data) == ["ciphertext", "nonce"]


async def test_published_shows_what_was_encrypted(relay):
    await relay.hub.trigger(VAULT, "paid", {"n": 1})
    await relayed(relay, sealed(OLD, 2), sealed(NEW, 3))
    one, two, three = (event.data for event in relay.published(VAULT))
    assert (one, two, sorted(three)) == ({"n": 1}, {"n": 2}, ["ciphertext", "nonce"])


async def test_sender_is_excluded_and_batches_are_encrypted(relay):
    sender, other = await relay.connect(), await relay.connect()
    mine, theirs = await sender.subscribe(VAULT), await other.subscribe(VAULT)
    batch = [Event(VAULT, "paid", 1, sender.socket_id), Event("orders", "paid", 2), Event(VAULT, "paid", 3)]
    await relay.hub.trigger_batch(batch)
    assert [(await theirs.expect("paid")).data for _ in range(2)] == [1, 3]
    assert (await mine.expect("paid")).data == 3


async def test_one_encrypted_channel_among_others_and_nothing_is_published(relay):
    with pytest.raises(UsageError, match="You cannot trigger to multiple channels when using encrypted channels"):
        await relay.hub.trigger_batch([Event("orders", "paid"), Event(["orders", VAULT], "paid")])
    assert relay.published() == []


async def test_hub_without_a_master_key_says_what_is_missing(relay_factory):
    relay = relay_factory(App(id="7", key="k", secret="s"))
    client = await relay.connect()
    for refused in (
        lambda: relay.hub.trigger(VAULT, "paid", {}),
        lambda: client.subscribe(VAULT),
    ):
        with pytest.raises(UsageError, match="need the master key of App 7: set encryption_master_key"):
            await refused()
    assert client.channels == {}
    await client.subscribe("private-team")


async def test_authorization_holds_the_secret_and_only_for_encrypted_channels(relay):
    answer = relay.hub.authorize_channel("1.2", VAULT)
    assert answer["shared_secret"] == tell_secret(OLD)
    assert answer["auth"].startswith("test-key:")
    assert sorted(relay.hub.authorize_channel("1.2", "private-team")) == ["auth"]


async def test_secret_never_goes_to_the_server(relay, endpoint):
    await endpoint.enter(VAULT)
    assert tell_secret(OLD) not in str(relay.transcript)
    assert "shared_secret" not in str(relay.transcript)


# The client's part


async def test_client_events_are_refused(relay):
    vault = await (await relay.connect()).subscribe(VAULT)
    with pytest.raises(UsageError, match="not supported on encrypted channels"):
        await vault.trigger("client-hi", {})
    assert "client-hi" not in str(relay.transcript)


@pytest.mark.parametrize(
    ("secret", "says"), [(None, "gave no shared_secret"), ("AAAA", "32 bytes, got 3"), ("%", "base64 text")]
)
async def test_subscription_without_a_secret_is_refused(relay, endpoint, secret, says):
    endpoint.secrets["shared_secret"] = secret
    with pytest.raises(SubscriptionRefused, match=says):
        await endpoint.enter(VAULT)
    assert await relay.hub.channels() == {}


async def test_ready_answer_of_an_auth_endpoint_is_enough(relay):
    client = await relay.connect()
    vault = await client.subscribe(VAULT, auth=relay.hub.authorize_channel(client.socket_id, VAULT))
    await relay.hub.trigger(VAULT, "paid", 1)
    assert (await vault.expect("paid")).data == 1


async def test_changed_secret_is_asked_for_once_and_nothing_is_lost(relay, endpoint):
    [vault] = await endpoint.enter(VAULT)
    errors = errors_of_client(relay)
    endpoint.rotate()
    await relayed(relay, *(sealed(NEW, n) for n in range(5)))
    assert [(await vault.expect("paid")).data["n"] for _ in range(5)] == list(range(5))
    assert (endpoint.asked, errors, vault.undecrypted) == ([VAULT] * 2, [], 0)


async def test_events_of_other_channels_do_not_wait(relay, endpoint):
    vault, orders = await endpoint.enter(VAULT, "orders")
    seen: list[str] = []
    for channel in vault, orders:
        channel.bind("paid", lambda event: seen.append(event.channel))
    endpoint.rotate()
    await relayed(relay, sealed(NEW, 1))
    await relay.hub.trigger("orders", "paid", 2)
    await relay.quiet()
    assert seen == ["orders", VAULT]


async def test_event_of_another_secret_is_told_and_dropped_after_asking_once(relay, endpoint):
    [vault] = await endpoint.enter(VAULT)
    errors = errors_of_client(relay)
    await relayed(relay, sealed(OLD, 1), sealed(NEW, 2), sealed(OLD, 3))
    assert [(await vault.expect("paid")).data["n"] for _ in range(2)] == [1, 3]
    await vault.expect_nothing()
    why = f"paid on {VAULT} could not be decrypted: it was encrypted with another secret, or changed on its way"
    assert (errors, vault.undecrypted, endpoint.asked) == ([ServerError(why, None)], 1, [VAULT] * 2)


@pytest.mark.parametrize(
    "data",
    [
        "plain",
        "{}",
        '{"nonce":"AAAA","ciphertext":"AAAA"}',
        '{"nonce":"%","ciphertext":7}',
        sealed(OLD, 1).replace('{"nonce":"', '{"nonce":"A'),
        sealed(OLD, 1)[:-12] + '"}',
    ],
)
async def test_what_is_no_encrypted_event_is_told_and_asks_nobody(relay, endpoint, data):
    vault, orders = await endpoint.enter(VAULT, "orders")
    errors = errors_of_client(relay)
    await relayed(relay, data, sealed(OLD, 2))
    await relay.hub.trigger("orders", "paid", 3)
    assert (await vault.expect("paid")).data == {"n": 2}
    assert (await orders.expect("paid")).data == 3
    assert [error.message.startswith(f"paid on {VAULT} could not be decrypted: ") for error in errors] == [True]
    assert (vault.undecrypted, endpoint.asked) == (1, [VAULT])
    assert relay.hub.check() == []


async def test_what_can_be_read_does_not_wait_for_what_cannot(relay, endpoint):
    [vault] = await endpoint.enter(VAULT)
    seen: list[object] = []
    vault.bind("paid", lambda event: seen.append(event.data["n"]))
    endpoint.rotate()
    await relayed(relay, sealed(NEW, 1), sealed(OLD, 2), sealed(NEW, 3), sealed(OLD, 4))
    await relay.quiet()
    assert (seen, endpoint.asked) == ([2, 4, 1, 3], [VAULT] * 2)


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (SubscriptionRefused(VAULT, "auth endpoint answered 500", 500), "auth endpoint answered 500"),
        (ValueError("of the application"), "ValueError"),
    ],
)
async def test_endpoint_that_cannot_answer_costs_the_event_and_not_the_channel(relay, endpoint, trouble, says):
    [vault] = await endpoint.enter(VAULT)
    errors = errors_of_client(relay)
    endpoint.trouble = trouble
    await relayed(relay, sealed(NEW, 1), sealed(OLD, 2))
    assert (await vault.expect("paid")).data == {"n": 2}
    await vault.expect_nothing()
    [error] = errors
    assert "and asking for a new secret failed: " in error.message
    assert says in error.message
    assert "of the application" not in error.message
    endpoint.trouble = None
    endpoint.rotate()
    await relayed(relay, sealed(NEW, 3))
    assert (await vault.expect("paid")).data == {"n": 3}


async def test_what_waits_for_a_new_secret_is_bounded(relay, endpoint):
    [vault] = await endpoint.enter(VAULT, max_queued=3)
    errors = errors_of_client(relay)
    endpoint.rotate()
    await relayed(relay, *(sealed(NEW, n) for n in range(5)))
    assert [(await vault.expect("paid")).data["n"] for _ in range(3)] == [0, 1, 2]
    assert [error.message.endswith("3 others wait for a new secret") for error in errors] == [True, True]
    assert (vault.undecrypted, endpoint.asked) == (2, [VAULT] * 2)


async def test_endpoint_that_hangs_holds_up_nobody():
    hub, answer, asked = Hub(DEFAULT_APP), anyio.Event(), []

    async def authorize(socket_id: str, channel: str, member: Member | None) -> Mapping[str, str]:
        asked.append(channel)
        if asked.count(VAULT) > 1:
            await answer.wait()
        return hub.authorize_channel(socket_id, channel)

    async with hub, connect(hub, authorize=authorize) as client:
        vault, orders = await client.subscribe(VAULT), await client.subscribe("orders")
        for n, secret in enumerate((NEW, OLD)):
            await hub.publish([CheckedEvent((VAULT,), "paid", sealed(secret, n), None, ())])
        await hub.trigger("orders", "paid", 2)
        assert (await anext(vault)).data == {"n": 1}
        assert (await anext(orders)).data == 2
        assert vault.undecrypted == 0
        answer.set()
        await hub.settle()
        assert (vault.undecrypted, asked) == (1, [VAULT] * 2)


async def test_unsubscribed_while_asking_ends_well(relay, endpoint):
    [vault] = await endpoint.enter(VAULT)
    errors = errors_of_client(relay)
    await relayed(relay, sealed(NEW, 1))
    await vault.unsubscribe()
    await relay.settle()
    assert (errors, vault.queued(), relay.hub.check()) == ([], [], [])


async def test_reconnect_brings_the_new_secret(relay):
    endpoint = Endpoint(relay)
    client = await relay.connect(settings=Settings(authorize=endpoint.authorize))
    vault = await client.subscribe(VAULT)
    endpoint.rotate()
    relay.lose_node()
    relay.restore_node()
    await relay.clock.advance(30)
    await relayed(relay, sealed(NEW, 1))
    assert (await vault.expect("paid")).data == {"n": 1}
    assert endpoint.asked == [VAULT] * 2


async def test_events_of_the_protocol_are_not_decrypted(relay, endpoint):
    [vault] = await endpoint.enter(VAULT)
    relay.clients[-1].feed(json.dumps({"event": "pusher:cache_miss", "channel": VAULT, "data": "{}"}).encode())
    assert (await vault.expect("pusher:cache_miss")).data == {}
    assert vault.undecrypted == 0


async def test_cached_event_is_read_by_whoever_comes_later(relay):
    cached = "private-encrypted-cache-vault"
    await relay.hub.trigger(cached, "paid", {"n": 1})
    vault = await (await relay.connect()).subscribe(cached)
    assert (await vault.expect("paid")).data == {"n": 1}
