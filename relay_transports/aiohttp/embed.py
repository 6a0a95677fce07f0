"""Putting a hub into an aiohttp application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from relay.app import App
from relay.errors import UsageError
from relay.hub import Hub
from relay_transports.aiohttp.auth import AuthEndpoint, Authorizer
from relay_transports.aiohttp.fallbacks import FallbackEndpoint
from relay_transports.aiohttp.operations import FACTS_PATH, FactsEndpoint
from relay_transports.aiohttp.peers import Peers, Places
from relay_transports.aiohttp.rest import RestEndpoint
from relay_transports.aiohttp.sockjs import SockJsEndpoint
from relay_transports.aiohttp.webhooks import WebhookSender
from relay_transports.aiohttp.websocket import WebSocketEndpoint

_log = logging.getLogger(__name__)
_GOODBYE_SECONDS = 8.0

HUB = web.AppKey("relay_hub", Hub)
"""Where handlers find the hub: ``request.app[HUB]``, or ``request.config_dict[HUB]`` from a sub-application."""


def setup(  # noqa: PLR0913 - each says one thing, and all are keyword-only
    app: web.Application,
    hub: Hub,
    *,
    prefix: str = "",
    authorize: Authorizer | None = None,
    auth_path: str = "/pusher/auth",
    authorize_app: App | str | None = None,
    alone: bool = False,
    forwarded_from: Sequence[str] = (),
    max_connections_per_address: int | None = None,
    drain_over: float = 10.0,
    fallbacks: bool = True,
    max_fallback_sessions: int = 10_000,
) -> None:
    """Serve ``hub`` from ``app``: it starts and stops with it, and clients are closed with 4200 before.

    Adds ``{prefix}/app/{key}`` (WebSocket), ``{prefix}/apps/…`` (REST) and, with ``authorize``, the endpoint
    ``{prefix}{auth_path}`` that pusher-js posts to. The application's own routes and middlewares are not
    touched. ``authorize`` is ``async (request, channel)`` and returns a :class:`relay.Member`, True or False;
    it is also asked when a same-origin client subscribes without ``auth``. ``authorize_app`` says for which
    App the endpoint signs when the hub has several. ``alone`` tells that the application has no WebSockets but
    these: one on any other path is then closed with 4005, where a bare 404 would leave pusher-js waiting.

    ``forwarded_from`` names the proxies whose ``X-Forwarded-Proto`` (for ``tls_only``) and ``X-Forwarded-For`` are
    believed: addresses, networks, or ``"unix"`` for whoever comes through a Unix socket. Nobody is by default.
    ``max_connections_per_address`` bounds the connections of one remote address, an IPv6 /64 network counting as one;
    one more is closed with 4004. At the end clients are closed evenly over at most ``drain_over`` seconds, a few
    at once.

    With ``fallbacks``, pusher-js is served below ``{prefix}/pusher`` where it cannot use WebSockets: over HTTP, with
    ``xhr_streaming`` or ``xhr_polling``, at most ``max_fallback_sessions`` clients at once (one more: 4100).

    Raises :class:`UsageError` for a prefix, path, proxy or bound that cannot be.
    """
    check_prefix(prefix)
    if not auth_path.startswith("/") or set(auth_path) & set("{}"):
        raise UsageError(f"auth_path should begin with a slash and have no braces, got {auth_path!r}")
    if not drain_over >= 0:
        raise UsageError(f"drain_over should be a number of seconds from 0 on, got {drain_over!r}")
    if authorize is not None and authorize_app is None and len(hub.apps) > 1:
        raise UsageError("this hub has several Apps: say with authorize_app= which one the auth endpoint signs for")
    places = None if max_connections_per_address is None else Places(max_connections_per_address)
    peers = Peers(forwarded_from)
    sockets, rest = WebSocketEndpoint(hub, authorize, peers, places), RestEndpoint(hub)
    if hub.webhook_sender is None and any(one.webhooks for one in hub.apps):
        hub.send_webhooks(WebhookSender())
    app[HUB] = hub
    routes = app.router
    routes.add_get(f"{prefix}/app/{{key}}", sockets.connect)
    routes.add_get(f"{prefix}/app/{{key}}/{{tail:.*}}", sockets.unknown)
    routes.add_get(f"{prefix}/app/", sockets.unknown)
    facts = FactsEndpoint(hub)
    routes.add_get(prefix + FACTS_PATH, facts.get, allow_head=False)  # before the next, which would take it too
    routes.add_route("*", f"{prefix}/apps/{{tail:[\\s\\S]*}}", rest.handle)
    routes.add_route("*", f"{prefix}/users/{{tail:[\\s\\S]*}}", rest.handle)
    if authorize is not None:
        routes.add_post(prefix + auth_path, AuthEndpoint(hub, authorize, authorize_app).post)
    over_http = FallbackEndpoint(hub, authorize, peers, places, most=max_fallback_sessions) if fallbacks else None
    if over_http is not None:
        over_http.add_routes(routes, prefix)
        SockJsEndpoint(hub, over_http).add_routes(routes, prefix)
    if alone:
        routes.add_route("*", "/{tail:.*}", sockets.stray)
    _live_with(app, hub, sockets, drain_over)
    app.on_shutdown.append(facts.goodbye)
    if over_http is not None:
        app.on_shutdown.append(over_http.goodbye)


def check_prefix(prefix: str) -> None:
    """Raise :class:`UsageError` for what cannot stand before a path."""
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or set(prefix) & set("{}")):
        raise UsageError(
            f"prefix should look like '/realtime': a leading slash, no trailing one, no braces, got {prefix!r}"
        )


def subapp(
    hub: Hub,
    *,
    authorize: Authorizer | None = None,
    auth_path: str = "/pusher/auth",
    authorize_app: App | str | None = None,
    forwarded_from: Sequence[str] = (),
    max_connections_per_address: int | None = None,
    drain_over: float = 10.0,
    fallbacks: bool = True,
    max_fallback_sessions: int = 10_000,
) -> web.Application:
    """An application with nothing but ``hub``, to be mounted under a prefix with ``app.add_subapp``.

    Arguments and routes are those of :func:`setup`.
    """
    app = web.Application()
    setup(
        app,
        hub,
        authorize=authorize,
        auth_path=auth_path,
        authorize_app=authorize_app,
        alone=True,
        forwarded_from=forwarded_from,
        max_connections_per_address=max_connections_per_address,
        drain_over=drain_over,
        fallbacks=fallbacks,
        max_fallback_sessions=max_fallback_sessions,
    )
    return app


def _live_with(app: web.Application, hub: Hub, sockets: WebSocketEndpoint, drain_over: float) -> None:
    """Run ``hub`` in a task of its own: aiohttp may start and stop an application in different tasks, which
    an anyio task group does not survive. on_shutdown comes before handlers end, cleanup after.
    """

    async def run(_: web.Application) -> AsyncIterator[None]:
        if hub.running:  # somebody else runs it, and stops it
            yield
            return
        started = _Started()
        task = asyncio.create_task(hub.run(task_status=started), name="relay hub")
        waiting = asyncio.create_task(started.event.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        mine.append(task)
        yield
        hub.close()
        await task

    async def shut(_: web.Application) -> None:
        if mine:
            with contextlib.suppress(TimeoutError):  # a clock that stands still must not keep the process
                await asyncio.wait_for(hub.drain(drain_over), drain_over + _GOODBYE_SECONDS)
            hub.close()
            try:  # the outbox cuts a socket that does not answer its close frame; an authorizer may hang
                await asyncio.wait_for(sockets.goodbye(), _GOODBYE_SECONDS)
            except TimeoutError:
                _log.warning("some connections did not end in time")

    mine: list[asyncio.Task[None]] = []
    app.cleanup_ctx.append(run)
    app.on_shutdown.append(shut)


class _Started:
    """anyio's TaskStatus for a plain asyncio task."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def started(self, value: None = None) -> None:
        self.event.set()
