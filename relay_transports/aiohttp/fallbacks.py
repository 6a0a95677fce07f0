"""The HTTP fallbacks of pusher-js, ``/pusher/app/{key}/{server}/{session}/…`` (protocol 9).

A client is told what happens by the responses to its receive requests, one after another, and posts what it has to say.
All of them name a session that the client chose; docs/how-to/fallbacks.md tells what such a name is worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web

from relay.connection import turn_away
from relay.errors import CloseCode, Disconnect
from relay_transports.aiohttp.auth import Authorizer, for_connection
from relay_transports.aiohttp.live import Live, Owner, Sessions
from relay_transports.aiohttp.peers import Peers, Places, whole_network
from relay_transports.aiohttp.receiving import Dress, Response
from relay_transports.fallback import POLL, STREAM, Manner
from relay_transports.fallback.frames import posted

if TYPE_CHECKING:
    from relay.hub import Hub

_MESSAGE_TOO_BIG: Final = 1009
_MOST_SENDING: Final = 64
"""Requests with messages of one client that may wait for their turn."""
_BODY_SECONDS: Final = 30.0
"""How long the body of a request may take."""
_BODY_EXTRA: Final = 1024
"""Bytes beyond a message of the largest size, every character of which is escaped."""
_CUT_SECONDS: Final = 5.0
"""How long a client may take to read what is left at the end."""

_CORS: Final = {"Access-Control-Allow-Origin": "*"}  # nothing here depends on cookies, and the client sends none
_PREFLIGHT: Final = {
    **_CORS,
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "86400",
}
_RECEIVING: Final = {
    **_CORS,
    "Content-Type": "application/javascript; charset=UTF-8",
    "Cache-Control": "no-store, no-cache, no-transform, must-revalidate, max-age=0",
    "X-Accel-Buffering": "no",
}
_SENDING: Final = {**_CORS, "Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store"}


class FallbackEndpoint:
    """Serves clients of ``hub`` over HTTP, ``most`` at once; the rest is as for WebSockets."""

    def __init__(
        self, hub: Hub, authorize: Authorizer | None, peers: Peers, places: Places | None, *, most: int
    ) -> None:
        self.sessions = Sessions(hub, most)
        self._hub = hub
        self._authorize = authorize
        self._peers = peers
        self._places = places
        self._responses: dict[Response, None] = {}
        self._all_gone = asyncio.Event()

    def add_routes(self, routes: web.UrlDispatcher, prefix: str) -> None:
        """Serve below ``{prefix}/pusher``."""
        session = f"{prefix}/pusher/app/{{key}}/{{server:[0-9]{{1,3}}}}/{{session:[0-9A-Za-z_]{{1,32}}}}"
        for name, answer in (("xhr_streaming", self.stream), ("xhr", self.poll), ("xhr_send", self.send)):
            routes.add_post(f"{session}/{name}", answer)
            routes.add_options(f"{session}/{name}", self.preflight)

    async def preflight(self, request: web.Request) -> web.Response:
        """Browsers ask first, since pusher-js says that it posts JSON (protocol 9.5)."""
        return web.Response(status=204, headers=_PREFLIGHT)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """One response for all that happens from now on."""
        return await self._receive(request, STREAM)

    async def poll(self, request: web.Request) -> web.StreamResponse:
        """One response for what happened, or what happens next."""
        return await self._receive(request, POLL)

    async def send(self, request: web.Request) -> web.Response:
        """Messages of a client; answered with 204 when all they ask for is done."""
        live = self.sessions.get(*_names(request))
        if live is None or live.owner != self.owner(request) or live.connection is None:
            return told(404, "There is no such session")
        try:
            texts = await read_posted(request, live.connection.tenant.app.max_message_bytes)
            await self.handle(live, texts)
        except Unfit as unfit:
            return told(unfit.status, str(unfit))
        return web.Response(status=204, headers=_SENDING)

    async def handle(self, live: Live, texts: list[str]) -> None:
        """Handle messages of a client when it is their turn; none is a sign of life. Raises :class:`Unfit`."""
        if texts and live.sending >= _MOST_SENDING:
            raise Unfit(429, f"{_MOST_SENDING} requests of this session wait for their turn already")
        live.heard()
        if not texts:
            live.session.heard(self._hub.clock.now())
            return
        live.sending += 1
        try:
            async with live.turn:
                for text in texts:
                    await _receive_one(live, text)
        finally:
            live.sending -= 1

    async def goodbye(self, _: web.Application) -> None:
        """Close whoever is left with 4200, and return when no response is being written. For on_shutdown."""
        for live in self.sessions:
            (live.connection or live.session).close(CloseCode.RECONNECT, "Please reconnect immediately")
        asyncio.get_running_loop().call_later(_CUT_SECONDS, self._cut)
        while self._responses:
            self._all_gone.clear()
            await self._all_gone.wait()
        for live in self.sessions:
            live.end()

    def _cut(self) -> None:
        for response in self._responses:
            response.cut()

    async def _receive(self, request: web.Request, manner: Manner) -> web.StreamResponse:
        key, name = _names(request)
        owner = self.owner(request)
        live = self.sessions.get(key, name)
        if live is not None and live.owner != owner:
            return told(404, "There is no such session")
        if live is None:
            live = self.open(request, key, name, owner)
            await self.admit(live, request, key, request.query.get("protocol"))
        try:
            return await self.respond(request, live, manner, _RECEIVING, _as_it_is)
        finally:
            if live.connection is None:
                live.end()  # it was told why it may not stay

    async def respond(
        self, request: web.Request, live: Live, manner: Manner, headers: Mapping[str, str], dress: Dress
    ) -> web.StreamResponse:
        """Answer a receive request of the client of ``live``."""
        live.heard()
        interval = 0.0 if live.connection is None else live.connection.tenant.app.flush_interval
        response = Response(request, live.session, manner, self._hub.clock, interval=interval)
        self._responses[response] = None
        live.heed()
        try:
            return await response.answer(headers, dress)
        finally:
            del self._responses[response]
            self._all_gone.set()
            live.heed()

    def open(self, request: web.Request, key: str, name: str, owner: Owner) -> Live:
        """A new session. One that there is no room for is closed already."""
        place = None if self._places is None else self._places.place(self._peers.address(request))
        full = self.sessions.full
        live = self.sessions.open(key, name, owner, place)
        if full:
            turn_away(live.session, Disconnect("Over capacity", CloseCode.OVER_CAPACITY))
        elif place is not None and not place.take():
            turn_away(live.session, Disconnect("Over connection quota for one address", CloseCode.OVER_QUOTA))
        return live

    async def admit(
        self, live: Live, request: web.Request, key: str, protocol: str | None, *, in_iframe: bool = False
    ) -> None:
        """Let the client in. One that is refused is closed then, and has no connection.

        ``in_iframe`` tells that the page which asks is not known, whatever the request's headers say: it gets nothing
        that depends on its origin.
        """
        if live.session.closed is not None:
            return
        try:
            live.connection = await self._hub.connect(
                key,
                live.session,
                protocol=protocol,
                secure=self._peers.secure(request),
                authorize=None if in_iframe else for_connection(self._authorize, request),
                origin="null" if in_iframe else request.headers.get("Origin"),
            )
        except Disconnect:
            pass  # told already
        except BaseException:
            live.end()
            raise

    def owner(self, request: web.Request) -> Owner:
        """Who a session belongs to that this request begins, or uses."""
        return Owner(whole_network(self._peers.address(request)), request.headers.get("Origin"))


async def _receive_one(live: Live, text: str) -> None:
    connection, message = live.connection, text.encode()
    if connection is None:
        return
    most = connection.tenant.app.max_message_bytes
    if len(message) <= most:
        await connection.receive(message)
    else:
        connection.close(_MESSAGE_TOO_BIG, f"message too big: the limit is {most} bytes")


class Unfit(Exception):
    """A request that is answered with ``status`` and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


async def read_posted(request: web.Request, largest: int, undress: Callable[[bytes], bytes] = bytes) -> list[str]:
    """The messages in ``request``, whatever the host's client_max_size is; ``largest`` is how many bytes one may have.

    ``undress`` takes the array out of the body. Raises :class:`Unfit`.
    """
    most = 2 * largest + _BODY_EXTRA
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    raise Unfit(413, f"The body may have {most} bytes")
        return posted(undress(bytes(body)))
    except TimeoutError:
        raise Unfit(408, f"The body must be here within {_BODY_SECONDS:.0f} seconds") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Unfit(400, "The body could not be read to its end") from None
    except ValueError as error:
        raise Unfit(400, str(error)) from None


def _names(request: web.Request) -> tuple[str, str]:
    """The App key, and the session's name in the client's words."""
    told = request.match_info
    return told["key"], f"{told['server']}/{told['session']}"


def told(status: int, text: str) -> web.Response:
    """An answer that is no success."""
    return web.Response(status=status, text=text + "\n", headers=_CORS)


def _as_it_is(lines: bytes) -> bytes:
    return lines
