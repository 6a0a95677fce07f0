"""Sessions under whatever a client may send, and the frames they answer with: the ten rules of protocol 0 that are
about frames hold for all of them.
"""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import App, Disconnect, Refused
from relay.protocol import messages, names, signing
from relay.protocol.names import Kind
from relay.protocol.session import Join, Leave, Publish, Reply, Session, Signin

APP = App(id="1", key="key", secret="secret", client_events=True, client_event_rate=1_000_000, max_event_bytes=200)
SOCKET = "183923.7465120"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
channels = st.sampled_from(
    ["a", "private-a", "presence-a", "#server-to-user-ada", "#server-to-user-bob", "private-", "", "no spaces", "a\n"]
)
events = st.sampled_from(
    ["pusher:subscribe", "pusher:unsubscribe", "pusher:signin", "pusher:ping", "pusher:pong", "client-a", "other"]
)


def auth_for(signed: str) -> str:
    return f"{APP.key}:{signing.sign(APP.secret, signed)}"


@st.composite
def subscribes(draw: st.DrawFn) -> dict[str, object]:
    """`data` of a subscribe that is right more often than not."""
    channel = draw(channels)
    data = draw(
        st.none() | st.just('{"user_id":"ada"}') | st.just('{"user_id":7,"user_info":{}}') | st.text(max_size=9)
    )
    signed = f"{SOCKET}:{channel}" if data is None else f"{SOCKET}:{channel}:{data}"
    auth = draw(st.sampled_from([auth_for(signed), auth_for(signed), "key:wrong", "nonsense", "", None]))
    return {"channel": channel, "auth": auth, "channel_data": data}


@st.composite
def signins(draw: st.DrawFn) -> dict[str, object]:
    user = draw(st.sampled_from(['{"id":"ada"}', '{"id":"bob","user_info":{}}', '{"id":""}', '{"id":7}', "{"]))
    return {"auth": auth_for(f"{SOCKET}::user::{user}"), "user_data": user}


def in_a_string_or_not(data: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return data | data.map(json.dumps)


frames = st.one_of(
    st.builds(lambda event, data: {"event": event, "data": data}, events, anything),
    st.builds(lambda data: {"event": "pusher:subscribe", "data": data}, in_a_string_or_not(subscribes())),
    st.builds(lambda data: {"event": "pusher:signin", "data": data}, in_a_string_or_not(signins())),
    st.builds(lambda channel: {"event": "pusher:unsubscribe", "data": {"channel": channel}}, channels),
    st.builds(lambda channel, data: {"event": "client-a", "channel": channel, "data": data}, channels, anything),
    st.builds(lambda event, channel: {"event": event, "channel": channel}, anything, anything),
)
texts = st.one_of(frames.map(json.dumps), anything.map(json.dumps), st.text(), st.binary())


def answers(session: Session, given_texts: list[str | bytes]) -> list[bytes]:
    """What goes out when the owner does all that the session says."""
    out = []
    for text in given_texts:
        try:
            match session.receive(text, 0.0):
                case Reply() | Publish() | Signin() as action:
                    out.append(action.text)
                case Join(unsigned=True) as join:
                    session.left(join.channel)
                    out.append(messages.error(join.refusal.message))
                case Join() as join:
                    session.joined(join.channel)
                    roster = {join.member.user_id: join.member.info} if join.member else None
                    out.append(messages.subscription_succeeded(join.channel, roster))
                    if join.member:
                        out.append(messages.member_added(join.channel, join.member.user_id, join.member.info))
                case Leave(was=was) as leave:
                    if was.member:
                        out.append(messages.member_removed(leave.channel, was.member.user_id))
                case None:
                    pass
        except (Refused, Disconnect) as error:
            out.append(messages.error(error.message, error.code))
    return out


@given(st.lists(texts, max_size=12))
def test_whatever_comes_is_answered_refused_or_ends_the_connection(given_texts):
    session = Session(APP, SOCKET)
    for text in given_texts:
        try:
            action = session.receive(text, 0.0)
        except (Refused, Disconnect):
            continue
        assert action is None or isinstance(action, Reply | Join | Leave | Publish | Signin)


@given(st.text(st.sampled_from('a"{\ud800\udfff'), max_size=8))
def test_text_that_utf8_cannot_say_is_refused_like_any_other_rubbish(text):
    session = Session(APP, SOCKET)
    for given_text in (text, json.dumps({"event": text}, ensure_ascii=False)):
        with pytest.raises(Refused):
            session.receive(given_text, 0.0)


def strictly(text: bytes) -> dict[str, object]:
    """JSON without Python's additions, and without a key twice."""

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    def no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    frame = json.loads(text.decode(), parse_constant=no_constant, object_pairs_hook=no_key_twice)
    assert isinstance(frame, dict)
    return frame


@given(st.lists(frames.map(json.dumps), min_size=1, max_size=12))
def test_every_frame_that_goes_out_keeps_the_rules_of_the_protocol(given_texts):
    for frame in map(strictly, answers(Session(APP, SOCKET), given_texts)):
        assert isinstance(frame["event"], str)
        assert frame.keys() <= {"event", "channel", "data", "user_id"}
        assert all(isinstance(frame.get(key, ""), str) for key in ("channel", "user_id"))
        if frame["event"] == "pusher:error":
            assert frame.keys() == {"event", "data"}
            assert isinstance(frame["data"], dict)
            assert isinstance(frame["data"]["message"], str)
            assert type(frame["data"]["code"]) in (int, type(None))
        else:
            assert isinstance(frame["data"], str)


@given(st.text(min_size=1, max_size=20), st.integers(1, 10**9))
def test_the_greeting_says_in_a_string_which_socket_it_is_and_how_long_it_may_be_silent(socket_id, timeout):
    frame = strictly(messages.connection_established(socket_id, timeout))
    assert frame.keys() == {"event", "data"}
    assert json.loads(str(frame["data"])) == {"socket_id": socket_id, "activity_timeout": timeout}


def client_event(data: str) -> Publish:
    """What a client event whose `data` is this JSON becomes for the others."""
    session = Session(APP, SOCKET)
    subscribe = {"channel": "private-a", "auth": auth_for(f"{SOCKET}:private-a")}
    session.receive(json.dumps({"event": "pusher:subscribe", "data": subscribe}), 0.0)
    session.joined("private-a")
    action = session.receive(f'{{"event":"client-a","channel":"private-a","user_id":"mallory","data":{data}}}', 0.0)
    assert isinstance(action, Publish)
    return action


@given(st.text(max_size=20))
def test_a_client_events_string_passes_untouched(data):
    frame = strictly(client_event(json.dumps(data)).text)
    assert frame == {"event": "client-a", "channel": "private-a", "data": data}


finite = anything.filter(lambda value: value is not None and not isinstance(value, str) and _is_json(value))


def _is_json(value: object) -> bool:
    try:
        return len(json.dumps(value, allow_nan=False)) <= APP.max_event_bytes and "\\ud" not in json.dumps(value)
    except ValueError:
        return False


@given(finite)
def test_a_client_events_other_data_passes_as_its_json_in_a_string(value):
    frame = strictly(client_event(json.dumps(value)).text)
    assert frame.keys() == {"event", "channel", "data"}
    assert json.loads(str(frame["data"])) == value


@given(st.text(max_size=210) | st.from_regex(r"[-A-Za-z0-9_=@,.;]{1,200}", fullmatch=True))
def test_a_channel_name_is_legal_as_the_reference_says_and_survives_the_wire(name):
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=@,.;"
    assert names.is_channel(name) == (1 <= len(name) <= 200 and all(letter in allowed for letter in name))
    if names.is_channel(name):
        assert strictly(messages.subscription_succeeded(name))["channel"] == name


@given(st.sampled_from(["", "private-", "presence-", "private", "Private-", "presence", "#server-to-user-"]), st.text())
def test_a_channel_is_what_its_prefix_says_hyphen_included(prefix, rest):
    kinds = {"private-": Kind.PRIVATE, "presence-": Kind.PRESENCE, "#server-to-user-": Kind.USER}
    name = prefix + rest
    assert names.kind_of(name) == next((kind for start, kind in kinds.items() if name.startswith(start)), Kind.PUBLIC)


@given(st.text(max_size=12) | st.from_regex(r"\A[0-9]+\.[0-9]+\Z"))
def test_a_socket_id_is_two_integers_joined_by_a_dot(value):
    assert names.is_socket_id(value) == (re.fullmatch(r"[0-9]+\.[0-9]+", value, re.ASCII) is not None)


@given(st.text(min_size=1, max_size=50), st.text(max_size=50), st.none() | st.text(min_size=1, max_size=20))
def test_names_and_data_of_an_event_survive_the_wire(name, data, user_id):
    frame = strictly(messages.event(name, "a", data, user_id))
    assert (frame["event"], frame["channel"], frame["data"]) == (name, "a", data)
    assert frame.get("user_id") == user_id


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.none() | st.dictionaries(st.text(), st.text()), max_size=5))
def test_a_roster_is_told_with_every_id_as_a_key_in_order(members):
    raw = {
        user: messages.read_member(messages.channel_data(messages.Member(user, info))).info
        for user, info in members.items()
    }
    data = json.loads(str(strictly(messages.subscription_succeeded("presence-a", raw))["data"]))
    assert data == {"presence": {"count": len(members), "ids": list(members), "hash": members}}


@given(st.text(min_size=1, max_size=20), st.none() | st.dictionaries(st.text(), anything.filter(_is_json), max_size=3))
def test_a_member_is_read_from_channel_data_as_it_was_written(user_id, info):
    identity = messages.read_member(json.dumps({"user_id": user_id, "user_info": info}))
    assert identity.user_id == user_id
    assert (None if identity.info is None else json.loads(bytes(identity.info))) == info
