"""A WebSocket on a path of nobody's: pusher-js must be told, since it does not understand a 404 (protocol 1.1)."""

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestServer

from relay import App, Hub
from relay_transports.aiohttp import setup, subapp

APP = App(id="1", key="k", secret="s")
STRAY = ["/", "/app", "/wrong/app/k", "/rt", "/rt/ap/k"]


def mounted() -> web.Application:
    application = web.Application()
    application.add_subapp("/rt", subapp(Hub(APP)))
    return application


def alone() -> web.Application:
    application = web.Application()
    setup(application, Hub(APP), prefix="/rt", alone=True)
    return application


def beside() -> web.Application:
    application = web.Application()
    setup(application, Hub(APP), prefix="/rt")
    return application


@pytest.mark.parametrize(("application", "path"), [(alone, path) for path in STRAY] + [(mounted, "/rt/ap/k")])
async def test_a_stray_socket_is_let_in_and_closed_with_4005(application, path):
    async with TestServer(application()) as server, ClientSession() as session:
        async with session.ws_connect(server.make_url(path)) as socket:
            assert (await socket.receive_json())["data"] == {"code": 4005, "message": "Path not found"}
            closed = await socket.receive()
            assert (closed.type, closed.data) == (WSMsgType.CLOSE, 4005)
        async with session.get(server.make_url(path)) as answer:
            assert answer.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_what_is_no_socket_is_not_found_on_a_stray_path_whatever_its_method(method):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    async with TestServer(alone()) as server, ClientSession() as session:
        for headers in {}, upgrade:
            async with session.request(method, server.make_url("/rt/ap/k"), headers=headers) as answer:
                assert answer.status == 404


async def test_an_application_that_has_a_hub_beside_other_things_keeps_its_other_paths():
    async with TestServer(beside()) as server, ClientSession() as session:
        with pytest.raises(WSServerHandshakeError, match="404"):
            await session.ws_connect(server.make_url("/chat"))


async def test_a_client_is_let_in_where_handlers_are_cancelled_when_their_transport_goes():
    """As in aiohttp's TestServer, and wherever `handler_cancellation` is asked for."""
    async with (
        TestServer(beside()) as server,
        ClientSession() as session,
        session.ws_connect(server.make_url("/rt/app/k?protocol=7")) as socket,
    ):
        assert (await socket.receive_json())["event"] == "pusher:connection_established"
