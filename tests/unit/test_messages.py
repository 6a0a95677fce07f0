"""Frames: what goes out, byte for byte, and what is taken in (protocol 1.3 to 1.8, 2.2, 2.4)."""

import json

import msgspec
import pytest

from relay import Member, Refused
from relay.protocol import messages
from relay.protocol.messages import Identity, SubscribeData

ADA = msgspec.Raw(b'{"name":"Ada"}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            messages.connection_established("183923.7465120", 120),
            (
                r'{"event":"pusher:connection_established",'
                r'"data":"{\"socket_id\":\"183923.7465120\",\"activity_timeout\":120}"}'
            ),
        ),
        (messages.PONG, '{"event":"pusher:pong","data":"{}"}'),
        (messages.PING, '{"event":"pusher:ping","data":"{}"}'),
        (
            messages.error("Existing subscription to channel orders"),
            '{"event":"pusher:error","data":{"code":null,"message":"Existing subscription to channel orders"}}',
        ),
        (messages.error("Too fast", 4301), '{"event":"pusher:error","data":{"code":4301,"message":"Too fast"}}'),
        (
            messages.subscription_succeeded("private-team_1"),
            '{"event":"pusher_internal:subscription_succeeded","channel":"private-team_1","data":"{}"}',
        ),
        (
            messages.subscription_succeeded("presence-room", {"u-42": ADA, "u-7": None}),
            (
                r'{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\"presence\":'
                r'{\"count\":2,\"ids\":[\"u-42\",\"u-7\"],\"hash\":{\"u-42\":{\"name\":\"Ada\"},\"u-7\":null}}}"}'
            ),
        ),
        (
            messages.subscription_succeeded("presence-room", {}),
            (
                r'{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\"presence\":'
                r'{\"count\":0,\"ids\":[],\"hash\":{}}}"}'
            ),
        ),
        (
            messages.member_added("presence-room", "u-42", ADA),
            (
                r'{"event":"pusher_internal:member_added","channel":"presence-room",'
                r'"data":"{\"user_id\":\"u-42\",\"user_info\":{\"name\":\"Ada\"}}"}'
            ),
        ),
        (
            messages.member_added("presence-room", "u-42", None),
            r'{"event":"pusher_internal:member_added","channel":"presence-room","data":"{\"user_id\":\"u-42\"}"}',
        ),
        (
            messages.member_removed("presence-room", "u-42"),
            r'{"event":"pusher_internal:member_removed","channel":"presence-room","data":"{\"user_id\":\"u-42\"}"}',
        ),
        (
            messages.subscription_error("private-x", "no"),
            (
                '{"event":"pusher:subscription_error","channel":"private-x",'
                '"data":{"type":"AuthError","error":"no","status":401}}'
            ),
        ),
        (messages.event("paid", "orders", '{"id":7}'), r'{"event":"paid","channel":"orders","data":"{\"id\":7}"}'),
        (
            messages.event("client-a", "presence-room", "hi", "u-42"),
            '{"event":"client-a","channel":"presence-room","data":"hi","user_id":"u-42"}',
        ),
    ],
)
def test_frames_look_as_the_reference_shows_them(text, expected):
    assert text.decode() == expected


def test_signing_in_is_acknowledged_with_the_user_data_verbatim():
    user_data = '{"id":"u-42", "user_info":{"name":"Ada"},"watchlist":["u-7"]}'
    frame = json.loads(messages.signin_success(user_data))
    assert frame.keys() == {"event", "data"}
    assert json.loads(frame["data"]) == {"user_data": user_data}


def test_a_frame_without_data_or_channel_is_read():
    inbound = messages.read('{"event":"pusher:ping"}')
    assert (inbound.event, inbound.channel, bytes(inbound.data)) == ("pusher:ping", None, b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '"event"',
        "{}",
        '{"event":7}',
        '{"event":"a","channel":7}',
        '{"event":"a","data":NaN}',
    ],
)
def test_what_is_no_object_with_an_event_is_refused(text):
    with pytest.raises(Refused, match=r"^Received (invalid JSON|an invalid message): ") as refusal:
        messages.read(text)
    assert refusal.value.code is None


@pytest.mark.parametrize(
    "text",
    [b'{"event":"\xff"}', rb'{"event":"\ud800"}', b'{"event":"a","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
)
def test_bytes_that_are_no_text_and_nesting_without_end_are_refused(text):
    with pytest.raises(Refused, match=r"^Received invalid JSON: "):
        messages.read(text)


@pytest.mark.parametrize("data", ['{"channel":"orders","delta":"fossil"}', r'"{\"channel\":\"orders\"}"'])
def test_data_of_a_command_may_be_an_object_or_a_string_that_holds_one(data):
    inbound = messages.read(f'{{"event":"pusher:subscribe","data":{data}}}')
    assert messages.read_data(inbound, SubscribeData) == SubscribeData("orders")


@pytest.mark.parametrize(
    "data", ["null", "7", "[]", '""', '"nonsense"', "{}", '{"channel":7}', '{"channel":"a","auth":7}']
)
def test_other_data_of_a_command_is_refused_with_its_name(data):
    inbound = messages.read(f'{{"event":"pusher:subscribe","data":{data}}}')
    with pytest.raises(Refused, match=r"^Invalid data of pusher:subscribe: "):
        messages.read_data(inbound, SubscribeData)


def test_a_command_without_data_is_refused():
    with pytest.raises(Refused, match=r"^Invalid data of pusher:subscribe: "):
        messages.read_data(messages.read('{"event":"pusher:subscribe"}'), SubscribeData)


@pytest.mark.parametrize(
    ("data", "delivered", "size"),
    [
        (r'"{\"who\":\"ada\"}"', r'"{\"who\":\"ada\"}"', 13),
        (r'"caf\u00e9"', r'"caf\u00e9"', 5),
        ('"café"', '"café"', 5),
        ('{"who":"ada"}', r'"{\"who\":\"ada\"}"', 13),
        ("[1, 2]", '"[1, 2]"', 6),
        ("7", '"7"', 1),
        ("true", '"true"', 4),
        ('""', '""', 0),
    ],
)
def test_a_client_events_data_is_delivered_as_a_string_and_measured_in_utf8(data, delivered, size):
    given, measured = messages.client_data(messages.read(f'{{"event":"client-a","channel":"private-a","data":{data}}}'))
    frame = messages.event("client-a", "private-a", given)
    assert frame.decode() == f'{{"event":"client-a","channel":"private-a","data":{delivered}}}'
    assert measured == size


def test_a_client_events_data_that_is_no_valid_text_is_refused():
    inbound = messages.read(b'{"event":"client-a","channel":"private-a","data":{"a":"\xff"}}')
    with pytest.raises(Refused, match=r"^Invalid client event \(data is no valid JSON\)"):
        messages.client_data(inbound)


@pytest.mark.parametrize(
    ("channel_data", "member"),
    [
        ('{"user_id":"u-42"}', Identity("u-42")),
        ('{"user_id":1265}', Identity("1265")),
        ('{"user_id":12345678901234567890}', Identity("12345678901234567890")),
        ('{"user_id":"u","user_info":null}', Identity("u")),
        ('{"user_id":"u","user_info":{"name":"Ada"},"more":1}', Identity("u", ADA)),
        ('{"user_id":"u","user_info":{}}', Identity("u", msgspec.Raw(b"{}"))),
    ],
)
def test_a_member_is_read_and_a_number_becomes_its_text(channel_data, member):
    assert messages.read_member(channel_data) == member


@pytest.mark.parametrize("user_id", ["null", "true", "{}", "[]", '""'])
def test_a_member_whose_id_is_no_string_or_number_is_refused(user_id):
    with pytest.raises(Refused, match=r"user_id must be a string that is not empty, or a number$"):
        messages.read_member(f'{{"user_id":{user_id}}}')


@pytest.mark.parametrize(
    "channel_data", ["", "nonsense", "[]", "{}", '{"user_id":NaN}', rb'{"user_id":"\ud800"}'.decode()]
)
def test_channel_data_that_names_nobody_is_refused(channel_data):
    with pytest.raises(Refused, match=r"^Invalid channel_data: "):
        messages.read_member(channel_data)


@pytest.mark.parametrize("info", ['"Ada"', "7", "[]", "false"])
@pytest.mark.parametrize(
    ("read", "form"),
    [(messages.read_member, '{"user_id":"u","user_info":%s}'), (messages.read_user, '{"id":"u","user_info":%s}')],
)
def test_a_user_info_that_is_no_object_is_refused_in_hosted_words(read, form, info):
    words = "user_info supplied to presence subscription is invalid - if supplied it must be a type of hash"
    with pytest.raises(Refused) as refusal:
        read(form % info)
    assert refusal.value.message == words


def test_a_user_is_read_with_other_keys_free():
    user = messages.read_user('{"id":"u-42","user_info":{"name":"Ada"},"watchlist":["u-7"]}')
    assert user == Identity("u-42", ADA)


@pytest.mark.parametrize("user_data", ["", "[]", "{}", '{"id":7}', '{"id":null}', '{"id":""}'])
def test_a_user_without_a_string_id_is_refused(user_data):
    with pytest.raises(Refused, match=r"^Invalid user_data: "):
        messages.read_user(user_data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("as it is", "as it is"),
        ('{"a": 1}', '{"a": 1}'),
        ({"a": "é"}, '{"a":"é"}'),
        (None, "null"),
        ([1], "[1]"),
        ("", ""),
    ],
)
def test_a_string_is_data_as_it_is_and_anything_else_as_its_json(data, text):
    assert messages.json_text(data) == text


@pytest.mark.parametrize("data", [object(), {1: object()}, {"a": "\ud800"}])
def test_what_json_cannot_say_is_an_error(data):
    with pytest.raises((TypeError, ValueError)):
        messages.json_text(data)


def test_a_member_of_the_embedding_program_becomes_its_json():
    assert messages.read_member(messages.channel_data(Member("ada", {"name": "Ada"}))) == Identity("ada", ADA)
    assert messages.read_member(messages.channel_data(Member("ada"))) == Identity("ada")
