"""Signatures: those that others computed (protocol 14), and every way to be wrong."""

import hashlib

import pytest

from relay import App, Refused, RequestError
from relay.protocol import signing

APP = App(id="1001", key="b1946ac92492d2347c62", secret="5d41402abc4b2a76b971")
PUBLISHED = App(id="3", key="278d425bdf160c739803", secret="7ad3773142a6692b25b8")
SOCKET, PUBLISHED_SOCKET = "183923.7465120", "1234.1234"
NOW = 1_760_000_000
ADA = '{"user_id":"u-42","user_info":{"name":"Ada"}}'
ADA_SIGNED_IN = '{"id":"u-42","user_info":{"name":"Ada"},"watchlist":["u-7","u-9"]}'
PAID = r'{"name":"order.paid","data":"{\"id\":7,\"note\":\"café\"}","channels":["orders","private-team_1"],'.encode()
PAID += b'"socket_id":"183923.7465120"}'
WEBHOOK = '{"time_ms":1760000000123,"events":[{"name":"channel_occupied","channel":"orders"}]}'


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("183923.7465120:private-team_1", "afda90065d3c1229bc1d7d0d1f4597cc2f150734a7ef9e7700e7206596bed5d5"),
        (f"183923.7465120:presence-room:{ADA}", "94a8a78f19615305af7d08d4f862e3275ef6f69b30d4690ac1fa9cecc4bf6d6d"),
        ("183923.7465120:presence-room", "0c700b99e8cfe4f12794c9407137bd512f84abd552e9e299670ba458add470fc"),
        (
            f"183923.7465120::user::{ADA_SIGNED_IN}",
            "87635e0b2944f6a723f58ed9aee9d1c7290c344447c75bc7f2c3f743789cc046",
        ),
        (WEBHOOK, "59257375031affc51cc1b279601aae447a05601090217946fdab46b4552ff5d5"),
    ],
)
def test_strings_are_signed_as_the_reference_computed_them(text, signature):
    assert signing.sign(APP.secret, text) == signature


def channel_is_proven(app: App, socket_id: str, channel: str, channel_data: str | None, auth: str) -> bool:
    presence = channel.startswith("presence-")
    try:
        signing.verify_channel(app, socket_id, channel, channel_data=channel_data, auth=auth, presence=presence)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("app", "socket_id", "channel", "channel_data", "signature"),
    [
        (APP, SOCKET, "private-team_1", None, "afda90065d3c1229bc1d7d0d1f4597cc2f150734a7ef9e7700e7206596bed5d5"),
        (APP, SOCKET, "presence-room", ADA, "94a8a78f19615305af7d08d4f862e3275ef6f69b30d4690ac1fa9cecc4bf6d6d"),
        (APP, SOCKET, "presence-room", None, "0c700b99e8cfe4f12794c9407137bd512f84abd552e9e299670ba458add470fc"),
        (
            PUBLISHED,
            PUBLISHED_SOCKET,
            "private-foobar",
            None,
            "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
        ),
        (
            PUBLISHED,
            PUBLISHED_SOCKET,
            "presence-foobar",
            '{"user_id":10,"user_info":{"name":"Mr. Channels"}}',
            "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
        ),
    ],
)
def test_published_and_computed_channel_signatures_verify_and_are_made(
    app, socket_id, channel, channel_data, signature
):
    auth = f"{app.key}:{signature}"
    assert channel_is_proven(app, socket_id, channel, channel_data, auth)
    assert signing.sign_channel(app, socket_id, channel, channel_data) == auth


def test_the_published_presence_signature_is_that_of_another_name_and_does_not_verify():
    auth = f"{PUBLISHED.key}:afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c"
    for name, right in (("Mr. Channels", False), ("Mr. Pusher", True)):
        data = f'{{"user_id":10,"user_info":{{"name":"{name}"}}}}'
        assert channel_is_proven(PUBLISHED, PUBLISHED_SOCKET, "presence-foobar", data, auth) is right


@pytest.mark.parametrize(
    ("app", "socket_id", "user_data", "signature"),
    [
        (APP, SOCKET, ADA_SIGNED_IN, "87635e0b2944f6a723f58ed9aee9d1c7290c344447c75bc7f2c3f743789cc046"),
        (
            PUBLISHED,
            PUBLISHED_SOCKET,
            '{"id":"12345"}',
            "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
        ),
    ],
)
def test_published_and_computed_user_signatures_verify_and_are_made(app, socket_id, user_data, signature):
    signing.verify_user(app, socket_id, user_data, f"{app.key}:{signature}")
    assert signing.sign_user(app, socket_id, user_data) == f"{app.key}:{signature}"


@pytest.mark.parametrize(
    ("socket_id", "channel", "channel_data", "right"),
    [
        (SOCKET, "presence-a", ADA, True),
        ("1.1", "presence-a", ADA, False),
        (SOCKET, "presence-b", ADA, False),
        (SOCKET, "presence-a", ADA + " ", False),
    ],
)
def test_a_signature_is_good_for_its_own_socket_channel_and_data_alone(socket_id, channel, channel_data, right):
    auth = signing.sign_channel(APP, SOCKET, "presence-a", ADA)
    assert channel_is_proven(APP, socket_id, channel, channel_data, auth) is right


def test_a_private_channels_signature_may_cover_its_channel_data_or_not():
    bare, covering = (signing.sign_channel(APP, SOCKET, "private-a", data) for data in (None, "{}"))
    assert channel_is_proven(APP, SOCKET, "private-a", "{}", bare)
    assert channel_is_proven(APP, SOCKET, "private-a", "{}", covering)


def test_a_presence_channels_signature_must_cover_its_channel_data():
    bare = signing.sign_channel(APP, SOCKET, "presence-a")
    assert not channel_is_proven(APP, SOCKET, "presence-a", ADA, bare)


@pytest.mark.parametrize("auth", [f"{APP.key.upper()}:x", f"{APP.key}:", ":", f"{APP.key}:é", "\N{PILE OF POO}:x"])
def test_a_wrong_key_or_signature_is_refused_whatever_its_letters(auth):
    assert not channel_is_proven(APP, SOCKET, "private-a", None, auth)


# REST


def refusal(raw_query: str, body: bytes = b"", *, method: str = "POST", path: str = "/apps/1001/events") -> str | None:
    """Why a call is refused, or None; it is judged at NOW."""
    try:
        signing.verify_rest(APP, method, path, raw_query=raw_query, body=body, now=NOW)
    except RequestError as error:
        return error.message if error.status == 401 else f"{error.status}: {error.message}"
    return None


def signed(method: str, path: str, query: dict[str, str], body: bytes = b"", now: float = NOW) -> str:
    pairs = signing.sign_rest(APP, method, path, query=list(query.items()), body=body, now=now)
    return "&".join(f"{name}={value}" for name, value in pairs)


def test_the_worked_publish_verifies():
    query = (
        "auth_key=b1946ac92492d2347c62&auth_timestamp=1760000000&auth_version=1.0"
        "&body_md5=59e3d398efad78bc9e8677201c629098"
        "&auth_signature=0342db60415ff2b51030d3906b93cb3ccba7b2b78a8d1dc32463523219b9d440"
    )
    assert refusal(query, PAID) is None
    assert signed("POST", "/apps/1001/events", {}, PAID) == query


@pytest.mark.parametrize("info", ["user_count,subscription_count", "user_count%2Csubscription_count"])
def test_the_worked_query_verifies_escaped_or_raw(info):
    query = (
        f"auth_key=b1946ac92492d2347c62&auth_timestamp=1760000000&auth_version=1.0&filter_by_prefix=presence-&info={info}"
        "&auth_signature=d8acb990dfa1c8b2e78fbfa18aa6d517a393ea37850a46990e13dfc5225941c1"
    )
    assert refusal(query, method="GET", path="/apps/1001/channels") is None


def test_the_published_rest_example_verifies():
    query = (
        "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0"
        "&body_md5=ec365a775a4cd0599faeb73354201b6f"
        "&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
    )
    body = rb'{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}'
    signing.verify_rest(PUBLISHED, "POST", "/apps/3/events", raw_query=query, body=body, now=1353088179)


def test_the_md5_of_an_empty_body_is_accepted_beside_none():
    query = signed("GET", "/apps/1001/channels", {})
    assert "body_md5=d41d8cd98f00b204e9800998ecf8427e" in query
    assert refusal(query, method="GET", path="/apps/1001/channels") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda query: "&".join(reversed(query.split("&"))),
        lambda query: query[:-64] + query[-64:].upper(),
        lambda query: f"&{query}&",
        lambda query: query.replace("auth_key", "auth%5Fkey"),
    ],
    ids=["any order", "an upper-case signature", "stray ampersands", "escaped names"],
)
def test_what_says_the_same_verifies(change):
    query = signed("POST", "/apps/1001/events", {"info": "user_count"}, PAID)
    assert refusal(change(query), PAID) is None


@pytest.mark.parametrize("value", ["a+b", "a b"])
def test_a_plus_sign_may_mean_itself_or_a_space(value):
    query = signed("GET", "/apps/1001/channels", {"filter_by_prefix": value})
    assert refusal(query.replace(value, "a+b"), method="GET", path="/apps/1001/channels") is None


def test_names_are_lower_cased_and_sorted_and_a_repeated_one_keeps_its_order():
    query = [("b", "1"), ("k[]", "2"), ("A", "x y"), ("k[]", "1"), ("auth_signature", "x")]
    assert signing.rest_string("post", "/p", query) == "POST\n/p\na=x y&b=1&k[]=2&k[]=1"


@pytest.mark.parametrize(
    ("signed_path", "path"),
    [
        ("/apps/1001/channels/private-a", "/apps/1001/channels/private%2Da"),
        ("/apps/1001/channels/private%2Da", "/apps/1001/channels/private%2Da"),
        ("/apps/1001/channels", "/realtime/apps/1001/channels"),
    ],
    ids=["decoded", "as received", "without what it is mounted under"],
)
def test_the_path_may_be_signed_in_several_ways(signed_path, path):
    assert refusal(signed("GET", signed_path, {}), method="GET", path=path) is None


@pytest.mark.parametrize("off", [-599, 599])
def test_a_timestamp_may_be_off_by_less_than_ten_minutes(off):
    assert refusal(signed("POST", "/apps/1001/events", {}, PAID, NOW + off), PAID) is None


def test_a_timestamp_ten_minutes_off_is_refused_in_hosted_words():
    message = refusal(signed("POST", "/apps/1001/events", {}, PAID, NOW - 600), PAID)
    assert message == (
        "Timestamp expired: Given timestamp (2025-10-09T08:43:20Z) not within 600s"
        " of server time (2025-10-09T08:53:20Z)"
    )


@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ("", b"", "Version required"),
        ("auth_version=2.0", b"", "Version not supported"),
        ("auth_version=1.0", b"", "Timestamp required"),
        ("auth_version=1.0&auth_timestamp=soon", b"", "Timestamp required: auth_timestamp must be Unix seconds"),
        ("auth_version=1.0&auth_timestamp=-1760000000", b"", "Timestamp required: auth_timestamp must be Unix seconds"),
        (f"auth_version=1.0&auth_timestamp={'9' * 15}", b"", "Timestamp expired: Given timestamp (999999999999999 s)"),
        (f"auth_version=1.0&auth_timestamp={NOW}", b"{}", "Missing parameter: body_md5"),
        (f"auth_version=1.0&auth_timestamp={NOW}&body_md5=beef", b"{}", "Invalid body MD5: "),
        (f"auth_version=1.0&auth_timestamp={NOW}&body_md5=beef", b"", "Invalid body MD5: "),
        (f"auth_version=1.0&auth_timestamp={NOW}", b"", "Missing parameter: auth_signature"),
        (f"auth_version=1.0&auth_timestamp={NOW}&auth_signature=beef", b"", "Invalid signature: "),
    ],
)
def test_checks_come_in_order_each_with_hosted_words(query, body, message):
    assert (refusal(query, body) or "").startswith(message)


def test_a_wrong_signature_is_answered_with_the_string_that_was_to_be_signed():
    query = f"auth_key={APP.key}&auth_version=1.0&auth_timestamp={NOW}&info=a%2Cb&auth_signature=beef"
    assert refusal(query) == (
        'Invalid signature: you should have sent HmacSHA256Hex("POST\\n/apps/1001/events\\n'
        f'auth_key={APP.key}&auth_timestamp={NOW}&auth_version=1.0&info=a,b", your_secret_key), but you sent "beef"'
    )


def test_changing_anything_that_was_signed_is_found():
    query = signed("POST", "/apps/1001/events", {"info": "user_count"}, PAID)
    assert refusal(query, PAID, method="GET")
    assert refusal(query, PAID, path="/apps/1001/batch_events")
    assert refusal(query.replace("user_count", "subscription_count"), PAID)
    assert refusal(query, PAID.replace(b"7", b"8"))
    assert refusal(query.replace(hashlib.md5(PAID).hexdigest(), hashlib.md5(b"{}").hexdigest()), b"{}")
    assert refusal("more=1&" + query, PAID)


def test_bytes_that_are_no_text_in_the_target_are_refused_like_any_wrong_signature():
    undecodable = b"x=\xff".decode("utf-8", "surrogateescape")  # as HTTP servers hand it over
    message = refusal(f"{undecodable}&{signed('POST', '/apps/1001/events', {}, PAID)}", PAID)
    assert (message or "").startswith("Invalid signature: ")
