"""Whatever is sent, an explanation never raises, and holds neither a secret nor a whole valid signature."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from relay import App
from relay.explain import Explanation, explain_channel, explain_message, explain_request, explain_signin
from relay.explain.guessing import signed
from relay.protocol.rest import Request
from relay.protocol.signing import channel_string, parse_query, rest_string, user_string

SECRET, OTHER_SECRET = "5d41402abc4b2a76b971", "a-second-secret"
APP = App(id="1001", key="app-key", secret=SECRET, encryption_master_key="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER = App(id="2002", key="other-key", secret=OTHER_SECRET)
NOW = 1_760_000_000.0

pieces = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            SECRET,
            OTHER_SECRET,
            str(APP.encryption_master_key),
            "app-key",
            "other-key",
            "1001",
            "private-x",
            "presence-x",
            "1.2",
        ]
    ),
)
words = st.lists(pieces, max_size=4).map("".join)
any_text = st.one_of(words, st.text(st.characters(), max_size=30), st.just('{"user_id":"1","user_info":{"a":"/é"}}'))


@st.composite
def proofs(draw: st.DrawFn, right: str) -> str | None:
    """Something like an auth: sometimes right, nearly right, or made of a secret."""
    signature = draw(
        st.sampled_from([right, right.upper(), right + "\n", right[:-1], SECRET, OTHER_SECRET, ""]) | any_text
    )
    key = draw(st.sampled_from(["app-key", "other-key", SECRET, right]) | any_text)
    return draw(st.sampled_from([f"{key}:{signature}", signature, key, None]))


def check(told: Explanation | None, right: str) -> None:
    if told is None:
        return
    for text in (str(told), told.string_to_sign, told.hint, told.expected, told.sent):
        assert SECRET not in text
        assert OTHER_SECRET not in text
        assert str(APP.encryption_master_key) not in text
        assert right not in text.lower()
    assert len(str(told)) <= 1300
    assert str(told).isprintable()


@given(st.data(), any_text, any_text, st.none() | any_text)
def test_subscribe(data, socket_id, channel, channel_data):
    right = signed(SECRET, channel_string(socket_id, channel, channel_data))
    auth = data.draw(proofs(right))
    check(explain_channel(APP, socket_id, channel, auth, channel_data, others=[OTHER]), right)


@given(st.data(), any_text, any_text)
def test_signin(data, socket_id, user_data):
    right = signed(SECRET, user_string(socket_id, user_data))
    auth = data.draw(proofs(right))
    check(explain_signin(APP, socket_id, auth, user_data, others=[OTHER]), right)


@given(
    st.text() | st.binary() | st.builds(lambda data: json.dumps({"event": "pusher:subscribe", "data": data}), any_text)
)
def test_frame(text):
    check(explain_message(APP, "1.2", text, others=[OTHER]), "-" * 64)


names = st.sampled_from(["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5", "info"]) | any_text


@given(
    method=st.sampled_from(["GET", "POST"]) | any_text,
    path=st.sampled_from(["/apps/1001/events", "/apps/1001/channels", "/apps/"]) | any_text,
    pairs=st.lists(st.tuples(names, any_text), max_size=5),
    body=st.binary(max_size=40) | st.sampled_from([b'{"a":1}', SECRET.encode()]),
    where=st.sampled_from(["", "/apps", "/x"]),
)
def test_rest_call(method, path, pairs, body, where):
    md5 = hashlib.md5(body).hexdigest()
    sound = ["auth_key=app-key", "auth_version=1.0", f"auth_timestamp={int(NOW)}", f"body_md5={md5}"]
    given_query = [f"{name}={value}" for name, value in pairs]
    for query in ("&".join(given_query), "&".join([*given_query, *sound])):
        right = signed(SECRET, rest_string(method, path, parse_query(query)))
        check(explain_request([APP, OTHER], Request(method, f"{path}?{query}", body, where), NOW), right)
