"""The REST client against a real hub: the Hub's verbs with the Hub's results, signed as hosts want it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pusher.http import make_query_string
from pusher.pusher_client import PusherClient
from pusher.signature import sign as sdk_sign

from relay import App, Event, Hub, Member, RequestError, TooLarge, UsageError, User
from relay.caching import CachedEvent
from relay.errors import HostError, PublisherClosed, Unauthorized
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient
from tests.integration.bad_frames import APP, KEY, SECRET, say, signed, subscribe
from tests.integration.hostile import Hostile, Skipping, hostile
from tests.integration.serving import Served, serving
from tests.integration.signer import KEY as VECTOR_KEY
from tests.integration.signer import SECRET as VECTOR_SECRET
from tests.integration.wire import Wire, websocket
from tests.typing.publisher import main

VECTOR = App(id="1001", key=VECTOR_KEY, secret=VECTOR_SECRET)
ADA = '{"user_id":"ada","user_info":{"name":"Ada"}}'


@pytest.fixture
async def client(served: Served) -> AsyncIterator[RestClient]:
    async with RestClient(APP, f"http://127.0.0.1:{served.port}", clock=ManualClock(), retries=0) as client:
        yield client


class Reader:
    """Somebody who listens over a socket."""

    def __init__(self, wire: Wire, socket_id: str) -> None:
        self.wire = wire
        self.socket_id = socket_id

    async def join(self, channel: str, channel_data: str | None = None) -> None:
        public = not channel.startswith(("private-", "presence-"))
        self.wire.send(subscribe(channel) if public else signed(channel, channel_data)(self.socket_id))
        assert (await self.wire.event())["event"] == "pusher_internal:subscription_succeeded"

    async def next(self) -> tuple[str, str, str]:
        event = await self.wire.event()
        return event["channel"], event["event"], event["data"]


@asynccontextmanager
async def reading(served: Served, *channels: str) -> AsyncIterator[Reader]:
    async with websocket(served.port, f"/app/{KEY}?protocol=7") as wire:
        reader = Reader(wire, json.loads((await wire.event())["data"])["socket_id"])
        for channel in channels:
            await reader.join(channel, ADA if channel.startswith("presence-") else None)
        yield reader


@pytest.fixture
async def reader(served: Served) -> AsyncIterator[Reader]:
    async with reading(served, "orders", "private-team_1", "presence-room") as reader:
        yield reader


async def test_event_arrives_on_each_of_its_channels_with_its_data_as_json(client, reader):
    receipt = await client.trigger(["orders", "private-team_1"], "paid", {"id": 7, "note": "café"})
    assert receipt.info == {"orders": {}, "private-team_1": {}}
    told = '{"id":7,"note":"café"}'
    assert [await reader.next(), await reader.next()] == [("orders", "paid", told), ("private-team_1", "paid", told)]


async def test_the_socket_that_caused_the_event_does_not_get_it(client, served, reader):
    async with reading(served, "orders") as cause:
        await client.trigger("orders", "paid", "1", socket_id=cause.socket_id)
        await client.trigger("orders", "paid", "2")
        assert await cause.next() == ("orders", "paid", "2")
        assert [await reader.next(), await reader.next()] == [("orders", "paid", "1"), ("orders", "paid", "2")]


async def test_receipt_tells_the_counts_that_were_asked_for(client, reader):
    receipt = await client.trigger(["orders", "presence-room"], "paid", "", info=["user_count", "subscription_count"])
    assert receipt.info == {"orders": {"subscription_count": 1}, "presence-room": {"user_count": 1}}


async def test_batch_of_any_size_arrives_in_order_with_a_receipt_for_each_event(client, reader):
    events = [
        Event(["orders", "private-team_1"], "paid", str(number), info=["subscription_count"]) for number in (1, 2)
    ]
    events += [Event("orders", "paid", str(number)) for number in range(3, 30)]
    receipts = await client.trigger_batch(events)
    assert [receipt.info for receipt in receipts[:2]] == [
        {"orders": {"subscription_count": 1}, "private-team_1": {"subscription_count": 1}}
    ] * 2
    assert [receipt.info for receipt in receipts[2:]] == [{"orders": {}}] * 27
    seen = [await reader.next() for _ in range(31)]
    assert [data for channel, _, data in seen if channel == "orders"] == [str(number) for number in range(1, 30)]
    assert [data for channel, _, data in seen if channel != "orders"] == ["1", "2"]


async def test_one_bad_event_and_nothing_of_the_batch_is_sent(client, served):
    with pytest.raises(UsageError, match="reserved"):
        await client.trigger_batch([*[Event("orders", "paid")] * 20, Event("orders", "pusher:paid")])
    assert await client.trigger_batch([]) == []
    assert served.sockets == 0


async def test_event_for_more_channels_than_a_batch_may_hold_stays_whole(client, reader):
    channels = [f"channel-{number}" for number in range(50)]
    receipts = await client.trigger_batch([Event("orders", "paid", "1"), Event(channels, "paid"), Event("orders", "x")])
    assert [list(receipt.info) for receipt in receipts] == [["orders"], channels, ["orders"]]
    assert [await reader.next(), await reader.next()] == [("orders", "paid", "1"), ("orders", "x", "")]


@pytest.mark.parametrize("user_id", ["u-42", "auth0|7", "Ünï/cödé ?&%#+"])
async def test_user_gets_what_is_sent_to_them_and_is_closed_when_terminated(client, served, user_id):
    async with reading(served) as user:
        data = client.authenticate_user(user.socket_id, User(user_id))
        user.wire.send(say("pusher:signin", data))
        assert (await user.wire.event())["event"] == "pusher:signin_success"
        user.wire.send(subscribe(f"#server-to-user-{user_id}"))
        assert (await user.wire.event())["event"] == "pusher_internal:subscription_succeeded"
        await client.send_to_user(user_id, "hello", {"n": 1})
        assert await user.next() == (f"#server-to-user-{user_id}", "hello", '{"n":1}')
        await client.terminate_user_connections(user_id)
        assert (await user.wire.event())["event"] == "pusher:error"
        assert (await user.wire.closed()).code == 4009


async def test_channels_are_authorized_with_the_apps_own_secret(client, served):
    async with reading(served) as reader:
        auth = client.authorize_channel(reader.socket_id, "presence-room", Member("ada"))
        reader.wire.send(say("pusher:subscribe", {"channel": "presence-room", **auth}))
        assert (await reader.wire.event())["event"] == "pusher_internal:subscription_succeeded"


async def test_last_event_of_a_cache_channel_is_told(client, served):
    receipt = await client.trigger("cache-bus", "position", {"lat": 1}, info=["cache", "subscription_count"])
    assert receipt.info == {"cache-bus": {"subscription_count": 0}}
    bus = await client.channel("cache-bus", info=["cache"])
    assert bus.cache == CachedEvent('{"lat":1}', 1800)
    assert bus == await served.hub.channel("cache-bus", info=["cache"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda publisher: publisher.channels(),
        lambda publisher: publisher.channels(info=["user_count", "subscription_count"]),
        lambda publisher: publisher.channels(prefix="pre", info=["user_count"]),
        lambda publisher: publisher.channels(prefix="presence-", info=["user_count", "subscription_count"]),
        lambda publisher: publisher.channels(prefix="private-", info=["user_count", "subscription_count"]),
        lambda publisher: publisher.channels(prefix="nobody-here"),
        lambda publisher: publisher.channel("orders"),
        lambda publisher: publisher.channel("orders", info=["user_count", "subscription_count"]),
        lambda publisher: publisher.channel("presence-room", info=["user_count", "subscription_count"]),
        lambda publisher: publisher.channel("empty=@,.;_-", info=["subscription_count"]),
        lambda publisher: publisher.channel("cache-bus", info=["cache", "subscription_count", "user_count"]),
        lambda publisher: publisher.channel("orders", info=["cache"]),
        lambda publisher: publisher.channels(info=["cache"]),
        lambda publisher: publisher.members("presence-empty"),
    ],
)
async def test_query_has_the_answer_that_the_hub_gives(client, served, reader, ask):
    assert await ask(client) == await ask(served.hub)


async def test_members_are_told_by_their_ids(client, reader):
    assert await client.members("presence-room") == [Member("ada")]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("trigger", ("orders", "pusher:x", "")),
        ("trigger", ("no spaces", "x", "")),
        ("trigger", ("orders", "", "")),
        ("trigger", ("orders", "x", object())),
        ("trigger", ([], "x", "")),
        ("members", ("orders",)),
        ("channel", ("no spaces",)),
        ("send_to_user", ("", "x", "")),
    ],
)
async def test_what_the_hub_does_not_let_pass_is_not_even_sent(client, served, verb, arguments):
    with pytest.raises(UsageError) as hubs:
        await getattr(served.hub, verb)(*arguments)
    with pytest.raises(UsageError) as ours:
        await getattr(client, verb)(*arguments)
    assert (str(ours.value), served.sockets) == (str(hubs.value), 0)


async def test_what_cannot_be_sent_is_a_usage_error(client, served):
    for wrong in (
        client.trigger("orders", "half \ud800", ""),
        client.send_to_user("half \ud800", "x", ""),
        client.terminate_user_connections("half \ud800"),
        client.terminate_user_connections(""),
        client.get("/channels", {"half \ud800": ""}),
        client.get("/channels", {"Auth_Key": "x"}),
        client.get("/channels", {"n": 1}),
        client.get("/channels?info=x"),
        client.get("channels"),
        client.post("/events", object()),
    ):
        with pytest.raises(UsageError):
            await wrong
    with pytest.raises(TooLarge):
        await client.trigger("orders", "x", "x" * 10_241)
    assert served.sockets == 0


async def test_raw_queries_get_the_decoded_json(client, reader):
    assert await client.get("/channels/orders", {"info": "subscription_count"}) == {
        "occupied": True,
        "subscription_count": 1,
    }
    body = {"name": "paid", "channels": ["orders"], "data": "1", "info": "subscription_count"}
    assert await client.post("/events", body) == {"channels": {"orders": {"subscription_count": 1}}}


async def test_refusal_of_the_host_is_raised_with_its_status_and_words(client):
    with pytest.raises(RequestError) as refused:
        await client.get("/channels/orders/users")
    told = (refused.value.status, str(refused.value))
    assert told == (400, "Users can only be retrieved for presence channels")


async def test_wrong_secret_is_unauthorized_and_the_signature_stays_between_us(served):
    wrong = App(id="1001", key=KEY, secret="something-else")
    async with RestClient(wrong, f"http://127.0.0.1:{served.port}", clock=ManualClock()) as client:
        with pytest.raises(Unauthorized, match=r'^Invalid signature: .* but you sent "\*\*\*"') as refused:
            await client.trigger("orders", "paid", "")
    assert refused.value.status == 401
    assert refused.value.__context__ is None


async def test_hub_that_is_closing_surely_did_nothing_and_is_asked_again(served):
    served.hub.close()
    clock = Skipping()
    async with RestClient(APP, f"http://127.0.0.1:{served.port}", clock=clock, retries=2) as client:
        with pytest.raises(HostError, match="Not accepting requests now") as failed:
            await client.trigger("orders", "paid", "")
    assert (failed.value.status, failed.value.maybe_done, len(clock.pauses)) == (503, False, 2)


async def test_hub_under_a_prefix_is_found(served):
    async with serving(Hub(APP), prefix="/live/v1") as deep:
        url = f"http://{KEY}:{SECRET}@127.0.0.1:{deep.port}/live/v1/apps/1001"
        async with RestClient.from_url(url, retries=0) as client:
            assert await client.channels() == {}


async def test_all_requests_share_one_connection(client, served):
    for _ in range(3):
        await client.trigger("orders", "paid", "")
        await client.channels()
    assert served.sockets == 1


async def test_closed_client_asks_nobody(client, served):
    await client.aclose()
    await client.aclose()
    for verb in client.trigger("orders", "paid", ""), client.channels(), client.trigger_batch([Event("a", "b")]):
        with pytest.raises(PublisherClosed):
            await verb
    with pytest.raises(PublisherClosed):
        client.trigger_soon("orders", "paid", "")
    assert served.sockets == 0


def test_client_made_outside_of_a_loop_works_in_one_and_says_so_in_another():
    client = RestClient(APP, "http://127.0.0.1:1", retries=0)

    async def ask() -> None:
        await client.channels()

    with pytest.raises(HostError, match="cannot connect"):
        asyncio.run(ask())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(ask())
    asyncio.run(client.aclose())


def test_client_shows_neither_secret_nor_credentials():
    client = RestClient.from_url(f"https://{KEY}:{SECRET}@example.com:8443/deep/apps/1001/")
    assert repr(client) == f"RestClient(App(id='1001', key='{KEY}', secret='***'), 'https://example.com:8443/deep')"


@pytest.mark.parametrize(
    ("environ", "base"),
    [
        ({"PUSHER_URL": "http://k:s@host:6001/apps/1"}, "http://host:6001"),
        ({"PUSHER_HOST": "host"}, "https://host"),
        ({"PUSHER_HOST": "host", "PUSHER_PORT": "6001", "PUSHER_SCHEME": "http"}, "http://host:6001"),
        ({"PUSHER_HOST": "", "PUSHER_CLUSTER": "eu"}, "https://api-eu.pusher.com"),
    ],
)
def test_environment_names_the_host(environ, base):
    given = {"PUSHER_APP_ID": "1", "PUSHER_KEY": "k", "PUSHER_SECRET": "s"} | environ
    assert repr(RestClient.from_env(given)) == f"RestClient(App(id='1', key='k', secret='***'), {base!r})"


def test_environment_without_a_host_is_an_error():
    with pytest.raises(UsageError, match="PUSHER_HOST"):
        RestClient.from_env({"PUSHER_APP_ID": "1", "PUSHER_KEY": "k", "PUSHER_SECRET": "s"})


@pytest.mark.parametrize(
    "base", ["", "host", "ftp://host", "http://", "http://h/?a=b", "http://h/#a", "http://k:hidden@h", "http://h:nan"]
)
def test_base_url_that_cannot_be_is_an_error_that_hides_credentials(base):
    with pytest.raises(UsageError, match="base_url should look like") as wrong:
        RestClient(APP, base)
    assert "hidden" not in str(wrong.value)


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"retries": -1}, {"max_queued": 0}, {"timeout": float("nan")}])
def test_settings_that_cannot_work_are_an_error(wrong):
    with pytest.raises(UsageError, match="got"):
        RestClient(APP, "http://host", **wrong)


async def test_application_code_does_not_know_which_publisher_it_got():
    await main()


# What is signed


async def test_worked_publish_is_sent_to_the_letter():
    async with hostile() as host, RestClient(VECTOR, host.url, clock=ManualClock()) as client:
        data = '{"id":7,"note":"café"}'
        await client.trigger(["orders", "private-team_1"], "order.paid", data, socket_id="183923.7465120")
    assert host.asked[0].target == (
        f"/apps/1001/events?auth_key={VECTOR_KEY}&auth_timestamp=1760000000&auth_version=1.0"
        "&body_md5=59e3d398efad78bc9e8677201c629098"
        "&auth_signature=0342db60415ff2b51030d3906b93cb3ccba7b2b78a8d1dc32463523219b9d440"
    )
    assert host.asked[0].headers["content-type"] == "application/json"


def query_of(host: Hostile) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(host.asked[-1].target).query, keep_blank_values=True))


async def test_queries_are_signed_as_the_python_sdk_signs_them(monkeypatch):
    now = 1_760_000_000.0
    monkeypatch.setattr("pusher.http.time.time", lambda: now)
    async with hostile() as host, RestClient(VECTOR, host.url, clock=ManualClock(unix=now)) as client:
        sdk = PusherClient(app_id="1001", key=VECTOR_KEY, secret=VECTOR_SECRET, host="127.0.0.1", port=host.port)
        await client.get("/channels", {"info": "user_count,subscription_count", "filter_by_prefix": "presence-"})
        theirs = sdk.channels_info.make_request("presence-", ["user_count", "subscription_count"])
        assert (query_of(host), host.asked[-1].path) == (theirs.query_params, theirs.path)
        await client.get("/channels/orders@=;", {"info": "subscription_count"})
        theirs = sdk.channel_info.make_request("orders@=;", ["subscription_count"])
        assert (query_of(host), host.asked[-1].path) == (theirs.query_params, theirs.path)


async def test_publishes_are_signed_as_the_python_sdk_signs_them():
    async with hostile() as host, RestClient(VECTOR, host.url) as client:
        await client.trigger_batch([Event("orders", "päid", "€"), Event("orders", "paid", {"id": 7})])
    query = query_of(host)
    signature = query.pop("auth_signature")
    assert signature == sdk_sign(VECTOR_SECRET, f"POST\n{host.asked[0].path}\n{make_query_string(query)}")
    assert abs(int(query["auth_timestamp"]) - time.time()) < 60


@pytest.fixture(scope="module")
async def steady() -> AsyncIterator[tuple[RestClient, Reader]]:
    """A hub, a reader and a client for many examples."""
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(Hub(APP)))
        reader = await stack.enter_async_context(reading(served, "orders"))
        yield await stack.enter_async_context(RestClient(APP, f"http://127.0.0.1:{served.port}", retries=0)), reader


@given(data=st.text(max_size=500), name=st.text(min_size=1, max_size=50).filter(lambda name: name[:6] != "pusher"))
async def test_hub_verifies_and_delivers_whatever_text_is_published(steady, data, name):
    client, reader = steady
    await client.trigger("orders", name, data)
    assert await reader.next() == ("orders", name, data)


@given(
    params=st.dictionaries(
        st.text(max_size=20).filter(lambda name: not name.lower().startswith(("auth_", "body_md5", "info", "filter"))),
        st.text(max_size=50),
        max_size=5,
    ),
    channel=st.from_regex(r"[-A-Za-z0-9_=@,.;]{1,200}", fullmatch=True).filter(lambda name: name.strip(".")),
)
async def test_hub_verifies_whatever_is_asked(steady, params, channel):
    client, _ = steady
    assert await client.get("/channels", params) == {"channels": {"orders": {}}}
    assert (await client.get(f"/channels/{channel}", params))["occupied"] == (channel == "orders")
