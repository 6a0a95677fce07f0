"""Bad frames and the answer each must get: one table for the in-process client, the socket and the hostile crowd.

Signatures are made here with nothing of Relay's, so that the two check each other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from relay import App

KEY, SECRET = "app-key", "app-secret"
APP = App(id="1001", key=KEY, secret=SECRET, client_events=True)

Text = str | Callable[[str], str]
"""A frame, or how to make it from the sender's socket id."""


class Bad(NamedTuple):
    """A frame that breaks a rule, what is sent ``before`` it, and the one pusher:error it must get.

    An ``answer`` that ends in ``...`` tells only how the message begins.
    """

    name: str
    text: Text
    answer: str
    code: int | None = None
    before: tuple[Text, ...] = ()

    def frames(self, socket_id: str) -> list[str]:
        """Everything the sender sends, the bad frame last."""
        return [text if isinstance(text, str) else text(socket_id) for text in (*self.before, self.text)]

    def seen(self, event: Mapping[str, Any]) -> tuple[str, object, str]:
        """``event`` as name, code and message, the message shortened to what ``answer`` tells about it."""
        data = event["data"]
        if not isinstance(data, dict):
            return event["event"], None, repr(data)
        message = data["message"]
        known = self.answer.removesuffix("...")
        if known != self.answer and message.startswith(known):
            message = self.answer
        return event["event"], data["code"], message

    @property
    def expected(self) -> tuple[str, object, str]:
        """What ``seen`` must be for the only answer."""
        return "pusher:error", self.code, self.answer


def say(event: object, data: object = ..., **more: object) -> str:
    """A frame; ``...`` leaves ``data`` out."""
    given = {} if data is ... else {"data": data}
    return json.dumps({"event": event, **given, **more})


def subscribe(channel: object, **data: object) -> str:
    return say("pusher:subscribe", {"channel": channel, **data})


def hmac_hex(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed(channel: str, channel_data: str | None = None, *, key: str = KEY, signs: str = "{}") -> Callable[[str], str]:
    """A subscribe whose signature is right for ``signs``, in which ``{}`` stands for what it should sign."""

    def text(socket_id: str) -> str:
        of = f"{socket_id}:{channel}" if channel_data is None else f"{socket_id}:{channel}:{channel_data}"
        auth = f"{key}:{hmac_hex(signs.replace('{}', of))}"
        return subscribe(channel, auth=auth, **({} if channel_data is None else {"channel_data": channel_data}))

    return text


def signin(user_data: str, *, secret: str = SECRET) -> Callable[[str], str]:
    """A sign-in whose signature is right when ``secret`` is."""

    def text(socket_id: str) -> str:
        auth = f"{KEY}:{hmac_hex(f'{socket_id}::user::{user_data}', secret)}"
        return say("pusher:signin", {"auth": auth, "user_data": user_data})

    return text


def whisper(channel: object = ..., data: object = ..., name: str = "client-typing") -> str:
    return say(name, data) if channel is ... else say(name, data, channel=channel)


NEIGHBOURHOOD = ("orders", "private-room", "presence-room", "#server-to-user-neighbour")


def moving_in(socket_id: str) -> list[str]:
    """The frames that put a neighbour into every channel of the neighbourhood; each gets one answer."""
    frames: list[Text] = [
        signin('{"id":"neighbour"}'),
        subscribe("orders"),
        signed("private-room"),
        signed("presence-room", '{"user_id":"neighbour"}'),
        subscribe("#server-to-user-neighbour"),
    ]
    return [text if isinstance(text, str) else text(socket_id) for text in frames]


DEEP = 40_000
NOT_JSON, NOT_A_MESSAGE = "Received invalid JSON...", "Received an invalid message..."
UNSUPPORTED = "Unsupported event received on socket: "
BAD_NAME = "Invalid channel name..."
BAD_SIGNATURE = "Invalid signature: Expected HMAC SHA256 hex digest of ..."
BAD_KEY = "Invalid key in subscription auth data:"
BAD_DATA = "Invalid channel_data..."
BAD_INFO = "user_info supplied to presence subscription is invalid - if supplied it must be a type of hash..."
INCOMPLETE = "Invalid client event (must contain channel and data)"
MINE = signed("private-mine")

NO_JSON = [
    Bad("nothing", "", NOT_JSON),
    Bad("a word", "hello", NOT_JSON),
    Bad("half an object", '{"event":"pusher:ping"', NOT_JSON),
    Bad("two objects", '{"event":"pusher:ping"}{"event":"pusher:ping"}', NOT_JSON),
    Bad("single quotes", "{'event':'pusher:ping'}", NOT_JSON),
    Bad("a byte order mark", '\ufeff{"event":"pusher:ping"}', NOT_JSON),
    Bad("NaN", '{"event":"pusher:ping","data":NaN}', NOT_JSON),
    Bad("infinity", '{"event":"pusher:ping","data":-Infinity}', NOT_JSON),
    Bad("a lone high surrogate", '{"event":"\\ud800"}', NOT_JSON),
    Bad("a lone low surrogate", '{"event":"pusher:ping","data":"\\udc00"}', NOT_JSON),
    Bad("a control character", '{"event":"pusher:ping","data":"\n"}', NOT_JSON),
    Bad("nested arrays", '{"event":"pusher:ping","data":' + "[" * DEEP + "]" * DEEP + "}", NOT_JSON),
    Bad("nested objects", '{"event":"paid","data":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}", NOT_JSON),
    Bad("arrays without end", '{"event":"pusher:ping","data":' + "[" * DEEP, NOT_JSON),
]

NO_MESSAGE = [
    Bad("null", "null", NOT_A_MESSAGE),
    Bad("a number", "7", NOT_A_MESSAGE),
    Bad("a string", '"pusher:ping"', NOT_A_MESSAGE),
    Bad("an array", '["pusher:ping"]', NOT_A_MESSAGE),
    Bad("arrays all the way", "[" * DEEP, NOT_A_MESSAGE),
    Bad("no event", '{"data":{}}', NOT_A_MESSAGE),
    Bad("event null", say(None), NOT_A_MESSAGE),
    Bad("event a number", say(7), NOT_A_MESSAGE),
    Bad("event an object", say({}), NOT_A_MESSAGE),
    Bad("channel a number", whisper(7, {}), NOT_A_MESSAGE),
]

UNKNOWN = [
    Bad("an empty event name", say("", {}), UNSUPPORTED),
    Bad("an event of the application", say("paid", {}, channel="orders"), f"{UNSUPPORTED}paid"),
    Bad("an unknown pusher event", say("pusher:xyz", {}), f"{UNSUPPORTED}pusher:xyz"),
    Bad("a server's event", say("pusher:error", {"code": 4001}), f"{UNSUPPORTED}pusher:error"),
    Bad(
        "an internal event",
        say("pusher_internal:member_added", '{"user_id":"ghost"}', channel="presence-room"),
        f"{UNSUPPORTED}pusher_internal:member_added",
    ),
    Bad("another case of client-", say("Client-typing", {}, channel="orders"), f"{UNSUPPORTED}Client-typing"),
    Bad("an endless event name", say("x" * 100_000), UNSUPPORTED + "x" * 200),
]

COMMANDS = [
    Bad(f"{command} {what}", say(f"pusher:{command}", data), f"Invalid data of pusher:{command}: ...")
    for command in ("subscribe", "unsubscribe", "signin")
    for what, data in (
        ("without data", ...),
        ("with null", None),
        ("with an empty string", ""),
        ("with a string that is no JSON", "orders"),
        ("with a string of nested arrays", "[" * DEEP),
        ("with an array", ["orders"]),
        ("with a number", 7),
        ("without fields", {}),
    )
] + [
    Bad("subscribe to a number", subscribe(7), "Invalid data of pusher:subscribe: ..."),
    Bad("subscribe to null", subscribe(None), "Invalid data of pusher:subscribe: ..."),
    Bad("subscribe to a list", subscribe(["orders"]), "Invalid data of pusher:subscribe: ..."),
    Bad("auth a number", subscribe("private-room", auth=7), "Invalid data of pusher:subscribe: ..."),
    Bad(
        "channel_data an object",
        subscribe("presence-room", auth="a:b", channel_data={"user_id": "u"}),
        "Invalid data of pusher:subscribe: ...",
    ),
    Bad("unsubscribe a number", say("pusher:unsubscribe", {"channel": 7}), "Invalid data of pusher:unsubscribe: ..."),
    Bad(
        "unsubscribe from where one is not",
        say("pusher:unsubscribe", {"channel": "orders"}),
        "No current subscription to channel orders, or subscription in progress",
    ),
    Bad(
        "unsubscribe twice",
        say("pusher:unsubscribe", {"channel": "mine"}),
        "No current subscription to channel mine, or subscription in progress",
        before=(subscribe("mine"), say("pusher:unsubscribe", {"channel": "mine"})),
    ),
    Bad("subscribe twice", subscribe("mine"), "Existing subscription to channel mine", before=(subscribe("mine"),)),
]

NAMES = [
    Bad(f"channel name {what}", subscribe(name), BAD_NAME)
    for what, name in (
        ("empty", ""),
        ("of 201 characters", "x" * 201),
        ("of 100,000 characters", "x" * 100_000),
        ("with a space", "or ders"),
        ("with a newline", "or\nders"),
        ("ending in a newline", "orders\n"),
        ("with a slash", "orders/1"),
        ("with a colon", "orders:1"),
        ("with an accent", "caf\u00e9"),
        ("with a NUL", "orders\0"),
        ("beginning with #", "#orders"),
        ("of other users", "#server-to-user"),
    )
] + [
    Bad("another user's channel", subscribe("#server-to-user-neighbour"), "Only the user signed in..."),
    Bad("nobody's channel", subscribe("#server-to-user-"), "Only the user signed in..."),
    Bad(
        "another user's channel after a sign-in",
        subscribe("#server-to-user-neighbour"),
        "Only the user signed in...",
        before=(signin('{"id":"stranger"}'),),
    ),
]

ACCESS = [
    Bad("private without auth", subscribe("private-room"), "Auth info required to subscribe to private-room"),
    Bad("private, auth empty", subscribe("private-room", auth=""), "Auth info required to subscribe to private-room"),
    Bad("presence without auth", subscribe("presence-room"), "Auth info required to subscribe to presence-room"),
    Bad(
        "encrypted without auth",
        subscribe("private-encrypted-room"),
        "Auth info required to subscribe to private-encrypted-room",
    ),
    Bad(
        "auth without a colon",
        subscribe("private-room", auth="signature"),
        "Auth value for subscription to private-room is invalid: should be of format 'key:signature'",
    ),
    Bad("auth of another key", signed("private-room", key="other"), f"{BAD_KEY} 'other'..."),
    Bad("auth of no key", subscribe("private-room", auth=":"), f"{BAD_KEY} ''..."),
    Bad("a forged signature", subscribe("private-room", auth=f"{KEY}:{'0' * 64}"), BAD_SIGNATURE),
    Bad("an empty signature", subscribe("private-room", auth=f"{KEY}:"), BAD_SIGNATURE),
    Bad("a signature that is no ASCII", subscribe("private-room", auth=f"{KEY}:\u00e9\U0001f600"), BAD_SIGNATURE),
    Bad("an endless signature", subscribe("private-room", auth=f"{KEY}:{'0' * 100_000}"), BAD_SIGNATURE),
    Bad("a signature of another socket", signed("private-room", signs="1.1:private-room"), BAD_SIGNATURE),
    Bad("a signature of another channel", signed("private-room", signs="{}2"), BAD_SIGNATURE),
    Bad(
        "a signature of other channel data",
        signed("presence-room", '{"user_id":"neighbour"}', signs="{} "),
        BAD_SIGNATURE,
    ),
    Bad(
        "presence without channel data",
        signed("presence-mine"),  # a right signature: it lets in who has signed in before
        "channel_data with a user_id is required to subscribe to presence-mine...",
    ),
]

PRESENCE = [
    Bad(f"presence, {what}", signed("presence-room", data), answer)
    for what, data, answer in (
        ("data no JSON", "neighbour", BAD_DATA),
        ("data an array", '["u"]', BAD_DATA),
        ("data a string", '"u"', BAD_DATA),
        ("data null", "null", BAD_DATA),
        ("data nested", "[" * DEEP, BAD_DATA),
        ("no user_id", "{}", BAD_DATA),
        ("user_id null", '{"user_id":null}', BAD_DATA),
        ("user_id true", '{"user_id":true}', BAD_DATA),
        ("user_id an object", '{"user_id":{}}', BAD_DATA),
        ("user_id empty", '{"user_id":""}', BAD_DATA),
        ("user_id NaN", '{"user_id":NaN}', BAD_DATA),
        (
            "user_id of 129 characters",
            json.dumps({"user_id": "u" * 129}),
            "user_id has 129 characters, allowed are 128...",
        ),
        ("user_info a string", '{"user_id":"u","user_info":"x"}', BAD_INFO),
        ("user_info an array", '{"user_id":"u","user_info":[]}', BAD_INFO),
        (
            "user_info of 1,025 bytes",
            json.dumps({"user_id": "u", "user_info": {"x": "i" * 1016}}),
            "user_info has 1025 bytes, allowed are 1024...",
        ),
    )
]

SIGNIN = [
    Bad("sign-in without user_data", say("pusher:signin", {"auth": "a:b"}), "Invalid data of pusher:signin: ..."),
    Bad("a forged sign-in", signin('{"id":"neighbour"}', secret="guess"), BAD_SIGNATURE),
    Bad("sign-in, data no JSON", signin("neighbour"), "Invalid user_data..."),
    Bad("sign-in, data an array", signin("[]"), "Invalid user_data..."),
    Bad("sign-in without id", signin("{}"), "Invalid user_data..."),
    Bad("sign-in, id a number", signin('{"id":7}'), "Invalid user_data..."),
    Bad("sign-in, id empty", signin('{"id":""}'), "Invalid user_data..."),
    Bad(
        "sign-in as somebody else",
        signin('{"id":"second"}'),
        "Connection is signed in as first already",
        before=(signin('{"id":"first"}'),),
    ),
]

CLIENT_EVENTS = [
    Bad(
        "client event on a public channel",
        whisper("orders", {}),
        "Client event rejected - only supported on private and presence channels",
    ),
    Bad(
        "client event on a public channel one is in",
        whisper("mine", {}),
        "Client event rejected - only supported on private and presence channels",
        before=(subscribe("mine"),),
    ),
    Bad(
        "client event to a user",
        whisper("#server-to-user-neighbour", {}),
        "Client event rejected - only supported on private and presence channels",
    ),
    Bad(
        "client event by a non-member",
        whisper("private-room", {}),
        "Cannot broadcast client event (connection not subscribed to channel private-room)",
    ),
    Bad(
        "client event after leaving",
        whisper("private-mine", {}),
        "Cannot broadcast client event (connection not subscribed to channel private-mine)",
        before=(MINE, say("pusher:unsubscribe", {"channel": "private-mine"})),
    ),
    Bad("client event without channel", whisper(data={}), INCOMPLETE),
    Bad("client event without data", whisper("private-mine"), INCOMPLETE, before=(MINE,)),
    Bad("client event with null", whisper("private-mine", None), INCOMPLETE, before=(MINE,)),
    Bad(
        "client event of 10,241 bytes",
        whisper("private-mine", "x" * 10_241),
        "The data content of this event exceeds the allowed maximum (10240 bytes)...",
        before=(MINE,),
    ),
    Bad(
        "client event of 10,242 bytes in 5,121 characters",
        whisper("private-mine", "\u00e9" * 5_121),
        "The data content of this event exceeds the allowed maximum (10240 bytes)...",
        before=(MINE,),
    ),
    Bad(
        "client event name of 201 characters",
        whisper("private-mine", {}, name="client-" + "x" * 194),
        "Invalid client event (name is longer than 200 characters)",
        before=(MINE,),
    ),
    Bad(
        "client events above the rate",
        whisper("private-mine", {}),
        "Client event rejected due to rate limit",
        code=4301,
        before=(MINE, *[whisper("private-mine", {})] * 10),
    ),
]

BAD_FRAMES = [
    *NO_JSON, *NO_MESSAGE, *UNKNOWN, *COMMANDS, *NAMES, *ACCESS, *PRESENCE, *SIGNIN, *CLIENT_EVENTS,
]  # fmt: skip
