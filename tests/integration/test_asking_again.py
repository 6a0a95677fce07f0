"""A client over a socket whose auth endpoint is away when it comes back."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from relay import Hub, Member, User
from relay.client import Backoff, Client, Settings, State
from relay_transports.aiohttp import connect
from tests.integration.bad_frames import APP, KEY
from tests.integration.serving import Served, running, serving

IMPATIENT = Settings(reconnect=Backoff(first=0.02, most=0.02))
CHANNELS, USERS = "/channels", "/users"


class Endpoints:
    """The auth endpoints of an application; `away` answers are 503 first."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.away: Counter[str] = Counter()
        self.answered: list[tuple[str, int]] = []

    async def channels(self, request: web.Request) -> web.Response:
        form = await request.post()
        socket_id, channel = str(form["socket_id"]), str(form["channel_name"])
        return self._answer(request, self._hub.authorize_channel(socket_id, channel, Member("ada")))

    async def users(self, request: web.Request) -> web.Response:
        form = await request.post()
        return self._answer(request, self._hub.authenticate_user(str(form["socket_id"]), User("ada")))

    def _answer(self, request: web.Request, auth: dict[str, str]) -> web.Response:
        self.away[request.path] -= 1
        status = 503 if self.away[request.path] >= 0 else 200
        self.answered.append((request.path, status))
        return web.json_response(auth) if status == 200 else web.Response(status=status, text="one moment")


@asynccontextmanager
async def site() -> AsyncIterator[tuple[Served, Served, Endpoints]]:
    """A hub, and an application with its auth endpoints, on a port each."""
    hub, application = Hub(APP), web.Application()
    endpoints = Endpoints(hub)
    application.router.add_post(CHANNELS, endpoints.channels)
    application.router.add_post(USERS, endpoints.users)
    async with serving(hub) as sockets, running(application, hub) as http:
        yield sockets, http, endpoints


async def lose_connection(client: Client) -> None:
    """Send what the hub closes a connection for, and wait until it did."""
    await client.send_raw("x" * (APP.max_message_bytes + 1))
    await client.until(lambda: client.connection.state is State.UNAVAILABLE)


@pytest.mark.parametrize("times", [1, 3])
async def test_an_auth_endpoint_that_answers_503_when_a_client_comes_back_is_asked_again(times):
    async with site() as (sockets, http, endpoints):
        base = f"http://127.0.0.1:{http.port}"
        client = connect(
            f"ws://127.0.0.1:{sockets.port}/app/{KEY}",
            auth_endpoint=base + CHANNELS,
            user_auth_endpoint=base + USERS,
            settings=IMPATIENT,
        )
        async with client as ada:
            mine, news, room = await ada.signin(), await ada.subscribe("news"), await ada.subscribe("presence-room")
            endpoints.answered.clear()
            endpoints.away = Counter({CHANNELS: times, USERS: times})
            await lose_connection(ada)
            await ada.until(lambda: mine.subscribed and news.subscribed and room.subscribed)
            for path in (CHANNELS, USERS):
                statuses = [status for asked, status in endpoints.answered if asked == path]
                assert statuses == [503] * times + [200]
            await sockets.hub.send_to_user("ada", "notice", "hi")
            assert (await anext(mine)).data == "hi"
