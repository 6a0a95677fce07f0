"""The WebSocket endpoint ``/app/{key}`` (protocol 1).

Two ways to serve a client, which share everything but the socket's door: :mod:`relay_transports.aiohttp.door` takes
the socket away from aiohttp and costs a fifth of the memory; through TLS that ends in this process there is no way
but aiohttp's own response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from aiohttp import WSMsgType, web

from relay.connection import Connection, turn_away
from relay.errors import CloseCode, Disconnect
from relay.hub import Hub
from relay_transports import frames
from relay_transports.aiohttp.auth import Authorizer, for_connection
from relay_transports.aiohttp.door import Admit, Taken, acceptance, take_over
from relay_transports.aiohttp.outbox import Flusher, SocketTransport
from relay_transports.aiohttp.peers import Peers, Place, Places
from relay_transports.reader import may_close_with

_SMALL = 4096
"""Bytes of a message from a client that will be refused anyway."""

_GOODBYE_SECONDS = 1.0


class WebSocketEndpoint:
    """Lets clients of ``hub`` in; ``authorize`` is asked when one subscribes without ``auth``.

    ``peers`` tells who they are, ``places`` bounds how many of one address there may be, if anything does.
    """

    def __init__(self, hub: Hub, authorize: Authorizer | None, peers: Peers, places: Places | None) -> None:
        self._hub = hub
        self._authorize = authorize
        self._peers = peers
        self._places = places
        self._flushers: dict[float, Flusher] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kept: set[SocketTransport] = set()
        self._open = 0
        self._all_gone = asyncio.Event()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one client."""
        key = request.match_info["key"]
        app = self._hub.app_of(key)
        limit, interval = (_SMALL, 0.0) if app is None else (app.max_message_bytes, app.flush_interval)
        place = None if self._places is None else self._places.place(self._peers.address(request))
        secure = self._peers.secure(request)  # now: the request loses its transport when the socket is taken over
        admit = partial(self._admit, request, key, place=place, secure=secure)
        return await self._serve(request, admit, limit, interval, place)

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket on a path that is none of ours is let in and closed with 4005, as pusher-js needs."""
        return await self._serve(request, _turn_away, _SMALL, 0.0)

    async def stray(self, request: web.Request) -> web.StreamResponse:
        """The same for a path that anything but a WebSocket gets a 404 on."""
        if request.method != "GET" or acceptance(request) is None:
            raise web.HTTPNotFound
        return await self.unknown(request)

    async def goodbye(self) -> None:
        """Return when no client is left. To be awaited in on_shutdown, after the hub closed them."""
        for transport in self._kept:  # aiohttp does not read their answers to our close frames any more
            transport.end()
        asyncio.get_running_loop().call_later(_GOODBYE_SECONDS, self._cut_kept)
        while self._open:
            self._all_gone.clear()
            await self._all_gone.wait()

    def _cut_kept(self) -> None:
        for transport in self._kept:  # their end of the encryption does not answer
            transport.abort()

    async def _serve(
        self, request: web.Request, admit: Admit, limit: int, interval: float, place: Place | None = None
    ) -> web.StreamResponse:
        accept = acceptance(request)
        if accept is None:
            raise web.HTTPUpgradeRequired(text="This is a WebSocket endpoint\n", headers={"Upgrade": "websocket"})
        flusher = self._flusher(interval)
        self._open += 1
        gone = self._gone if place is None else partial(self._gone, place)
        if request.secure:
            return await self._keep(request, admit, flusher, limit, gone)
        take_over(request, accept, flusher, limit=limit, admit=admit, gone=gone)
        return Taken(status=101)

    def _flusher(self, interval: float) -> Flusher:
        """One for all clients that are written to equally often."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # those that ended with their loop are of no use
            self._loop, self._flushers = loop, {}
        if interval not in self._flushers:
            self._flushers[interval] = Flusher(loop, interval)
        return self._flushers[interval]

    def _gone(self, place: Place | None = None) -> None:
        if place is not None:
            place.leave()
        self._open -= 1
        self._all_gone.set()

    async def _admit(
        self, request: web.Request, key: str, transport: SocketTransport, *, place: Place | None, secure: bool
    ) -> Connection | None:
        if place is not None and not place.take():
            turn_away(transport, Disconnect("Over connection quota for one address", CloseCode.OVER_QUOTA))
            return None
        try:
            return await self._hub.connect(
                key,
                transport,
                protocol=request.query.get("protocol"),
                secure=secure,
                authorize=for_connection(self._authorize, request),
                origin=request.headers.get("Origin"),
            )
        except Disconnect:
            if place is not None:
                place.leave()
            return None  # told already; its answer is waited for

    async def _keep(
        self, request: web.Request, admit: Admit, flusher: Flusher, limit: int, gone: Callable[[], None]
    ) -> web.StreamResponse:
        """Serve through aiohttp's response until the client is gone."""
        # No compression, since frames are shared; no autoping, since control frames are signs of life.
        response = web.WebSocketResponse(
            compress=False, autoping=False, autoclose=False, heartbeat=None, max_msg_size=limit + 1
        )
        connection = transport = None
        try:
            await response.prepare(request)
            if request.transport is None:
                return response
            transport = SocketTransport(request.transport, flusher)
            self._kept.add(transport)
            connection = await admit(transport)
            await _read(response, connection, transport)
        finally:
            if connection is not None:
                connection.disconnected()
            if transport is not None:
                self._kept.discard(transport)
                transport.end()
            gone()
        return response


async def _turn_away(transport: SocketTransport) -> None:
    turn_away(transport, Disconnect("Path not found", CloseCode.PATH_NOT_FOUND))


async def _read(response: web.WebSocketResponse, connection: Connection | None, transport: SocketTransport) -> None:
    """Feed ``connection`` until the client is gone; with None, wait for it to go."""
    while True:
        transport.flush()  # before aiohttp writes a close frame of its own, about broken frames
        message = await response.receive()
        if message.type is WSMsgType.CLOSE:
            code = message.data or 0
            transport.answer_close(code if not code or may_close_with(code) else 1002)  # aiohttp lets 1006 pass
            return
        if message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return
        if connection is None:
            continue
        if message.type is WSMsgType.TEXT:
            await connection.receive(message.data)
        elif message.type is WSMsgType.PING:
            connection.heard()
            transport.send(frames.frame(frames.PONG, message.data))
        elif message.type is WSMsgType.PONG:
            connection.heard()
        else:
            connection.reject("Binary messages are not supported: send text")
