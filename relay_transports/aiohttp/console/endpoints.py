"""What the console's page is made of, and the JSON it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from typing import Final

import msgspec
from aiohttp import web

from relay import api, reporting
from relay.app import App
from relay.errors import BrokerError, HubClosed, RequestError, TooLarge, UsageError
from relay.hub import ChannelInfo, Hub
from relay.metrics import ConnectionInfo
from relay.protocol import messages, names, rest
from relay.protocol.names import Kind
from relay_transports.aiohttp.console.entrance import COOKIE, Entrance
from relay_transports.aiohttp.embed import check_prefix
from relay_transports.aiohttp.operations import FactLines
from relay_transports.aiohttp.peers import Peers
from relay_transports.aiohttp.rest import answered, read

MOST_LISTED: Final = 20_000
"""Channels or connections in one answer; the page is told how many more there are."""
_PAGE = {
    "": ("console.html", "text/html"),
    "/console.css": ("console.css", "text/css"),
    "/console.js": ("console.js", "text/javascript"),
    "/lists.js": ("lists.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
}
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def add_console(
    app: web.Application, hub: Hub, *, token: str, prefix: str = "", forwarded_from: Sequence[str] = ()
) -> None:
    """Serve ``{prefix}/console`` from ``app``: a page for operators that shows what ``hub`` holds and what happens.

    Whoever knows ``token`` (16 or more printable characters) sees every App: channels, users, connections, facts; and
    can trigger events. So serve it over TLS, or to people you trust only. The token is given in a login form, or as
    ``Authorization: Bearer`` by programs, never in a URL; after five wrong ones an address has to wait.
    ``forwarded_from`` names the proxies that are believed who the client is, as in :func:`setup`.

    Raises :class:`UsageError` for a token, prefix or proxy that cannot be.
    """
    check_prefix(prefix)
    peers = Peers(forwarded_from)
    Console(hub, Entrance(token, hub.clock, peers), f"{prefix}/console").add_to(app)


_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Console:
    """The page below ``path``, and its API."""

    def __init__(self, hub: Hub, entrance: Entrance, path: str) -> None:
        self._hub = hub
        self._entrance = entrance
        self._path = path
        self._lines = FactLines(hub)

    def add_to(self, app: web.Application) -> None:
        """Serve all of it from ``app``."""
        routes, path = app.router, self._path
        for name in _PAGE:
            routes.add_get(path + name, partial(self._file, name))
        routes.add_get(f"{path}/", self._to_the_page)
        routes.add_post(f"{path}/login", partial(self._told, self._login))
        routes.add_post(f"{path}/logout", self._logout)
        asked: dict[str, _Answer] = {
            "stats": self._stats,
            "channels": self._channels,
            "channel": self._channel,
            "connections": self._connections,
            "connection": self._connection,
            "facts": self._facts,
        }
        for name, answer in asked.items():
            routes.add_get(f"{path}/api/{name}", partial(self._admitted, answer), allow_head=False)
        routes.add_post(f"{path}/api/trigger", partial(self._admitted, self._trigger))
        app.on_shutdown.append(self._lines.goodbye)

    async def _file(self, name: str, _: web.Request) -> web.Response:
        file, kind = _PAGE[name]
        body = await asyncio.to_thread(_read, file)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_SAFE)

    async def _to_the_page(self, request: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": "../console"})

    async def _told(self, answer: _Answer, request: web.Request) -> web.StreamResponse:
        """What ``answer`` gives, or the refusal that it raises."""
        try:
            return await answer(request)
        except RequestError as error:
            return answered(rest.failure(error))
        except TooLarge as error:
            return answered(rest.failure(RequestError(413, str(error))))
        except UsageError as error:
            return answered(rest.failure(RequestError(400, str(error))))
        except HubClosed:
            return answered(rest.failure(RequestError(503, "The hub does not run")))
        except BrokerError:
            return answered(rest.failure(RequestError(503, "The other nodes cannot be asked now: try again later")))

    async def _admitted(self, answer: _Answer, request: web.Request) -> web.StreamResponse:
        async def admitted(request: web.Request) -> web.StreamResponse:
            self._entrance.admit(request)
            return await answer(request)

        return await self._told(admitted, request)

    async def _login(self, request: web.Request) -> web.Response:
        given = await _object(request)
        token = given.get("token")
        self._entrance.check(request, token if isinstance(token, str) else "")
        response = _json({})
        self._entrance.open(request, response, request.path.removesuffix("/login"))
        return response

    async def _logout(self, request: web.Request) -> web.Response:
        response = _json({})
        response.del_cookie(COOKIE, path=request.path.removesuffix("/logout"))
        return response

    async def _stats(self, _: web.Request) -> web.Response:
        state = self._hub.readiness()
        node = {**msgspec.structs.asdict(state), "ready": state.ready, "debug": self._hub.debug}
        now = self._hub.clock.time()
        apps = [api.numbers(self._hub, app) for app in self._hub.apps]
        return _json({"time": now, "node": node, "apps": apps, "kinds": sorted(reporting.KINDS)})

    async def _channels(self, request: web.Request) -> web.Response:
        found = await self._hub.channels(
            prefix=request.query.get("prefix", ""),
            info=("user_count", "subscription_count"),
            app=self._app(request.query.get("app")),
        )
        listed = sorted(found.values(), key=_busiest)[:MOST_LISTED]
        told = [[channel.name, channel.subscription_count, channel.user_count] for channel in listed]
        return _json({"total": len(found), "channels": told})

    async def _channel(self, request: web.Request) -> web.Response:
        app, name = self._app(request.query.get("app")), request.query.get("name", "")
        occupancy = await self._hub.occupancy(name, app=app)
        presence = names.kind_of(name) is Kind.PRESENCE
        members = await self._hub.members(name, app=app) if presence else None
        told = None if members is None else [{"id": one.id, "info": one.info} for one in members[:MOST_LISTED]]
        return _json({"name": name, "subscriptions": occupancy.subscriptions, "members": told})

    async def _connections(self, request: web.Request) -> web.Response:
        app = self._app(request.query.get("app"))
        there = self._hub.connections(limit=MOST_LISTED, app=app)
        told = [[one.socket_id, one.user_id, len(one.channels), one.backlog] for one in there]
        return _json({"total": self._hub.stats(app=app).connections, "connections": told})

    async def _connection(self, request: web.Request) -> web.Response:
        found: ConnectionInfo | None = self._hub.connection(
            request.query.get("socket_id", ""), app=self._app(request.query.get("app"))
        )
        if found is None:
            raise RequestError(404, "There is no such connection on this node")
        return _json(msgspec.structs.asdict(found))

    async def _facts(self, request: web.Request) -> web.StreamResponse:
        app = request.query.get("app") or None
        return await self._lines.answer(
            request,
            kinds=rest.words(request.query.get("type")),
            channel=request.query.get("channel") or None,
            app=None if app is None else self._app(app),
        )

    async def _trigger(self, request: web.Request) -> web.Response:
        given = await _object(request)
        channel, event, socket_id = given.get("channel"), given.get("event"), given.get("socket_id") or None
        if not isinstance(channel, str) or not isinstance(event, str) or "data" not in given:
            raise RequestError(400, "An event needs channel and event, which are strings, and data")
        if not isinstance(socket_id, str | None):
            raise RequestError(400, "socket_id should be a string")
        app = self._app(given.get("app"))
        receipt = await self._hub.trigger(channel, event, given["data"], socket_id=socket_id, app=app)
        told = [msgspec.structs.asdict(one) for one in receipt.channels.values()]
        return _json({"remote": receipt.remote, "channels": told})

    def _app(self, given: object) -> App:
        apps = {app.id: app for app in self._hub.apps}
        found = apps.get(given) if isinstance(given, str) else None
        if found is None:
            raise RequestError(404, "There is no App with this id here")
        return found


@cache
def _read(file: str) -> bytes:
    return files("relay_transports.aiohttp.console").joinpath("page", file).read_bytes()


def _busiest(channel: ChannelInfo) -> tuple[int, str]:
    return -(channel.user_count or channel.subscription_count or 0), channel.name


async def _object(request: web.Request) -> dict[str, object]:
    """The body, a JSON object; the media type is one that no form of another site can send."""
    if request.content_type != "application/json":
        raise RequestError(415, "The body must be JSON, and its Content-Type application/json")
    try:
        body = await read(request)
        given = None if body is None else msgspec.json.decode(body)
    except (web.RequestPayloadError, ConnectionError, *messages.INVALID_JSON):
        given = None
    if not isinstance(given, dict):
        raise RequestError(400, "The body must be a JSON object")
    return given


def _json(value: object) -> web.Response:
    return web.Response(
        body=messages.json_bytes(value), content_type="application/json", headers={"Cache-Control": "no-store"}
    )
