"""Whom a server's error is about: who asked for what it speaks of, and nobody where that cannot be told."""

import pytest

from relay.client.blame import NOBODY, Blame, blame
from relay.client.subscriber import RefusedByServer, Subscriber
from relay.protocol import messages

SOCKET = "183923.7465120"
SIGNATURE = f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET}:"
OTHERS = [
    "Client event rejected - only supported on private and presence channels",
    "Cannot broadcast client event (connection not subscribed to channel orders)",
    "To send client events, you must enable this feature in the Settings page of your dashboard.",
    "Invalid client event (must contain channel and data)",
    "The data content of this event exceeds the allowed maximum (10240 bytes).",
    "No current subscription to channel orders, or subscription in progress",
    "Unsupported event received on socket: orders",
    "Received invalid JSON",
    "The app does not have client messaging enabled.",
]


@pytest.mark.parametrize("message", OTHERS)
@pytest.mark.parametrize("signing_in", [True, False])
def test_an_error_about_something_else_is_nobodys_even_if_it_names_a_channel(message, signing_in):
    assert blame(message, None, asked=["orders"], signing_in=signing_in) == NOBODY
    assert blame("Client event rejected due to rate limit", 4301, asked=["orders"], signing_in=signing_in) == NOBODY


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ("Existing subscription to channel orders", "orders"),
        ("Auth info required to subscribe to private-a", "private-a"),
        ("Auth value for subscription to private-a is invalid: should be of format 'key:signature'", "private-a"),
        (f"{SIGNATURE}private-a, but got beef", "private-a"),
        (f'{SIGNATURE}presence-a:{{"user_id":"orders"}}, but got beef', "presence-a"),
        ("Over member limit: presence-a has 100 users, allowed are 100", "presence-a"),
        ("Invalid key in subscription auth data: 'orders' (subscription to private-a)", "private-a"),
        ("Invalid channel name 'no spaces': should be 1 to 200 characters", "no spaces"),
        ("Invalid channel name 'a\\nb': should be 1 to 200 characters", "a\nb"),
        ("user_info has 9 bytes, allowed are 8 (subscription to orders-2)", "orders-2"),
        ("Existing subscription to channel orders,2", "orders,2"),
    ],
)
def test_the_channel_that_is_named_is_meant(message, channel):
    asked = ["orders", "orders-2", "orders,2", "private", "private-a", "presence-a", "no spaces", "a\nb"]
    assert blame(message, None, asked=asked, signing_in=False) == Blame(channel)
    assert blame(message, None, asked=asked, signing_in=True) == Blame(channel)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Invalid key in subscription auth data: 'KEY'", None),
        ("user_info supplied to presence subscription is invalid - if supplied it must be a type of hash", None),
        ("Connection is unauthorized", 4009),
        ("no", 4100),
    ],
)
def test_an_error_about_subscribing_that_names_no_channel_is_about_the_only_one(message, code):
    assert blame(message, code, asked=["orders"], signing_in=False) == Blame("orders", guessed=True)
    assert blame(message, code, asked=["orders", "refunds"], signing_in=False) == NOBODY
    for other in ("something is wrong", "Auth info required to subscribe to private-a"):
        assert blame(other, None, asked=["orders"], signing_in=False) == NOBODY


@pytest.mark.parametrize(
    "message",
    [
        "Missing parameter: data.user",
        f'{SIGNATURE}:user::{{"id":"orders"}}, but got beef',
        "Auth value for signin is invalid: should be of format 'key:signature'",
        "Connection is signed in as ada already",
        "user_id has 129 characters, allowed are 128 (signin)",
    ],
)
def test_a_sign_in_is_known_by_its_words(message):
    assert blame(message, None, asked=["orders"], signing_in=True) == Blame(signin=True)
    assert blame(message, None, asked=["orders"], signing_in=False) == NOBODY


def test_words_that_are_not_known_are_about_a_sign_in_that_is_alone():
    assert blame("no such user", None, asked=[], signing_in=True) == Blame(signin=True)
    assert blame("no such user", None, asked=["orders"], signing_in=True) == NOBODY


@pytest.mark.parametrize("event", ["pusher:subscription_error", "pusher_internal:subscription_error"])
def test_an_error_that_is_called_one_of_a_subscription_is_that_whatever_it_says(event):
    subscriber = Subscriber()
    subscriber.subscribe("a", {})
    subscriber.subscribe("b", {})
    frame = {"event": event, "channel": "a", "data": {"error": "The rate limit is reached"}}
    happening, _ = subscriber.receive(messages.json_bytes(frame))
    assert happening == RefusedByServer("The rate limit is reached", None, "a")
    happening, _ = subscriber.receive(messages.json_bytes({**frame, "channel": "elsewhere"}))
    assert happening == RefusedByServer("The rate limit is reached", None, None)
    happening, _ = subscriber.receive(messages.json_bytes({"event": event, "data": "{}"}))
    assert happening == RefusedByServer("{}", None, "b", guessed=True)


# What was given up


def refused(subscriber, message):
    happening, _ = subscriber.receive(messages.error(message))
    assert isinstance(happening, RefusedByServer)
    return happening.channel


def test_the_refusal_of_a_channel_that_was_given_up_is_pinned_on_no_other():
    subscriber = Subscriber()
    subscriber.subscribe("private-a", {})
    subscriber.unsubscribe("private-a")
    subscriber.subscribe("private-b", {})
    assert refused(subscriber, "Invalid key in subscription auth data: 'KEY'") is None
    assert refused(subscriber, "Auth info required to subscribe to private-a") == "private-a"
    assert refused(subscriber, "Invalid key in subscription auth data: 'KEY'") == "private-b"


def test_each_answer_counts_for_one_subscribe_of_a_channel_that_was_asked_for_again():
    subscriber = Subscriber()
    subscriber.subscribe("private-a", {})
    subscriber.unsubscribe("private-a")
    subscriber.subscribe("private-a", {})
    assert refused(subscriber, "Auth info required to subscribe to private-a") is None
    assert refused(subscriber, "No current subscription to channel private-a, or subscription in progress") is None
    assert refused(subscriber, "Auth info required to subscribe to private-a") == "private-a"


def test_an_acknowledgement_of_the_first_and_a_refusal_of_the_second_is_a_refusal():
    subscriber = Subscriber()
    subscriber.subscribe("private-a", {})
    subscriber.unsubscribe("private-a")
    subscriber.subscribe("private-a", {})
    subscriber.receive(messages.subscription_succeeded("private-a"))
    assert refused(subscriber, "Auth info required to subscribe to private-a") == "private-a"


# The client


@pytest.mark.every_loop
async def test_an_error_about_a_client_event_refuses_no_subscribe(relay):
    client = await relay.connect()
    errors = []
    client.connection.bind("error", lambda error: errors.append(error.message))
    orders = await client.subscribe("orders")
    await orders.trigger("client-x", {})
    assert (await client.subscribe("other")).subscribed
    await relay.settle()
    assert errors == ["Client event rejected - only supported on private and presence channels"]
    await orders.trigger("client-x", {})
    assert (await client.signin("7")).subscribed


@pytest.mark.every_loop
async def test_no_refusal_of_another_kind_refuses_a_subscribe(relay):
    client = await relay.connect()
    room = await client.subscribe("private-room")
    await room.trigger("client-x", "x" * 20_000)
    await room.unsubscribe()
    for text in ("no json", '{"event":"foo"}', '{"event":"pusher:unsubscribe","data":{"channel":"private-room"}}'):
        await client.send_raw(text)
    assert (await client.subscribe("private-room")).subscribed
