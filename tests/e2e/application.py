"""The embedding application that the end-to-end tests talk to: a small site with a hub inside.

It serves the stock pusher-js and the pages, knows its users by a cookie (or X-User, where there is no browser),
signs for them, and publishes when a page asks it to.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template
from typing import Any

import msgspec
from aiohttp import web
from pusher import Pusher

from relay import App, Hub, Member, User
from relay_transports.aiohttp import setup

from .programs import PATIENCE

HERE = Path(__file__).parent
HOST = "127.0.0.1"
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
APP = App(id="1001", key="app-key", secret="app-secret", encryption_master_key=MASTER_KEY, client_events=True)
WATCHING = msgspec.structs.replace(APP, watchlists=True, offline_grace=0.1)

PUSHER_JS = {
    "8.6.0": HERE / "js/node_modules/pusher-js/dist/web",
    "3.0.0": HERE / "js/node_modules/pusher-js-3/dist",
}
LOGGING = {
    "logToConsole": "Pusher.logToConsole = true;",
    "log": "Pusher.log = (text) => console.log(text);",
}

TRANSPORTS = {"default": "undefined"}
"""What ``enabledTransports`` is where it is not the one transport that was asked for."""

Publish = Callable[[str, str, object, str | None], object]
"""A server SDK's ``trigger(channel, event, data, socket_id)``; it blocks."""


class Site:
    """The application with its hub.

    Its handlers publish in process, or with the server SDK that ``publish`` is set to.
    ``run(function, *arguments)`` calls a function, async or not, on the application's loop, from outside.
    """

    port: int
    tls_port: int
    publish: Publish | None = None
    run: Callable[..., Any]

    def __init__(self, app: App = WATCHING) -> None:
        self.hub = Hub(app)
        self.watchlists: dict[str, list[str]] = {}
        """Whom each user watches."""
        self._pages = {path.name: Template(path.read_text()) for path in HERE.joinpath("pages").glob("*.html")}
        self.encrypt_with(MASTER_KEY)

    def encrypt_with(self, master_key: str) -> None:
        """Let the PyPI SDK sign with this encryption master key from now on."""
        self._pypi = Pusher(APP.id, APP.key, APP.secret, encryption_master_key_base64=master_key)

    def url(self, path: str = "", *, tls: bool = False) -> str:
        return f"https://{HOST}:{self.tls_port}{path}" if tls else f"http://{HOST}:{self.port}{path}"

    @asynccontextmanager
    async def serve(self, certificate: ssl.SSLContext) -> AsyncIterator[None]:
        """Listen on two free ports, one plain and one with TLS."""
        runner = web.AppRunner(self._build(), access_log=None, shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        await web.TCPSite(runner, HOST, 0, ssl_context=certificate).start()
        self.port, self.tls_port = (address[1] for address in runner.addresses)
        try:
            yield
        finally:
            await _goodbyes(runner)
            await runner.cleanup()

    def _build(self) -> web.Application:
        app = web.Application()
        for version, folder in PUSHER_JS.items():
            app.router.add_static(f"/static/{version}", folder)
        app.router.add_get("/pages/{page}", self._page)
        app.router.add_post("/say", self._say)
        app.router.add_post("/auth/{signer}", self._sign)
        app.router.add_post("/pusher/user-auth", self._sign_user)
        setup(app, self.hub, authorize=self._authorize)
        return app

    async def _page(self, request: web.Request) -> web.Response:
        """A page rendered for the user who is logged in with it."""
        query = request.query
        transport = query.get("transport", "ws")
        user = query.get("user", "")
        html = self._pages[request.match_info["page"]].substitute(
            script=f"/static/{query['library']}/{query.get('build', 'pusher')}.js",
            logging=LOGGING[query.get("logging", "log")],
            key=query.get("key", APP.key),
            port=query.get("port", self.port),
            tls_port=query.get("tls_port", self.tls_port),
            tls=json.dumps(request.secure),
            transports=TRANSPORTS.get(transport, json.dumps([transport])),
            auth=query.get("auth", "/pusher/auth"),
            channel=f"private-user-{user}" if user else "my-channel",
        )
        response = web.Response(text=html, content_type="text/html")
        response.set_cookie("user", user)
        return response

    async def _say(self, request: web.Request) -> web.Response:
        """Publish for a page, sparing the page itself."""
        said = await request.json()
        channel, event, data = said["channel"], said["event"], said["data"]
        socket_id = request.headers.get("X-Socket-ID")
        if self.publish is None:
            await self.hub.trigger(channel, event, data, socket_id=socket_id)
        else:
            await asyncio.to_thread(self.publish, channel, event, data, socket_id)
        return web.json_response({})

    async def _authorize(self, request: web.Request, channel: str) -> Member | bool:
        """Every user may go anywhere but to the channels of other users."""
        user = _user(request)
        if not user or (channel.startswith("private-user-") and channel != f"private-user-{user}"):
            return False
        return Member(id=user, info={"name": user.title()})

    async def _sign(self, request: web.Request) -> web.Response:
        """An endpoint that the application wrote itself; it signs with the hub or with the PyPI SDK."""
        form = await request.post()
        socket_id, channel = str(form["socket_id"]), str(form["channel_name"])
        member = await self._authorize(request, channel)
        if not isinstance(member, Member):
            raise web.HTTPForbidden
        match request.match_info["signer"]:
            case "hub":
                return web.json_response(self.hub.authorize_channel(socket_id, channel, member))
            case "pypi":
                identity = {"user_id": member.id, "user_info": member.info} if channel.startswith("presence-") else None
                answer = self._pypi.authenticate(channel, socket_id, identity)
                return web.json_response(text=json.dumps(answer, default=bytes.decode))  # shared_secret is bytes
            case "unnamed":  # enough for a connection that is signed in
                return web.json_response(self._pypi.authenticate(channel, socket_id))
            case _:  # somebody who does not look at what is asked for
                return web.json_response(self.hub.authorize_channel(socket_id, "private-elsewhere"))

    async def _sign_user(self, request: web.Request) -> web.Response:
        form = await request.post()
        name = _user(request)
        user = User(id=name, info={"name": name.title()}, watchlist=self.watchlists.get(name, ()))
        return web.json_response(self.hub.authenticate_user(str(form["socket_id"]), user))


async def _goodbyes(runner: web.AppRunner) -> None:
    """Return when the clients that came with TLS have hung up: the loop must not end in the middle of that."""

    def going() -> bool:
        connections = runner.server.connections if runner.server else []
        return any(one.transport is None or one.transport.get_extra_info("sslcontext") for one in connections)

    async with asyncio.timeout(PATIENCE):
        while going():  # noqa: ASYNC110 - aiohttp tells nobody when a connection is gone
            await asyncio.sleep(0.01)


def _user(request: web.Request) -> str:
    return request.cookies.get("user", "") or request.headers.get("X-User", "")
