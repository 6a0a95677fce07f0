"""The WebSocket endpoint ``/app/{key}`` (protocol 1)."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from relay.connection import Connection
from relay.errors import CloseCode, Disconnect
from relay.hub import Hub
from relay.protocol import messages
from relay_transports import frames
from relay_transports.aiohttp.auth import Authorizer, for_connection
from relay_transports.aiohttp.outbox import Flusher, SocketTransport

_SMALL = 4096
"""Bytes of a message from a client that will be refused anyway."""


class WebSocketEndpoint:
    """Lets clients of ``hub`` in; ``authorize`` is asked when one subscribes without ``auth``."""

    def __init__(self, hub: Hub, authorize: Authorizer | None) -> None:
        self._hub = hub
        self._authorize = authorize
        self._flusher: Flusher | None = None
        self._open = 0
        self._all_gone = asyncio.Event()

    async def gone(self) -> None:
        """Return when no client is left. To be awaited while aiohttp still reads, that is in on_shutdown: later it
        drops what clients send, and with it their answers to our close frames.
        """
        while self._open:
            self._all_gone.clear()
            await self._all_gone.wait()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it is gone."""
        key = request.match_info["key"]
        response, transport = await self._upgrade(request, self._max_message_bytes(key))
        connection = None
        try:
            connection = await self._hub.connect(
                key,
                transport,
                protocol=request.query.get("protocol"),
                secure=request.secure,
                authorize=for_connection(self._authorize, request),
            )
        except Disconnect:
            pass  # told already; wait for its answer
        self._open += 1
        try:
            await _read(response, connection, transport)
        finally:
            if connection is not None:
                connection.disconnected()
            transport.end()
            self._open -= 1
            self._all_gone.set()
        return response

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket on a path that is none of ours is let in and closed with 4005, as pusher-js needs."""
        response, transport = await self._upgrade(request, _SMALL)
        transport.send(transport.framing.frame(messages.error("Path not found", CloseCode.PATH_NOT_FOUND)))
        transport.close(CloseCode.PATH_NOT_FOUND, "Path not found")
        try:
            await _read(response, None, transport)
        finally:
            transport.end()
        return response

    async def _upgrade(self, request: web.Request, max_bytes: int) -> tuple[web.WebSocketResponse, SocketTransport]:
        # No compression, since frames are shared; no autoping, since control frames are signs of life.
        response = web.WebSocketResponse(
            compress=False, autoping=False, autoclose=False, heartbeat=None, max_msg_size=max_bytes
        )
        if not response.can_prepare(request).ok:
            raise web.HTTPUpgradeRequired(text="This is a WebSocket endpoint\n", headers={"Upgrade": "websocket"})
        await response.prepare(request)
        socket = request.transport
        if socket is None:
            raise ConnectionResetError("the client left during the handshake")
        if self._flusher is None:
            self._flusher = Flusher(asyncio.get_running_loop())
        return response, SocketTransport(socket, self._flusher)

    def _max_message_bytes(self, key: str) -> int:
        return next((app.max_message_bytes for app in self._hub.apps if app.key == key), _SMALL)


async def _read(response: web.WebSocketResponse, connection: Connection | None, transport: SocketTransport) -> None:
    """Feed ``connection`` until the client is gone; with None, wait for it to go."""
    while True:
        message = await response.receive()
        if message.type is WSMsgType.CLOSE:
            transport.answer_close(message.data or 0)
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
