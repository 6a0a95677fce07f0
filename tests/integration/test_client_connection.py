"""What a client does about connections that end, servers that are silent, and readers that are slow."""

import asyncio
import ssl

import pytest
import trustme
from aiohttp import web

from relay import App, Hub, Member, UsageError, User
from relay.client import Backoff, Closed, QueueOverflow, Settings, SubscriptionRefused
from relay.testing import ManualClock
from relay_transports.aiohttp import connect, setup
from relay_transports.inprocess import connect as connect_inprocess
from tests.integration.worlds import APP

IMPATIENT = Settings(reconnect=Backoff(first=0.02, most=0.2))


async def member_of_all(request: web.Request, channel: str) -> Member | bool:
    return False if channel == "private-closed" else Member("u-1", {"name": "Ada"})


class Site:
    """A hub on a port that can go down and come up again."""

    def __init__(self) -> None:
        self.port = 0

    async def up(self, context: ssl.SSLContext | None = None) -> Hub:
        hub, application = Hub(APP), web.Application()
        setup(application, hub, authorize=member_of_all)
        self.runner = web.AppRunner(application, shutdown_timeout=5)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, ssl_context=context).start()
        self.port = self.runner.addresses[0][1]
        return hub

    async def down(self) -> None:
        await self.runner.cleanup()

    def url(self, scheme: str, path: str) -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@pytest.fixture
async def site():
    site = Site()
    yield site
    await site.down()


async def test_a_server_that_restarts_loses_no_subscription(site):
    await site.up()
    auth = site.url("http", "/pusher/auth")
    async with connect(site.url("ws", "/app/app-key"), auth_endpoint=auth, settings=IMPATIENT) as client:
        orders, room = await client.subscribe("orders"), await client.subscribe("presence-room")
        first = client.socket_id
        await site.down()
        hub = await site.up()
        await client.until(lambda: orders.subscribed and room.subscribed)
        await hub.trigger("orders", "paid", 1)
        assert (await anext(orders)).data == 1
        assert client.socket_id != first
        assert [member.id for member in room.members] == ["u-1"]


async def test_states_are_told_in_pusher_js_words(site):
    await site.up()
    states = []
    async with connect(site.url("ws", "/app/app-key"), settings=IMPATIENT) as client:
        client.connection.bind("state_change", lambda change: states.append(change.current.value))
        await site.down()
        await site.up()
        await client.until(lambda: states[-1:] == ["connected"])
    assert states[0] in {"connecting", "unavailable"}
    assert states[-1] == "disconnected"


async def test_the_auth_endpoint_refuses(site):
    await site.up()
    auth = site.url("http", "/pusher/auth")
    async with connect(site.url("ws", "/app/app-key"), auth_endpoint=auth) as client:
        with pytest.raises(SubscriptionRefused, match="403: Not authorized to subscribe to private-closed"):
            await client.subscribe("private-closed")


async def test_a_hub_behind_tls(site):
    authority = trustme.CA()
    server, browser = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(browser)
    hub = await site.up(server)
    async with connect(
        site.url("wss", "/app/app-key"), auth_endpoint=site.url("https", "/pusher/auth"), ssl=browser
    ) as client:
        team = await client.subscribe("private-team")
        await hub.trigger("private-team", "paid", 1)
        assert (await anext(team)).data == 1


async def test_a_wrong_key_is_for_good(site):
    await site.up()
    with pytest.raises(Closed) as closed:
        await connect(site.url("ws", "/app/wrong"))
    assert closed.value.code == 4001


async def test_nobody_listens(site):
    await site.up()
    await site.down()
    with pytest.raises(Closed, match="cannot connect"):
        await connect(site.url("ws", "/app/app-key"))


@pytest.mark.parametrize("url", ["127.0.0.1/app/key", "ws://127.0.0.1/", "ftp://127.0.0.1/app/key"])
def test_a_url_that_cannot_be_says_what_one_looks_like(url):
    with pytest.raises(UsageError, match="wss://HOST/app/KEY"):
        connect(url)


async def test_a_private_channel_without_an_authorizer_says_how_to_pass_one(site):
    await site.up()
    async with connect(site.url("ws", "/app/app-key")) as client:
        with pytest.raises(UsageError, match="authorize= or auth_endpoint="):
            await client.subscribe("private-team")


async def test_connect_takes_functions_in_place_of_endpoints(site):
    hub: Hub = await site.up()

    async def authorize(socket_id: str, channel: str, member: Member | None) -> dict[str, str]:
        return hub.authorize_channel(socket_id, channel, member)

    async def authenticate(socket_id: str, user: Member | None) -> dict[str, str]:
        assert user is not None
        return hub.authenticate_user(socket_id, User(user.id))

    url = site.url("ws", "/app/app-key")
    for connecting in (connect(url, authorize=authorize, authenticate=authenticate),
                       connect_inprocess(hub, authorize=authorize, authenticate=authenticate)):  # fmt: skip
        async with connecting as client:
            assert (await client.subscribe("presence-room", user_id="ada")).members.me == Member("ada")
            assert (await client.signin("ada")).subscribed
    settings = Settings(authorize=authorize)
    for make in (lambda: connect(url, authorize=authorize, settings=settings),
                 lambda: connect_inprocess(hub, authorize=authorize, settings=settings)):  # fmt: skip
        with pytest.raises(UsageError, match="authorize= is given twice"):
            make()


async def test_signing_in_without_an_authenticator_says_how_to_pass_one(site):
    await site.up()
    async with connect(site.url("ws", "/app/app-key")) as client:
        with pytest.raises(UsageError, match="authenticate= or user_auth_endpoint="):
            await client.signin("ada")


async def test_a_ready_auth_that_nobody_can_renew_is_refused_after_a_reconnect(site):
    hub = await site.up()
    async with connect(site.url("ws", "/app/app-key"), settings=IMPATIENT) as client:
        team = await client.subscribe("private-team", auth=hub.authorize_channel(client.socket_id, "private-team"))
        await site.down()
        await site.up()
        await client.until(lambda: team.refusal is not None)
        assert str(team.refusal) == (
            "subscription to private-team refused: its auth= was for the connection that was lost:"
            " make the client with authorize= or auth_endpoint="
        )


@pytest.mark.every_loop
@pytest.mark.parametrize(
    ("overflow", "left", "dropped"), [("drop_oldest", [3, 4], 3), ("drop_newest", [0, 1], 3), ("raise", [3, 4], 0)]
)
async def test_a_slow_reader_loses_what_its_policy_says(overflow, left, dropped):
    hub = Hub(App(id="1", key="k", secret="s"))
    async with hub, connect_inprocess(hub, settings=Settings(max_queued=2, overflow=overflow)) as client:
        orders = await client.subscribe("orders")
        for number in range(5):
            await hub.trigger("orders", "paid", number)
        if overflow == "raise":
            with pytest.raises(QueueOverflow) as lost:
                await anext(orders)
            assert lost.value.lost == 3
        assert [(await anext(orders)).data for _ in range(2)] == left
        assert orders.dropped == dropped


async def deaf(request: web.Request) -> web.WebSocketResponse:
    """A server that greets and is silent from then on; it keeps what it hears."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    greeting = r'{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.1\",\"activity_timeout\":60}"}'
    await socket.send_str(greeting)
    async for message in socket:
        request.app[HEARD].append(message.data)
        request.app[NEWS].set()
    return socket


HEARD = web.AppKey("heard", list[str])
NEWS = web.AppKey("news", asyncio.Event)


async def test_a_silent_server_is_asked_whether_it_lives_and_given_up():
    application = web.Application()
    application[HEARD], application[NEWS] = [], asyncio.Event()
    application.router.add_get("/app/{key}", deaf)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clock = ManualClock()
    url = f"ws://127.0.0.1:{runner.addresses[0][1]}/app/k"
    async with connect(url, clock=clock, settings=Settings(reconnect=None)) as client:
        await clock.advance(60)
        await application[NEWS].wait()
        assert application[HEARD] == ['{"event":"pusher:ping","data":{}}']
        await clock.advance(29)
        assert client.closed is None
        await clock.advance(1)
        closed: Closed | None = vars(client)["closed"]  # a fresh look: it was None above
        assert closed is not None
        assert (closed.code, closed.reason) == (1006, "the server does not answer")
    await runner.cleanup()
