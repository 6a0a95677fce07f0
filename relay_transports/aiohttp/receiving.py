"""Answering one receive request of a client that is served over HTTP: what its session has to tell, as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from aiohttp import web

from relay_transports.fallback import FallbackSession, Manner, Receiver

if TYPE_CHECKING:
    from relay.clock import Clock

Dress = Callable[[bytes], bytes]
"""Lines of the session as this kind of response writes them."""


class Response:
    """The response to ``request``, from ``session``; ``interval`` is the App's ``flush_interval``.

    Made when the request came, and to be ``answer``-ed at once; ``cut`` ends it without a word.
    """

    def __init__(
        self, request: web.Request, session: FallbackSession, manner: Manner, clock: Clock, *, interval: float = 0.0
    ) -> None:
        self._request = request
        self._session = session
        self._clock = clock
        self._interval = interval
        self._news = asyncio.Event()
        self._gone = False
        self._writing = False
        self._socket = request.transport
        self._receiver: Receiver = session.attach(manner, self._wake, clock.now())

    async def answer(self, headers: Mapping[str, str], dress: Dress) -> web.StreamResponse:
        """Write until the session says it is enough, or the client is gone."""
        socket = self._socket
        if socket is None or socket.is_closing():
            self._session.detach(self._receiver, self._clock.now())
            return web.Response()
        watch = _Watch(socket, self._lost)
        try:
            if self._receiver.manner.once:
                return web.Response(body=dress(await self._lines()), headers=headers)
            return await self._stream(web.StreamResponse(headers=headers), socket, dress)
        finally:
            self._session.detach(self._receiver, self._clock.now())
            watch.end()

    def cut(self) -> None:
        """End it now, even in the middle of a line: its client does not read."""
        if self._socket is not None:
            self._socket.abort()

    async def _stream(
        self, response: web.StreamResponse, socket: asyncio.Transport, dress: Dress
    ) -> web.StreamResponse:
        try:
            writer = await response.prepare(self._request)
            if writer is None:
                return response
            # So that drain() returns when the kernel has everything. Not high=0: asyncio's TLS never gets below that.
            socket.set_write_buffer_limits(high=1, low=0)
            while lines := await self._lines():
                self._writing = True
                await writer.write(dress(lines))
                await writer.drain()
                self._writing = False
                self._session.confirm(self._receiver)
        except ConnectionError:
            pass  # it is gone; aiohttp finds out too
        finally:
            self._writing = False
            if not socket.is_closing():
                socket.set_write_buffer_limits()
        return response

    async def _lines(self) -> bytes:
        """The next lines, as soon as there are some; empty when there will be none."""
        while not self._gone:
            self._news.clear()
            if lines := self._session.take(self._receiver, self._clock.now()):
                return lines
            if self._receiver.over:
                break
            await self._news.wait()
            if self._interval and not self._receiver.over:
                await asyncio.sleep(self._interval)
        return b""

    def _wake(self) -> None:
        """For the session: there is news."""
        self._news.set()
        if self._writing and (self._receiver.over or self._session.aborted):
            self.cut()

    def _lost(self) -> None:
        self._gone = True
        self._news.set()


class _Watch(asyncio.Protocol):
    """Stands between a socket and aiohttp's protocol, which does not tell a handler that its client is gone."""

    def __init__(self, socket: asyncio.Transport, lost: Callable[[], None]) -> None:
        self._socket = socket
        self._protocol = cast("asyncio.Protocol", socket.get_protocol())
        self._lost = lost
        socket.set_protocol(self)

    def end(self) -> None:
        """Step aside; not from a socket that is closing, which has nobody to come, and cannot be asked with TLS."""
        if not self._socket.is_closing():
            self._socket.set_protocol(self._protocol)

    def data_received(self, data: bytes) -> None:
        """As it came."""
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """As it came."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """As it came."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """As it came."""
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._protocol.connection_lost(exc)
        self._lost()
