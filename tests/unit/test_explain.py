"""Each mistake that people make with signatures is recognised, and told without a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import msgspec
import pytest

from relay import App
from relay.explain import Cause, explain_channel, explain_message, explain_request, explain_signin
from relay.protocol import signing
from relay.protocol.rest import Request

SECRET = "5d41402abc4b2a76b971"
APP = App(id="1001", key="b1946ac92492d2347c62", secret=SECRET)
OTHER = App(id="2002", key="other-key", secret="other-secret")
SOCKET = "183923.7465120"
ROOM = "presence-room"
DATA = '{"user_id":"u-42","user_info":{"name":"Zoë","page":"/a"}}'
STRING = f"{SOCKET}:{ROOM}:{DATA}"
NOW = 1_760_000_000.0


def sign(string: str, secret: str = SECRET, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), string.encode(), algorithm).hexdigest()


def auth(string: str, secret: str = SECRET) -> str:
    return f"{APP.key}:{sign(string, secret)}"


def rewritten(**options: object) -> str:
    return auth(f"{SOCKET}:{ROOM}:{json.dumps(json.loads(DATA), **options)}")  # type: ignore[arg-type]


MISTAKES = [
    (None, Cause.NO_AUTH, "channelAuthorization"),
    ("", Cause.NO_AUTH, "channelAuthorization"),
    (sign(STRING), Cause.MALFORMED, "without the key"),
    (APP.key, Cause.MALFORMED, "without a signature"),
    ("nonsense", Cause.MALFORMED, "no colon"),
    (json.dumps({"auth": auth(STRING)}), Cause.MALFORMED, "whole answer"),
    (f"other-key:{sign(STRING, 'other-secret')}", Cause.WRONG_KEY, "of App 2002"),
    (f"{APP.key.upper()}:{sign(STRING)}", Cause.WRONG_KEY, "upper and lower case"),
    (f" {APP.key}:{sign(STRING)}", Cause.WRONG_KEY, "spaces"),
    (f"1001:{sign(STRING)}", Cause.WRONG_KEY, "App's id"),
    (f"{SECRET}:{sign(STRING)}", Cause.WRONG_KEY, "secret stands in the place of the key"),
    (f"unheard-of:{sign(STRING)}", Cause.WRONG_KEY, "unheard-of"),
    (auth(STRING, "other-secret"), Cause.WRONG_SECRET, "secret of App 2002"),
    (auth(STRING, SECRET + "\n"), Cause.WRONG_SECRET, "line feed at its end"),
    (auth(STRING, SECRET + " "), Cause.WRONG_SECRET, "space at its end"),
    (auth(STRING, f'"{SECRET}"'), Cause.WRONG_SECRET, "quotes"),
    (auth(STRING, APP.key), Cause.WRONG_SECRET, "key was used as the secret"),
    (auth(STRING, APP.id), Cause.WRONG_SECRET, "id was used as the secret"),
    (auth(STRING, ""), Cause.WRONG_SECRET, "empty secret"),
    (auth(STRING, "undefined"), Cause.WRONG_SECRET, "configuration is not set"),
    (auth(STRING).upper().replace(APP.key.upper(), APP.key), Cause.ENCODING, "upper case"),
    (auth(STRING) + "\n", Cause.ENCODING, "spaces"),
    (
        f"{APP.key}:{base64.b64encode(hmac.digest(SECRET.encode(), STRING.encode(), 'sha256')).decode()}",
        Cause.ENCODING,
        "base64",
    ),
    (f"{APP.key}:{base64.b64encode(sign(STRING).encode()).decode()}", Cause.ENCODING, "base64 of the hex"),
    (f"{APP.key}:{sign(STRING, algorithm='sha1')}", Cause.ALGORITHM, "HMAC-SHA1"),
    (f"{APP.key}:{sign(STRING, algorithm='md5')}", Cause.ALGORITHM, "HMAC-MD5"),
    (f"{APP.key}:{sign(SECRET, STRING)}", Cause.ALGORITHM, "changed places"),
    (f"{APP.key}:{hashlib.sha256((SECRET + STRING).encode()).hexdigest()}", Cause.ALGORITHM, "plain SHA-256"),
    (rewritten(ensure_ascii=False), Cause.DATA_REWRITTEN, "with spaces:"),
    (rewritten(), Cause.DATA_REWRITTEN, "other letters escaped"),
    (rewritten(separators=(",", ":")), Cause.DATA_REWRITTEN, "without spaces, other letters escaped:"),
    (rewritten(sort_keys=True), Cause.DATA_REWRITTEN, "with spaces"),
    (auth(STRING.replace("/", "\\/")), Cause.DATA_REWRITTEN, "slashes escaped"),
    (auth(f"{SOCKET}:{ROOM}:{json.dumps(DATA)}"), Cause.DATA_REWRITTEN, "as a JSON string"),
    (auth(f"{SOCKET}:{ROOM}"), Cause.DATA_MISSING, "sent and not signed"),
    (auth(f"{SOCKET}:room:{DATA}"), Cause.CHANNEL, "signed as 'room'"),
    (auth(f"{SOCKET}:private-room:{DATA}"), Cause.CHANNEL, "signed as 'private-room'"),
    (auth(f"{SOCKET}:undefined:{DATA}"), Cause.CHANNEL, "'undefined'"),
    (auth(f"183923:{ROOM}:{DATA}"), Cause.SOCKET_ID, "signed as '183923'"),
    (auth(f'"{SOCKET}":{ROOM}:{DATA}'), Cause.SOCKET_ID, '"183923.7465120"'),
    (auth(f"undefined:{ROOM}:{DATA}"), Cause.SOCKET_ID, "'undefined'"),
    (auth(f"{ROOM}:{SOCKET}:{DATA}"), Cause.FORM, "changed places"),
    (auth(f"{SOCKET}::user::{DATA}"), Cause.FORM, "as a sign-in"),
    (auth(STRING + "\n"), Cause.DATA_REWRITTEN, "changed after it was signed"),
    (auth("something else"), Cause.UNKNOWN, "another secret"),
]


@pytest.mark.parametrize(("given", "cause", "hint"), MISTAKES)
def test_mistake_with_a_subscribe_is_recognised(given, cause, hint):
    told = explain_channel(APP, SOCKET, ROOM, given, DATA, others=[OTHER])
    assert told is not None
    assert (told.cause, told.string_to_sign) == (cause, STRING)
    assert hint in told.hint
    assert told.expected == f"{sign(STRING)[:8]}..."
    assert SECRET not in str(told)
    assert "other-secret" not in str(told)
    assert sign(STRING) not in str(told).lower()


def test_right_proof_needs_no_explanation():
    assert explain_channel(APP, SOCKET, ROOM, auth(STRING), DATA) is None
    assert explain_channel(APP, SOCKET, "private-x", auth(f"{SOCKET}:private-x")) is None
    assert explain_channel(APP, SOCKET, "private-x", auth(f"{SOCKET}:private-x"), DATA) is None
    assert explain_signin(APP, SOCKET, auth(f"{SOCKET}::user::{DATA}"), DATA) is None


@pytest.mark.parametrize("signed", [f"{SOCKET}:{ROOM}", STRING])
def test_presence_without_channel_data_is_told(signed):
    told = explain_channel(APP, SOCKET, ROOM, auth(signed))
    assert told is not None
    assert told.cause is Cause.DATA_MISSING
    assert "sent no channel_data" in told.hint


SIGNIN_MISTAKES = [
    ("", Cause.NO_AUTH, "userAuthentication"),
    (auth(f"{SOCKET}:user:{DATA}"), Cause.FORM, "other colons"),
    (auth(f"{SOCKET}::user::"), Cause.FORM, "user_data was not signed"),
    (auth(f"{SOCKET}::user::{json.dumps(json.loads(DATA))}"), Cause.DATA_REWRITTEN, "user_data was written anew"),
    (auth(f"undefined::user::{DATA}"), Cause.SOCKET_ID, "undefined"),
    (auth(f"{SOCKET}::user::{DATA}", "other-secret"), Cause.WRONG_SECRET, "App 2002"),
    (auth("something else"), Cause.UNKNOWN, "socket_id or user"),
]


@pytest.mark.parametrize(("given", "cause", "hint"), SIGNIN_MISTAKES)
def test_mistake_with_a_signin_is_recognised(given, cause, hint):
    told = explain_signin(APP, SOCKET, given, DATA, others=[OTHER])
    assert told is not None
    assert (told.cause, told.string_to_sign) == (cause, f"{SOCKET}::user::{DATA}")
    assert hint in told.hint


def test_frame_is_explained_as_what_is_in_it():
    subscribe = {"event": "pusher:subscribe", "data": {"channel": "private-x", "auth": f"{APP.key}:00"}}
    signin = {"event": "pusher:signin", "data": {"user_data": DATA, "auth": f"{APP.key}:00"}}
    strings = [explain_message(APP, SOCKET, json.dumps(frame)) for frame in (subscribe, signin)]
    assert [told and told.string_to_sign for told in strings] == [f"{SOCKET}:private-x", f"{SOCKET}::user::{DATA}"]
    assert explain_message(APP, SOCKET, b'{"event":"pusher:ping"}') is None
    assert explain_message(APP, SOCKET, b"no JSON") is None


BODY = b'{"name":"paid","data":"{}","channels":["a b"]}'
EVENTS = "/apps/1001/events"
LIST = "/apps/1001/channels"


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def call(
    *,
    method: str = "POST",
    path: str = EVENTS,
    body: bytes = BODY,
    key: str = APP.key,
    timestamp: str = str(int(NOW)),
    more: str = "",
    string: str | None = None,
    secret: str = SECRET,
    body_md5: str | None = None,
    algorithm: str = "sha256",
) -> Request:
    """A request, genuine in all that is not told otherwise; ``string`` is what was signed instead."""
    query = f"auth_key={key}&auth_timestamp={timestamp}&auth_version=1.0&body_md5={body_md5 or md5(body)}{more}"
    if string is None:
        string = signing.rest_string(method, path, signing.parse_query(query))
    return Request(method, f"{path}?{query}&auth_signature={sign(string, secret, algorithm)}", body)


def string_of(request: Request) -> str:
    path, _, query = request.target.partition("?")
    return signing.rest_string(request.method, path, signing.parse_query(query))


RIGHT = string_of(call())
LISTED = call(method="GET", path=LIST, body=b"", more="&filter_by_prefix=a%3Ab&info=user_count")
WITH_SPACES = json.dumps(json.loads(BODY)).encode()

REST_MISTAKES = {
    "unsigned": (Request("POST", EVENTS, BODY), Cause.NO_AUTH, "auth_key"),
    "key of nobody": (call(key="nobody"), Cause.WRONG_KEY, "nobody"),
    "key of another App": (call(key="other-key", secret="other-secret"), Cause.WRONG_KEY, "of App 2002"),
    "secret of another App": (call(secret="other-secret"), Cause.WRONG_SECRET, "App 2002"),
    "line feed in the secret": (call(secret=SECRET + "\n"), Cause.WRONG_SECRET, "line feed"),
    "SHA-1": (call(algorithm="sha1"), Cause.ALGORITHM, "HMAC-SHA1"),
    "milliseconds": (call(timestamp=str(int(NOW * 1000))), Cause.CLOCK, "milliseconds"),
    "clock behind": (call(timestamp=str(int(NOW) - 700)), Cause.CLOCK, "700 s behind"),
    "clock ahead": (call(timestamp=str(int(NOW) + 900)), Cause.CLOCK, "900 s ahead"),
    "local time": (call(timestamp=str(int(NOW) + 7203)), Cause.CLOCK, "+2 h"),
    "no clock": (call(timestamp=""), Cause.CLOCK, "no auth_timestamp"),
    "words for a clock": (call(timestamp="2025-10-09"), Cause.CLOCK, "as digits"),
    "body written anew": (call(body_md5=md5(WITH_SPACES)), Cause.BODY, "signed with spaces"),
    "line feed after the body": (call(body_md5=md5(BODY + b"\n")), Cause.BODY, "line feed at its end"),
    "body lost": (call(body=b"", body_md5=md5(BODY)), Cause.BODY, "0 bytes arrived"),
    "MD5 in base64": (
        call(body_md5=base64.b64encode(hashlib.md5(BODY).digest()).decode()),
        Cause.BODY,
        "in base64",
    ),
    "method": (call(string=RIGHT.replace("POST", "GET")), Cause.METHOD, "signed as GET"),
    "method in lower case": (call(string=RIGHT.replace("POST", "post")), Cause.METHOD, "signed as post"),
    "prefix that a proxy took": (call(string=RIGHT.replace("/apps", "/realtime/apps")), Cause.PATH, "/realtime/apps"),
    "path without the App": (call(string=RIGHT.replace("/apps/1001", "")), Cause.PATH, "'/events'"),
    "path of another App": (call(string=RIGHT.replace("1001", "2002")), Cause.PATH, "/apps/2002/"),
    "slash at the end": (call(string=RIGHT.replace("events", "events/")), Cause.PATH, "events/"),
    "query escaped": (
        call(
            method="GET",
            path=LIST,
            body=b"",
            more="&info=a%3Ab",
            string=string_of(LISTED).split("&filter")[0] + "&info=a%3Ab",
        ),
        Cause.QUERY,
        "signed escaped",
    ),
    "body_md5 not signed": (call(string=RIGHT.split("&body_md5")[0]), Cause.QUERY, "body_md5 was not signed"),
    "query not signed": (call(string=f"POST\n{EVENTS}\n"), Cause.QUERY, "query was not signed"),
    "line feeds as letters": (call(string=RIGHT.replace("\n", "\\n")), Cause.FORM, "two characters"),
    "body signed": (call(string=BODY.decode()), Cause.FORM, "body was signed"),
    "anything": (call(string="anything"), Cause.UNKNOWN, "another secret"),
}


@pytest.mark.parametrize("mistake", REST_MISTAKES)
def test_mistake_with_a_rest_call_is_recognised(mistake):
    request, cause, hint = REST_MISTAKES[mistake]
    told = explain_request([APP, OTHER], request, NOW)
    assert told is not None
    assert told.cause is cause, told
    assert hint in told.hint
    assert SECRET not in str(told)
    assert "other-secret" not in str(told)


def test_genuine_rest_call_needs_no_explanation():
    assert explain_request(APP, call(), NOW) is None
    assert explain_request([OTHER, APP], LISTED, NOW + 599) is None
    assert explain_request(APP, msgspec.structs.replace(call(path="/in" + EVENTS), mount="/in"), NOW) is None
    assert explain_request([], call(), NOW) is None


def test_explanation_is_one_line_that_names_everything():
    told = explain_request(APP, call(string="anything"), NOW)
    assert told is not None
    line = str(told)
    assert line.startswith("Most likely cause: unknown - nothing that was tried")
    assert RIGHT.replace("\n", "\\n") in line
    assert f"Expected signature: {sign(RIGHT)[:8]}...; sent: {sign('anything')[:8]}..." in line
    assert line.isprintable()


def test_long_data_is_refused_without_a_search():
    data = json.dumps({"user_id": "u-42", "user_info": "é" * 20_000}, ensure_ascii=False)
    compact = json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False)
    told = explain_channel(APP, SOCKET, ROOM, auth(f"{SOCKET}:{ROOM}:{compact}"), data)
    assert told is not None
    assert told.cause is Cause.UNKNOWN
    assert len(str(told)) < 1300
