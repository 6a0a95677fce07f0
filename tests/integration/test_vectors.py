"""The protocol's worked signatures: what others computed is accepted here, and made here."""

from __future__ import annotations

import hashlib
import json
from random import Random

import pytest

from relay import App, Hub, Member, User
from relay.protocol import signing
from relay.testing import ManualClock
from tests.integration.bad_frames import say
from tests.integration.raw import Client, connect
from tests.integration.serving import serving
from tests.integration.signer import KEY, NOW, SECRET
from tests.integration.wire import http

OURS = App(id="1001", key=KEY, secret=SECRET)
PUBLISHED = App(id="3", key="278d425bdf160c739803", secret="7ad3773142a6692b25b8")
ADA = '{"user_id":"u-42","user_info":{"name":"Ada"}}'
ADA_SIGNED_IN = '{"id":"u-42","user_info":{"name":"Ada"},"watchlist":["u-7","u-9"]}'
SIGNATURES = [
    (OURS, "private-team_1", None, "afda90065d3c1229bc1d7d0d1f4597cc2f150734a7ef9e7700e7206596bed5d5"),
    (OURS, "presence-room", ADA, "94a8a78f19615305af7d08d4f862e3275ef6f69b30d4690ac1fa9cecc4bf6d6d"),
    (PUBLISHED, "private-foobar", None, "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"),
    (
        PUBLISHED,
        "presence-foobar",
        '{"user_id":10,"user_info":{"name":"Mr. Channels"}}',
        "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
    ),
]
SIGN_INS = [
    (OURS, ADA_SIGNED_IN, "87635e0b2944f6a723f58ed9aee9d1c7290c344447c75bc7f2c3f743789cc046"),
    (PUBLISHED, '{"id":"12345"}', "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"),
]
ORDER = """{"name":"order.paid","data":"{\\"id\\":7,\\"note\\":\\"café\\"}","channels":["orders","private-team_1"],"socket_id":"183923.7465120"}"""  # noqa: E501


class Dealt(Random):
    """Deals the halves of the socket id that the example is about."""

    def __init__(self, socket_id: str) -> None:
        super().__init__()
        self._halves = [int(half) for half in socket_id.split(".")]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return self._halves.pop(0)


def socket_id(app: App) -> str:
    return "183923.7465120" if app is OURS else "1234.1234"


async def subscribed(client: Client, channel: str, **data: str) -> str:
    """The name of the answer to a subscribe."""
    await client.send(say("pusher:subscribe", {"channel": channel, **data}))
    return (await client.receive()).event


@pytest.mark.parametrize(("app", "channel", "channel_data", "signature"), SIGNATURES)
async def test_worked_signature_lets_the_socket_into_the_channel(app, channel, channel_data, signature):
    data = {"auth": f"{app.key}:{signature}"} | ({"channel_data": channel_data} if channel_data else {})
    async with Hub(app, random=Dealt(socket_id(app))) as hub, connect(hub) as client:
        assert client.socket_id == socket_id(app)
        assert await subscribed(client, channel, **data) == "pusher_internal:subscription_succeeded"


@pytest.mark.parametrize(("app", "channel", "channel_data", "signature"), SIGNATURES)
def test_worked_signature_is_what_an_auth_endpoint_answers(app, channel, channel_data, signature):
    signed = signing.sign_channel(app, socket_id(app), channel, channel_data)
    assert signed == f"{app.key}:{signature}"


async def test_hub_authorizes_with_the_exact_words_of_the_example():
    async with Hub(OURS) as hub:
        assert hub.authorize_channel("183923.7465120", "presence-room", Member("u-42", {"name": "Ada"})) == {
            "auth": f"{KEY}:{SIGNATURES[1][3]}",
            "channel_data": ADA,
        }


@pytest.mark.parametrize(("app", "user_data", "signature"), SIGN_INS)
async def test_worked_signature_signs_the_user_in(app, user_data, signature):
    async with Hub(app, random=Dealt(socket_id(app))) as hub, connect(hub) as client:
        await client.send(say("pusher:signin", {"auth": f"{app.key}:{signature}", "user_data": user_data}))
        answer = await client.receive()
        assert (answer.event, answer.data) == ("pusher:signin_success", {"user_data": user_data})


async def test_hub_signs_users_in_with_the_published_signature():
    async with Hub(PUBLISHED) as hub:
        signed = hub.authenticate_user("1234.1234", User("12345"))
        assert signed == {"auth": f"{PUBLISHED.key}:{SIGN_INS[1][2]}", "user_data": SIGN_INS[1][1]}


async def test_signed_in_user_joins_presence_with_the_signature_of_socket_and_channel_alone():
    async with Hub(OURS, random=Dealt(socket_id(OURS))) as hub, connect(hub) as client:
        await client.send(say("pusher:signin", {"auth": f"{KEY}:{SIGN_INS[0][2]}", "user_data": ADA_SIGNED_IN}))
        await client.receive()
        auth = f"{KEY}:0c700b99e8cfe4f12794c9407137bd512f84abd552e9e299670ba458add470fc"
        assert await subscribed(client, "presence-room", auth=auth) == "pusher_internal:subscription_succeeded"
        assert await hub.members("presence-room") == [Member("u-42", {"name": "Ada"})]


def test_worked_webhook_signature_is_the_hmac_of_its_body():
    body = '{"time_ms":1760000000123,"events":[{"name":"channel_occupied","channel":"orders"}]}'
    assert signing.sign(SECRET, body) == "59257375031affc51cc1b279601aae447a05601090217946fdab46b4552ff5d5"


async def test_worked_publish_is_accepted_delivered_and_kept_from_its_cause():
    body = ORDER.encode()
    assert (len(body), hashlib.md5(body).hexdigest()) == (128, "59e3d398efad78bc9e8677201c629098")
    url = (
        f"/apps/1001/events?auth_key={KEY}&auth_timestamp=1760000000&auth_version=1.0"
        "&body_md5=59e3d398efad78bc9e8677201c629098"
        "&auth_signature=0342db60415ff2b51030d3906b93cb3ccba7b2b78a8d1dc32463523219b9d440"
    )
    hub = Hub(OURS, random=Dealt("183923.7465120.1.1"), clock=ManualClock(unix=NOW))
    async with serving(hub) as served, connect(hub) as cause, connect(hub) as reader:
        for client in cause, reader:
            await client.subscribe("private-team_1")
            await client.received()
        answer = await http(served.port, "POST", url, body)
        assert (answer.status, answer.json) == (200, {})
        assert [event.data for event in await reader.received()] == [{"id": 7, "note": "café"}]
        assert await cause.received() == []


@pytest.mark.parametrize("info", ["user_count,subscription_count", "user_count%2Csubscription_count"])
async def test_worked_query_is_accepted_raw_and_escaped(info):
    url = (
        f"/apps/1001/channels?auth_key={KEY}&auth_timestamp=1760000000&auth_version=1.0&filter_by_prefix=presence-"
        f"&info={info}&auth_signature=d8acb990dfa1c8b2e78fbfa18aa6d517a393ea37850a46990e13dfc5225941c1"
    )
    async with serving(Hub(OURS, clock=ManualClock(unix=NOW))) as served:
        answer = await http(served.port, "GET", url)
        assert (answer.status, answer.json) == (200, {"channels": {}})


async def test_published_publish_is_accepted():
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    url = (
        f"/apps/3/events?body_md5=ec365a775a4cd0599faeb73354201b6f&auth_version=1.0&auth_key={PUBLISHED.key}"
        "&auth_timestamp=1353088179"
        "&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
    )
    async with serving(Hub(PUBLISHED, clock=ManualClock(unix=1_353_088_179))) as served:
        assert (await http(served.port, "POST", url, body)).json == {}


@pytest.mark.parametrize(
    ("body", "md5"), [(b"", "d41d8cd98f00b204e9800998ecf8427e"), (b"{}", "99914b932bd37a50b983c5e7c90ae93b")]
)
def test_signed_request_carries_the_worked_md5(body, md5):
    query = dict(signing.sign_rest(OURS, "POST", "/apps/1001/events", query=[], body=body, now=NOW))
    assert query["body_md5"] == md5


def test_signed_request_has_the_worked_signature():
    body = json.dumps(json.loads(ORDER), ensure_ascii=False, separators=(",", ":")).encode()
    query = dict(signing.sign_rest(OURS, "POST", "/apps/1001/events", query=[], body=body, now=NOW))
    assert query["auth_signature"] == "0342db60415ff2b51030d3906b93cb3ccba7b2b78a8d1dc32463523219b9d440"
