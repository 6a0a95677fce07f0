"""One client's protocol state: what each frame leads to, in which order things are checked, and hosted's words for
every refusal (protocol 1.8, 1.9, 2.6, 3, 4).
"""

import json

import msgspec
import pytest

from relay import App, Disconnect, Refused
from relay.protocol import messages, signing
from relay.protocol.messages import Identity
from relay.protocol.names import Kind
from relay.protocol.session import Action, Join, Leave, Publish, Reply, Session, Signin, accept
from tests.unit.client import say

APP = App(id="1001", key="app-key", secret="app-secret", client_events=True)
SOCKET = "183923.7465120"
ADA = '{"user_id":"ada","user_info":{"name":"Ada"}}'
ADA_SIGNED_IN = '{"id":"ada","user_info":{"name":"Ada"}}'


def new(**settings: object) -> Session:
    given = {"id": APP.id, "key": APP.key, "secret": APP.secret, "client_events": True, **settings}
    return Session(App(**given), SOCKET)  # type: ignore[arg-type]


def auth(text: str) -> str:
    return f"{APP.key}:{signing.sign(APP.secret, text)}"


def subscribe(session: Session, channel: str, channel_data: str | None = None) -> Action | None:
    """Subscribe with the right signature."""
    data = {"channel": channel, "auth": auth(f"{SOCKET}:{channel}")}
    if channel_data is not None:
        data |= {"channel_data": channel_data, "auth": auth(f"{SOCKET}:{channel}:{channel_data}")}
    return session.receive(say("pusher:subscribe", data), 0.0)


def enter(session: Session, channel: str, channel_data: str | None = None) -> None:
    assert isinstance(subscribe(session, channel, channel_data), Join)
    session.joined(channel)


def sign_in(session: Session, user_data: str = ADA_SIGNED_IN) -> Action | None:
    data = {"auth": auth(f"{SOCKET}::user::{user_data}"), "user_data": user_data}
    return session.receive(say("pusher:signin", data), 0.0)


def refusal(session: Session, event: str, data: object = None, channel: str | None = None) -> Refused:
    with pytest.raises(Refused) as refused:
        session.receive(say(event, data, channel), 0.0)
    return refused.value


def why(session: Session, event: str, data: object = None, channel: str | None = None) -> str:
    return refusal(session, event, data, channel).message


# The door


@pytest.mark.parametrize("protocol", ["5", "6", "7", "07"])
def test_protocols_5_to_7_are_let_in(protocol):
    assert accept(APP, APP.key, protocol, secure=False) is APP


@pytest.mark.parametrize(
    ("app", "protocol", "code", "message"),
    [
        (None, "7", 4001, "App key nobody not in this cluster. Did you forget to specify the cluster?"),
        (new(enabled=False).app, "7", 4003, "App is disabled"),
        (new(tls_only=True).app, "7", 4000, "App accepts TLS only: connect with wss"),
        (APP, None, 4008, "No protocol version: add protocol=7 to the URL"),
        (APP, "", 4008, "No protocol version: add protocol=7 to the URL"),
        (APP, "seven", 4006, "Invalid protocol version: should be 5, 6 or 7"),
        (APP, "\N{ARABIC-INDIC DIGIT SEVEN}", 4006, "Invalid protocol version: should be 5, 6 or 7"),
        (APP, "7.0", 4006, "Invalid protocol version: should be 5, 6 or 7"),
        (APP, "4", 4007, "Unsupported protocol version: should be 5, 6 or 7"),
        (APP, "8", 4007, "Unsupported protocol version: should be 5, 6 or 7"),
        (APP, "0", 4007, "Unsupported protocol version: should be 5, 6 or 7"),
        (APP, "9" * 5000, 4007, "Unsupported protocol version: should be 5, 6 or 7"),
    ],
)
def test_others_are_closed_with_the_documented_code(app, protocol, code, message):
    with pytest.raises(Disconnect) as disconnect:
        accept(app, "nobody", protocol, secure=False)
    assert (disconnect.value.code, disconnect.value.message) == (code, message)


def test_an_app_for_tls_only_lets_secure_clients_in():
    app = new(tls_only=True).app
    assert accept(app, app.key, "7", secure=True) is app


@pytest.mark.parametrize("origin", [None, "https://a.example", "http://b.example:3000"])
def test_client_of_an_allowed_origin_or_of_none_is_let_in(origin):
    app = msgspec.structs.replace(APP, allowed_origins=("https://a.example", "http://b.example:3000"))
    assert accept(app, app.key, "7", secure=True, origin=origin) is app


@pytest.mark.parametrize("origin", ["", "null", "https://b.example", "https://a.example:443", "http://b.example"])
def test_client_of_another_origin_is_closed_with_4009(origin):
    app = msgspec.structs.replace(APP, allowed_origins=("https://a.example", "http://b.example:3000"))
    with pytest.raises(Disconnect, match=r"^Origin not allowed$") as refused:
        accept(app, app.key, "7", secure=True, origin=origin)
    assert refused.value.code == 4009


def test_an_app_key_is_shown_cut_so_that_the_reason_fits_a_close_frame():
    with pytest.raises(Disconnect) as disconnect:
        accept(None, "k" * 500, "7", secure=True)
    assert len(disconnect.value.message.encode()) <= 123


# The machine of one subscription


def test_a_subscribe_asks_the_owner_to_join_and_is_subscribed_once_it_joined():
    session = new()
    assert subscribe(session, "private-a") == Join("private-a", Kind.PRIVATE)
    assert session.subscriptions["private-a"].joining
    session.joined("private-a")
    assert not session.subscriptions["private-a"].joining


@pytest.mark.parametrize("joined", [False, True], ids=["joining", "subscribed"])
def test_a_second_subscribe_is_refused_whether_the_first_is_done_or_not(joined):
    session = new()
    subscribe(session, "private-a")
    if joined:
        session.joined("private-a")
    with pytest.raises(Refused, match=r"^Existing subscription to channel private-a$"):
        subscribe(session, "private-a")
    assert session.subscriptions["private-a"].joining is not joined


def test_a_join_that_failed_is_forgotten_and_may_be_tried_again():
    session = new()
    subscribe(session, "private-a")
    was = session.left("private-a")
    assert was is not None
    assert was.joining
    assert subscribe(session, "private-a") == Join("private-a", Kind.PRIVATE)


@pytest.mark.parametrize("joined", [False, True], ids=["joining", "subscribed"])
def test_an_unsubscribe_forgets_the_channel_and_says_what_it_was(joined):
    session = new()
    subscribe(session, "presence-a", ADA)
    if joined:
        session.joined("presence-a")
    action = session.receive(say("pusher:unsubscribe", {"channel": "presence-a"}), 0.0)
    assert isinstance(action, Leave)
    assert (action.channel, action.was.joining) == ("presence-a", not joined)
    assert action.was.member == Identity("ada", messages.read_member(ADA).info)
    assert session.subscriptions == {}


def test_leaving_a_channel_one_is_not_in_is_nothing():
    assert new().left("orders") is None


# Subscribing


@pytest.mark.parametrize(
    "data",
    [
        {"channel": "orders"},
        {"channel": "orders", "auth": ""},
        {"channel": "orders", "auth": None, "channel_data": None},
        {"channel": "orders", "auth": "nonsense", "channel_data": "nonsense", "delta": "fossil", "filter": {}},
        '{"channel":"orders"}',
    ],
)
def test_every_sdks_way_to_subscribe_to_a_public_channel_works(data):
    assert new().receive(say("pusher:subscribe", data), 0.0) == Join("orders", Kind.PUBLIC)


def test_a_presence_subscribe_brings_its_member():
    join = subscribe(new(), "presence-room", '{"user_id":1265}')
    assert join == Join("presence-room", Kind.PRESENCE, Identity("1265"))


def test_a_signed_in_user_needs_no_channel_data_on_presence_channels():
    session = new()
    sign_in(session)
    join = subscribe(session, "presence-room")
    assert join == Join("presence-room", Kind.PRESENCE, session.user)


def test_channel_data_wins_over_the_user_signed_in():
    session = new()
    sign_in(session)
    join = subscribe(session, "presence-room", '{"user_id":"bob"}')
    assert join == Join("presence-room", Kind.PRESENCE, Identity("bob"))


@pytest.mark.parametrize("without", [{}, {"auth": ""}, {"auth": None}])
@pytest.mark.parametrize(("channel", "kind"), [("private-a", Kind.PRIVATE), ("presence-a", Kind.PRESENCE)])
def test_a_subscribe_without_auth_is_left_to_the_owners_authorizer(without, channel, kind):
    session = new()
    join = session.receive(say("pusher:subscribe", {"channel": channel, **without}), 0.0)
    assert join == Join(channel, kind, unsigned=True)
    assert isinstance(join, Join)
    assert join.refusal.message == f"Auth info required to subscribe to {channel}"
    assert join.refusal.channel == channel


def test_whom_the_owner_vouches_for_is_the_member():
    session = new()
    join = session.receive(say("pusher:subscribe", {"channel": "presence-a"}), 0.0)
    assert isinstance(join, Join)
    assert session.vouch(join, Identity("ada")) == Join("presence-a", Kind.PRESENCE, Identity("ada"))
    assert session.subscriptions["presence-a"].member == Identity("ada")


def test_vouching_without_a_member_takes_the_user_signed_in_or_is_refused():
    session = new()
    join = session.receive(say("pusher:subscribe", {"channel": "presence-a"}), 0.0)
    assert isinstance(join, Join)
    with pytest.raises(Refused, match=r"^No member given for presence-a$"):
        session.vouch(join, None)
    sign_in(session)
    assert session.vouch(join, None).member == session.user


NO_INFO = '{"user_id":"ada","user_info":[]}'
WRONG_IN_EVERY_WAY = {"channel": "no spaces", "auth": "nonsense", "channel_data": "nonsense"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (WRONG_IN_EVERY_WAY, "Invalid channel name 'no spaces': should be 1 to 200 characters"),
        ({**WRONG_IN_EVERY_WAY, "channel": "presence-here"}, "Existing subscription to channel presence-here"),
        ({**WRONG_IN_EVERY_WAY, "channel": "presence-a"}, "Auth value for subscription to presence-a is invalid"),
        ({**WRONG_IN_EVERY_WAY, "channel": "presence-a", "auth": "other:x"}, "Invalid key in subscription auth data"),
        ({**WRONG_IN_EVERY_WAY, "channel": "presence-a", "auth": "app-key:x"}, "Invalid signature: "),
        (
            {"channel": "presence-a", "auth": auth(f"{SOCKET}:presence-a:nonsense"), "channel_data": "nonsense"},
            "Invalid channel_data: ",
        ),
    ],
    ids=["name", "duplicate", "form of auth", "key", "signature", "member"],
)
def test_a_subscribe_is_checked_in_the_order_of_the_reference(data, message):
    session = new()
    enter(session, "presence-here", ADA)
    assert why(session, "pusher:subscribe", data).startswith(message)
    assert list(session.subscriptions) == ["presence-here"]


@pytest.mark.parametrize(
    ("settings", "channel_data", "message"),
    [
        ({}, None, "channel_data with a user_id is required to subscribe to presence-a, or a sign-in before it"),
        ({"max_user_id": 2}, ADA, "user_id has 3 characters, allowed are 2 (subscription to presence-a)"),
        ({"max_user_info_bytes": 13}, ADA, "user_info has 14 bytes, allowed are 13 (subscription to presence-a)"),
    ],
)
def test_a_member_must_be_there_and_within_the_limits(settings, channel_data, message):
    session = new(**settings)
    with pytest.raises(Refused) as refused:
        subscribe(session, "presence-a", channel_data)
    assert refused.value.message == message
    assert refused.value.channel == "presence-a"


def test_a_connection_may_be_in_so_many_channels():
    session = new(max_subscriptions=1)
    enter(session, "a")
    refused = why(session, "pusher:subscribe", {"channel": "b"})
    assert refused == "Over subscription limit: 1 channels a connection (subscription to b)"


@pytest.mark.parametrize(
    "data",
    [
        {"channel": "no spaces"},
        {"channel": "x" * 201},
        {"channel": "#server-to-user-bob"},
        {"channel": "private-a", "auth": "nonsense"},
        {"channel": "private-a", "auth": "other:x"},
        {"channel": "private-a", "auth": "app-key:x"},
        {"channel": "presence-a", "auth": auth(f"{SOCKET}:presence-a:x"), "channel_data": "x"},
        {"channel": "presence-a", "auth": auth(f"{SOCKET}:presence-a:{NO_INFO}"), "channel_data": NO_INFO},
        {"channel": "presence-a", "auth": auth(f"{SOCKET}:presence-a")},
    ],
)
def test_a_refused_subscribe_names_its_channel_so_that_clients_know_which_it_was(data):
    assert data["channel"][:200] in why(new(), "pusher:subscribe", data)


# Hosted's words (protocol 1.8)


@pytest.mark.parametrize(
    ("event", "data", "channel", "message"),
    [
        ("pusher:subscribe", {"channel": "private-here"}, None, "Existing subscription to channel private-here"),
        (
            "pusher:unsubscribe",
            {"channel": "orders"},
            None,
            "No current subscription to channel orders, or subscription in progress",
        ),
        (
            "pusher:subscribe",
            {"channel": "private-a", "auth": "app-key:beef"},
            None,
            f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET}:private-a, but got beef",
        ),
        (
            "pusher:subscribe",
            {"channel": "presence-a", "auth": "app-key:beef", "channel_data": '{"user_id":"ada"}'},
            None,
            (
                f'Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET}:presence-a:{{"user_id":"ada"}},'
                " but got beef"
            ),
        ),
        (
            "pusher:subscribe",
            {"channel": "private-a", "auth": "nonsense"},
            None,
            "Auth value for subscription to private-a is invalid: should be of format 'key:signature'",
        ),
        (
            "pusher:subscribe",
            {"channel": "private-a", "auth": "other-key:beef"},
            None,
            "Invalid key in subscription auth data: 'other-key' (subscription to private-a)",
        ),
        (
            "client-a",
            {},
            "orders",
            "Client event rejected - only supported on private and presence channels",
        ),
        (
            "client-a",
            {},
            "private-a",
            "Cannot broadcast client event (connection not subscribed to channel private-a)",
        ),
        ("client-a", None, "private-here", "Invalid client event (must contain channel and data)"),
        ("client-a", {}, None, "Invalid client event (must contain channel and data)"),
        (
            "client-a",
            "x" * 10_241,
            "private-here",
            "The data content of this event exceeds the allowed maximum (10240 bytes).",
        ),
        ("foo", None, None, "Unsupported event received on socket: foo"),
        ("pusher:xyz", {}, None, "Unsupported event received on socket: pusher:xyz"),
        ("pusher_internal:xyz", {}, None, "Unsupported event received on socket: pusher_internal:xyz"),
        ("client", {}, "private-here", "Unsupported event received on socket: client"),
    ],
)
def test_refusals_have_hosteds_words_and_no_code(event, data, channel, message):
    session = new()
    enter(session, "private-here")
    refused = refusal(session, event, data, channel)
    assert (refused.message, refused.code) == (message, None)


def test_an_app_without_client_events_says_where_to_switch_them_on():
    words = "To send client events, you must enable this feature in the Settings page of your dashboard."
    assert why(new(client_events=False), "client-a", {}, "private-a") == words


def test_a_refusal_that_is_about_a_channel_names_it_for_echo():
    refused = refusal(new(), "pusher:subscribe", {"channel": "private-a", "auth": "app-key:beef"})
    assert refused.channel == "private-a"


# Users


def test_signing_in_proves_a_user_and_is_acknowledged_verbatim():
    session = new()
    user = Identity("ada", messages.read_user(ADA_SIGNED_IN).info)
    assert sign_in(session) == Signin(user, messages.signin_success(ADA_SIGNED_IN))
    assert session.user == user


def test_signing_in_again_as_the_same_user_succeeds_and_as_another_does_not():
    session = new()
    sign_in(session)
    assert isinstance(sign_in(session, '{"id":"ada"}'), Signin)
    with pytest.raises(Refused, match=r"^Connection is signed in as ada already$"):
        sign_in(session, '{"id":"bob"}')
    assert session.user is not None
    assert session.user.user_id == "ada"


def test_signing_in_may_be_switched_off():
    with pytest.raises(Refused, match=r"^To sign in, user authentication must be enabled for this app \(signin\)$"):
        sign_in(new(user_authentication=False))


def test_a_watchlist_is_read_where_there_are_watchlists_each_user_once():
    user_data = '{"id":"ada","watchlist":["bob","eve","bob"]}'
    watching, ignoring = sign_in(new(watchlists=True), user_data), sign_in(new(), user_data)
    assert isinstance(watching, Signin)
    assert isinstance(ignoring, Signin)
    assert (watching.watchlist, watching.excess, ignoring.watchlist) == (("bob", "eve"), None, ())


def test_of_a_watchlist_that_is_too_long_the_first_are_watched():
    signin = sign_in(new(watchlists=True, max_watchlist=2), '{"id":"ada","watchlist":["bob","eve","joe"]}')
    assert isinstance(signin, Signin)
    assert isinstance(signin.excess, Refused)
    assert (signin.watchlist, signin.excess.code) == (("bob", "eve"), 4302)
    assert signin.excess.message == "Watchlist too long: it has 3 users, only the first 2 are watched"


def test_a_watchlist_that_cannot_be_read_signs_nobody_in():
    session = new(watchlists=True)
    with pytest.raises(
        Refused, match=r"^Invalid user_data: Expected `str`, got `int` - at `\$.watchlist\[0\]`, watchlist"
    ):
        sign_in(session, '{"id":"ada","watchlist":[7]}')
    assert session.user is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "Invalid data of pusher:signin: "),
        ({"auth": "app-key:beef"}, "Invalid data of pusher:signin: "),
        (
            {"auth": "nonsense", "user_data": "{}"},
            "Auth value for signin is invalid: should be of format 'key:signature'",
        ),
        ({"auth": "other:beef", "user_data": "{}"}, "Invalid key in signin auth data: 'other'"),
        ({"auth": "app-key:beef", "user_data": "{}"}, "Invalid signature: "),
        ({"auth": auth(f"{SOCKET}::user::{{}}"), "user_data": "{}"}, "Invalid user_data: "),
        ({"auth": auth(f'{SOCKET}::user::{{"id":7}}'), "user_data": '{"id":7}'}, "Invalid user_data: "),
    ],
)
def test_a_bad_sign_in_is_refused_and_changes_nothing(data, message):
    session = new()
    assert why(session, "pusher:signin", data).startswith(message)
    assert session.user is None


def test_a_user_may_listen_to_its_own_events_and_nobody_elses():
    session, own = new(), "#server-to-user-ada"
    assert why(session, "pusher:subscribe", {"channel": own}).startswith("Only the user signed in on this connection")
    sign_in(session)
    assert session.receive(say("pusher:subscribe", {"channel": own, "auth": ""}), 0.0) == Join(own, Kind.USER)
    assert why(session, "pusher:subscribe", {"channel": "#server-to-user-bob"}).startswith("Only the user signed in")


# Client events


def test_a_client_event_becomes_the_frame_for_the_others():
    session = new()
    enter(session, "private-a")
    action = session.receive(say("client-typing", {"who": "ada"}, "private-a"), 0.0)
    text = rb'{"event":"client-typing","channel":"private-a","data":"{\"who\": \"ada\"}"}'
    assert action == Publish("private-a", "client-typing", text, None)


def test_a_client_event_on_a_presence_channel_says_who_from_the_membership_alone():
    session = new()
    enter(session, "presence-a", ADA)
    text = '{"event":"client-a","channel":"presence-a","data":"{}","user_id":"mallory","extra":1}'
    action = session.receive(text, 0.0)
    assert isinstance(action, Publish)
    assert json.loads(action.text) == {"event": "client-a", "channel": "presence-a", "data": "{}", "user_id": "ada"}


def test_a_client_event_waits_for_the_acknowledgement():
    session = new()
    subscribe(session, "private-a")
    assert why(session, "client-a", {}, "private-a").startswith("Cannot broadcast client event")


def test_a_client_event_of_exactly_the_largest_size_passes_and_a_byte_more_does_not():
    session = new(max_event_bytes=5)
    enter(session, "private-a")
    assert isinstance(session.receive(say("client-a", "café", "private-a"), 0.0), Publish)
    assert why(session, "client-a", "cafés", "private-a").startswith("The data content of this event exceeds")


def test_a_client_event_may_have_a_name_of_200_characters():
    session = new()
    enter(session, "private-a")
    assert isinstance(session.receive(say("client-" + "a" * 193, {}, "private-a"), 0.0), Publish)
    assert why(session, "client-" + "a" * 194, {}, "private-a").startswith("Invalid client event (name is longer")


def test_client_events_above_the_rate_are_refused_with_4301_and_again_welcome_a_second_later():
    session = new(client_event_rate=2)
    enter(session, "private-a")
    event = say("client-a", {}, "private-a")
    for _ in range(2):
        assert isinstance(session.receive(event, 5.0), Publish)
    with pytest.raises(Refused, match=r"^Client event rejected due to rate limit$") as refused:
        session.receive(event, 5.0)
    assert refused.value.code == 4301
    assert isinstance(session.receive(event, 6.0), Publish)


# The rest


def test_a_ping_is_answered_whatever_its_data():
    for data in ("{}", '""', "null"):
        assert new().receive(f'{{"event":"pusher:ping","data":{data}}}', 0.0) == Reply(messages.PONG)
    assert new().receive('{"event":"pusher:ping"}', 0.0) == Reply(messages.PONG)


def test_a_pong_needs_no_answer():
    assert new().receive('{"event":"pusher:pong","data":null}', 0.0) is None


def test_a_client_that_sends_nothing_but_rubbish_is_closed():
    session = new()
    for _ in range(1000):
        why(session, "rubbish")
    with pytest.raises(Disconnect, match=r"^Too many invalid messages$") as disconnect:
        session.receive("rubbish", 0.0)
    assert disconnect.value.code == 1008


def test_a_client_that_is_wrong_now_and_then_is_not():
    session = new()
    for second in range(20):
        for _ in range(100):
            with pytest.raises(Refused):
                session.receive("rubbish", float(second))


def test_an_unknown_event_is_shown_cut():
    assert why(new(), "x" * 5000) == "Unsupported event received on socket: " + "x" * 200
