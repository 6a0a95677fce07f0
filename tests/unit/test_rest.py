"""REST requests become calls, or the documented refusal; no hub, no HTTP (protocol 6)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import App, RequestError
from relay.protocol import rest, signing
from relay.protocol.events import CheckedEvent

APP = App(id="1001", key="app-key", secret="app-secret")
DISABLED = App(id="1002", key="off-key", secret="off-secret", enabled=False)
APPS = {app.key: app for app in (APP, DISABLED)}
NOW = 1_760_000_000
PAID = CheckedEvent(("orders",), "paid", "{}", None, ())


def request(method: str, path: str, body: object = None, app: App = APP, **query: str) -> rest.Request:
    """A signed request; a body that is no bytes goes as JSON."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    signed = signing.sign_rest(app, method, path, query=list(query.items()), body=raw, now=NOW)
    return rest.Request(method, f"{path}?" + "&".join(f"{name}={value}" for name, value in signed), raw)


def parse(given: rest.Request) -> rest.Call:
    return rest.parse(given, APPS.get, NOW)


def refusal(given: rest.Request) -> tuple[int, str]:
    with pytest.raises(RequestError) as error:
        parse(given)
    return error.value.status, error.value.message


def publish(**body: object) -> rest.Call:
    return parse(request("POST", "/apps/1001/events", body))


def publish_refusal(**body: object) -> tuple[int, str]:
    return refusal(request("POST", "/apps/1001/events", body))


# Publishing


def test_an_event_is_published_to_its_channels():
    call = publish(
        name="paid", data="{}", channels=["a", "b", "a"], socket_id="1.1", info="user_count,subscription_count"
    )
    event = CheckedEvent(("a", "b"), "paid", "{}", "1.1", ("user_count", "subscription_count"))
    assert call == rest.Trigger(APP, (event,))


@pytest.mark.parametrize("where", [{"channel": "orders"}, {"channels": "orders"}, {"channels": ["orders"]}])
def test_every_sdks_way_to_name_the_channel_works(where):
    assert publish(name="paid", data="{}", **where) == rest.Trigger(APP, (PAID,))


@pytest.mark.parametrize(
    "extra", [{"socket_id": None}, {"info": ""}, {"info": None}, {"tags": {}, "idempotency_key": "x"}]
)
def test_what_is_absent_or_unknown_makes_no_difference(extra):
    assert publish(name="paid", data="{}", channel="orders", **extra) == rest.Trigger(APP, (PAID,))


@pytest.mark.parametrize(
    ("data", "text"), [("", ""), ("plain", "plain"), ({"id": 7}, '{"id":7}'), (None, "null"), (7, "7")]
)
def test_data_is_delivered_as_it_is_or_as_its_json(data, text):
    call = publish(name="paid", data=data, channel="orders")
    assert isinstance(call, rest.Trigger)
    assert call.events[0].data == text


def test_parameters_may_come_in_the_query():
    query = {"name": "paid", "data": "{}", "socket_id": "1.1", "info": "user_count"}
    query |= {"channels[0]": "b", "channels[1]": "a"}
    given = request("POST", "/apps/1001/events", None, APP, **query)
    assert parse(given) == rest.Trigger(APP, (CheckedEvent(("b", "a"), "paid", "{}", "1.1", ("user_count",)),))
    given = request("POST", "/apps/1001/events", name="paid", data="{}", channel="orders")
    assert parse(given) == rest.Trigger(APP, (PAID,))


def test_a_body_wins_over_the_query():
    body = {"name": "paid", "data": "{}", "channel": "orders"}
    given = request("POST", "/apps/1001/events", body, name="other", channel="others", data="")
    assert parse(given) == rest.Trigger(APP, (PAID,))


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"data": "", "channel": "a"}, 400, "Expected name parameter to be a string that is not empty"),
        ({"name": 7, "data": "", "channel": "a"}, 400, "Expected name parameter to be a string that is not empty"),
        (
            {"name": "pusher:a", "data": "", "channel": "a"},
            400,
            "The 'pusher' namespace is reserved for internal usage",
        ),
        ({"name": "paid", "channel": "a"}, 400, "Missing required parameter: data"),
        ({"name": "paid", "data": ""}, 400, "Missing required parameter: channel"),
        ({"name": "paid", "data": "", "channels": []}, 400, "Missing required parameter: channel"),
        ({"name": "paid", "data": "", "channels": {}}, 400, "channels must be a list of names, got dict"),
        ({"name": "paid", "data": "", "channels": ["a", 7]}, 400, "Invalid channel name 7"),
        ({"name": "paid", "data": "", "channel": "a b"}, 400, "Invalid channel name 'a b'"),
        (
            {"name": "paid", "data": "", "channels": [f"a{number}" for number in range(101)]},
            400,
            "Too many channels (101 > 100)",
        ),
        (
            {"name": "paid", "data": "", "channel": "a", "socket_id": "x"},
            400,
            "Invalid socket id 'x': should be two integers joined by a dot",
        ),
        ({"name": "paid", "data": "", "channel": "a", "info": 7}, 400, "info must be a comma list, got int"),
        (
            {"name": "paid", "data": "", "channel": "a", "info": "size"},
            400,
            "Unknown info attribute 'size': allowed are user_count, subscription_count, cache",
        ),
        (
            {"name": "paid", "data": "x" * 10_241, "channel": "a"},
            413,
            "The data content of this event exceeds the allowed maximum (10240 bytes).",
        ),
    ],
)
def test_a_bad_event_is_refused_with_the_documented_status(body, status, message):
    assert publish_refusal(**body) == (status, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"nonsense", "The body is no valid JSON"),
        (b"\xff", "The body is no valid JSON"),
        (b"[" * 100_000, "The body is no valid JSON"),
        (b"[]", "The body must be a JSON object, got list"),
        (b"null", "The body must be a JSON object, got NoneType"),
    ],
)
@pytest.mark.parametrize("path", ["/apps/1001/events", "/apps/1001/batch_events"])
def test_a_body_that_is_no_json_object_is_refused(path, body, message):
    assert refusal(request("POST", path, body)) == (400, message)


def test_a_batch_keeps_its_order_and_may_name_several_channels():
    batch = [
        {"name": "a", "channel": "x", "data": "{}", "info": "user_count"},
        {"name": "b", "channels": ["y", "z"], "data": "{}", "socket_id": "1.1"},
    ]
    events = (CheckedEvent(("x",), "a", "{}", None, ("user_count",)), CheckedEvent(("y", "z"), "b", "{}", "1.1", ()))
    assert parse(request("POST", "/apps/1001/batch_events", {"batch": batch})) == rest.Trigger(APP, events, batch=True)


GOOD = {"name": "a", "channel": "x", "data": "{}"}


@pytest.mark.parametrize(
    ("batch", "status", "message"),
    [
        (None, 400, "Missing required parameter: batch, a list of events"),
        ({}, 400, "Missing required parameter: batch, a list of events"),
        ([GOOD] * 11, 400, "Batch too large (11 > 10)"),
        ([GOOD, 7], 400, "An event must be a JSON object, got int"),
        ([GOOD, {**GOOD, "name": "pusher-a"}], 400, "The 'pusher' namespace is reserved for internal usage"),
        (
            [GOOD, {**GOOD, "data": "x" * 10_241}],
            413,
            "The data content of this event exceeds the allowed maximum (10240 bytes).",
        ),
    ],
)
def test_one_bad_event_refuses_the_whole_batch(batch, status, message):
    assert refusal(request("POST", "/apps/1001/batch_events", {"batch": batch})) == (status, message)


def test_the_legacy_publish_takes_its_body_as_data_and_is_answered_202():
    call = parse(request("POST", "/apps/1001/channels/orders/events", "é".encode(), name="paid", socket_id="1.1"))
    assert call == rest.Trigger(APP, (CheckedEvent(("orders",), "paid", "é", "1.1", ()),), accepted=202)


def test_the_legacy_publish_refuses_a_body_that_is_no_text():
    given = request("POST", "/apps/1001/channels/orders/events", b"\xff", name="paid")
    assert refusal(given) == (400, "The body must be UTF-8")


# Asking


@pytest.mark.parametrize(
    ("path", "query", "call"),
    [
        ("/apps/1001/channels", {}, rest.ListChannels(APP, "", ())),
        ("/apps/1001/channels/", {}, rest.ListChannels(APP, "", ())),
        (
            "/apps/1001/channels",
            {"filter_by_prefix": "presence-", "info": "user_count"},
            rest.ListChannels(APP, "presence-", ("user_count",)),
        ),
        ("/apps/1001/channels", {"info": "subscription_count"}, rest.ListChannels(APP, "", ("subscription_count",))),
        ("/apps/1001/channels/orders", {}, rest.GetChannel(APP, "orders", ())),
        ("/apps/1001/channels/a=b@c,d;e.f", {}, rest.GetChannel(APP, "a=b@c,d;e.f", ())),
        ("/apps/1001/channels/a%3Db", {}, rest.GetChannel(APP, "a=b", ())),
        ("/apps/1001/channels/%23server-to-user-ada", {}, rest.GetChannel(APP, "#server-to-user-ada", ())),
        ("/apps/1001/channels/presence-a", {"info": "user_count"}, rest.GetChannel(APP, "presence-a", ("user_count",))),
        ("/apps/1001/channels/presence-a/users", {}, rest.GetUsers(APP, "presence-a")),
        ("/apps/1001/channels/orders/stats", {}, rest.GetStats(APP, "orders")),
    ],
)
def test_questions_are_understood(path, query, call):
    assert parse(request("GET", path, **query)) == call


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (
            "/apps/1001/channels",
            {"info": "user_count"},
            (
                "user_count may only be requested for presence channels -"
                " please supply filter_by_prefix begining with presence-"
            ),
        ),
        (
            "/apps/1001/channels/orders",
            {"info": "user_count"},
            "Cannot retrieve the user count unless the channel is a presence channel",
        ),
        ("/apps/1001/channels/orders/users", {}, "Users can only be retrieved for presence channels"),
        ("/apps/1001/channels/no%20spaces", {}, "Invalid channel name"),
        ("/apps/1001/channels/a%2Fb", {}, "Invalid channel name"),
        ("/apps/1001/channels/a%0A/users", {}, "Invalid channel name"),
        (
            "/apps/1001/channels",
            {"info": "size"},
            "Unknown info attribute 'size': allowed are user_count, subscription_count, cache",
        ),
    ],
)
def test_questions_that_make_no_sense_are_400_in_hosted_words(path, query, message):
    assert refusal(request("GET", path, **query)) == (400, message)


@pytest.mark.parametrize(
    "path", ["/apps/1001/users/auth0%7C7/terminate_connections", "/users/auth0%7C7/terminate_connections"]
)
def test_a_user_is_terminated_with_the_apps_prefix_and_without(path):
    assert parse(request("POST", path, b"{}")) == rest.Terminate(APP, "auth0|7")


# Who may


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/apps/1001/events", 405, "GET is not allowed here, only POST"),
        ("DELETE", "/apps/1001/channels", 405, "DELETE is not allowed here, only GET"),
        ("GET", "/apps/1001", 404, "Unknown path: the API lives under /apps/APP_ID/"),
        ("GET", "/apps/1001/channels/a/b/c", 404, "Unknown path: the API lives under /apps/APP_ID/"),
        ("GET", "/", 404, "Unknown path: the API lives under /apps/APP_ID/"),
        ("GET", "/apps/1002/channels", 404, "Unknown app id '1002' for this auth_key"),
    ],
)
def test_a_path_or_method_that_is_none_of_ours_is_refused(method, path, status, message):
    assert refusal(request(method, path)) == (status, message)


def test_a_key_is_needed_and_must_be_known():
    assert refusal(rest.Request("GET", "/apps/1001/channels")) == (401, "Missing parameter: auth_key")
    assert refusal(rest.Request("GET", "/apps/1001/channels?auth_key=nobody")) == (400, "Unknown auth_key")


def test_an_app_switched_off_is_403_once_the_signature_is_right():
    assert refusal(request("GET", "/apps/1002/channels", app=DISABLED)) == (403, "App is disabled")
    forged = request("GET", "/apps/1002/channels", app=App(id="1002", key=DISABLED.key, secret="guessed"))
    assert refusal(forged)[0] == 401


def test_the_signature_is_checked_before_the_body_is_looked_at():
    forged = request("POST", "/apps/1001/events", b"nonsense", app=App(id="1001", key=APP.key, secret="guessed"))
    status, message = refusal(forged)
    assert (status, message.partition(":")[0]) == (401, "Invalid signature")


@pytest.mark.parametrize("signed_path", ["/apps/1001/channels", "/realtime/apps/1001/channels"])
def test_under_a_prefix_the_path_may_be_signed_with_it_or_without(signed_path):
    signed = signing.sign_rest(APP, "GET", signed_path, query=[], body=b"", now=NOW)
    query = "&".join(f"{name}={value}" for name, value in signed)
    given = rest.Request("GET", f"/realtime/apps/1001/channels?{query}", b"", "/realtime")
    assert parse(given) == rest.ListChannels(APP, "", ())


@given(st.sampled_from(["GET", "POST", "PUT"]), st.text(), st.binary(max_size=30))
def test_whatever_comes_is_a_call_or_a_refusal(method, rest_of_path, body):
    given = rest.Request(method, "/apps/1001/" + rest_of_path, body)
    with pytest.raises(RequestError):
        parse(given)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
events = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("name", "data", "channel", "channels", "socket_id", "info"), json_values)
)


@given(events)
def test_whatever_a_genuine_publish_says_is_an_event_within_the_rules_or_a_refusal(event):
    try:
        call = publish(**event)
    except RequestError:
        return
    assert isinstance(call, rest.Trigger)
    assert all(isinstance(data.data, str) and data.channels for data in call.events)


# Answers


def test_success_is_a_json_object():
    answer = rest.ok({"channels": {}})
    assert (answer.status, answer.body, answer.content_type) == (200, b'{"channels":{}}', "application/json")


def test_failure_is_one_line_of_plain_text_whatever_the_message_holds():
    answer = rest.failure(RequestError(401, 'you sent "a\r\nSet-Cookie: x=1\ud800"'))
    assert answer.body == b'you sent "a  Set-Cookie: x=1 "\n'
    assert (answer.status, answer.content_type) == (401, "text/plain; charset=utf-8")
