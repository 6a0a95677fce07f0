"""The WebSocket endpoint ``/app/{key}`` (protocol 1).

Two ways to serve a client, which share everything but the socket's door: :mod:`relay_transports.aiohttp.door` takes
the socket away from aiohttp and costs a fifth of the memory; through TLS that ends in this process there is no way
but aiohttp's own response.
"""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import WSMsgType, web

from relay.connection import Connection
from relay.errors import CloseCode, Disconnect
from relay.hub import Hub
from relay.protocol import messages
from relay_transports import frames
from relay_transports.aiohttp.auth import Authorizer, for_connection
from relay_transports.aiohttp.door import Admit, Taken, acceptance, take_over
from relay_transports.aiohttp.outbox import Flusher, SocketTransport
from relay_transports.reader import may_close_with

_SMALL = 4096
"""Bytes of a message from a client that will be refused anyway."""

_GOODBYE_SECONDS = 1.0


class WebSocketEndpoint:
    """Lets clients of ``hub`` in; ``authorize`` is asked when one subscribes without ``auth``."""

    def __init__(self, hub: Hub, authorize: Authorizer | None) -> None:
        self._hub = hub
        self._authorize = authorize
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
        return await self._serve(request, partial(self._admit, request, key), limit, interval)

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket on a path that is none of ours is let in and closed with 4005, as pusher-js needs."""
        return await self._serve(request, _turn_away, _SMALL, 0.0)

    async def stray(self, request: web.Request) -> web.StreamResponse:
        """The same for a path that anything but a WebSocket gets a 404 on."""
        if acceptance(request) is None:
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

    async def _serve(self, request: web.Request, admit: Admit, limit: int, interval: float) -> web.StreamResponse:
        accept = acceptance(request)
        if accept is None:
            raise web.HTTPUpgradeRequired(text="This is a WebSocket endpoint\n", headers={"Upgrade": "websocket"})
        flusher = self._flusher(interval)
        self._open += 1
        if request.secure:
            return await self._keep(request, admit, flusher, limit)
        take_over(request, accept, flusher, limit=limit, admit=admit, gone=self._gone)
        return Taken(status=101)

    def _flusher(self, interval: float) -> Flusher:
        """One for all clients that are written to equally often."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # those that ended with their loop are of no use
            self._loop, self._flushers = loop, {}
        if interval not in self._flushers:
            self._flushers[interval] = Flusher(loop, interval)
        return self._flushers[interval]

    def _gone(self) -> None:
        self._open -= 1
        self._all_gone.set()

    async def _admit(self, request: web.Request, key: str, transport: SocketTransport) -> Connection | None:
        try:
            return await self._hub.connect(
                key,
                transport,
                protocol=request.query.get("protocol"),
                secure=request.secure,
                authorize=for_connection(self._authorize, request),
            )
        except Disconnect:
            return None  # told already; its answer is waited for

    async def _keep(self, request: web.Request, admit: Admit, flusher: Flusher, limit: int) -> web.StreamResponse:
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
            self._gone()
        return response


async def _turn_away(transport: SocketTransport) -> None:
    transport.send(transport.framing.frame(messages.error("Path not found", CloseCode.PATH_NOT_FOUND)))
    transport.close(CloseCode.PATH_NOT_FOUND, "Path not found")


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
