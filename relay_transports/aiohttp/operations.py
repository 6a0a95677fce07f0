"""What happens in a hub, line by line, for operators: ``GET /apps/{app_id}/facts``, and the console's own stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from relay import api, reporting
from relay.app import App
from relay.errors import RequestError, UsageError
from relay.facts import Fact, Missed
from relay.hub import Hub
from relay.listeners import FactStream
from relay.protocol import rest
from relay_transports.aiohttp.rest import answered

MAX_STREAMS = 20
"""Streams of facts that may be read at once: of each App with its secret, and of each choice in the console."""
LIMIT = 1000
"""Facts that wait for one reader; more, and it is told how many it missed."""
BEAT_SECONDS = 15.0
"""Silence after which an empty line is sent, so that either side notices when the other is gone."""
PATIENCE_SECONDS = 30.0
"""How long a reader that takes nothing keeps its stream."""
GOODBYE_SECONDS = 2.0
"""How long readers have to take the last facts when the application ends."""
_RUN = 100
"""Facts that are written before others have their turn."""
FACTS_PATH: Final = "/apps/{app_id}/facts"
_OWN_MISSES = "a stream of facts"


_HEADERS = {
    "Content-Type": "application/x-ndjson",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep lines to itself
}


class FactLines:
    """Answers that go on: one line of JSON for each fact, and ``Missed`` where a reader was too slow for some."""

    def __init__(self, hub: Hub, *, most: int = MAX_STREAMS) -> None:
        self._hub = hub
        self._most = most
        self._readers: dict[asyncio.Task[object], tuple[str, FactStream[Fact]]] = {}

    async def answer(
        self,
        request: web.Request,
        *,
        kinds: Iterable[str] = (),
        channel: str | None = None,
        app: App | str | None = None,
    ) -> web.StreamResponse:
        """Write facts until the reader or the hub is gone. Raises :class:`RequestError` for a wish that cannot be."""
        whose = app.id if isinstance(app, App) else app or ""
        if sum(other == whose for other, _ in self._readers.values()) >= self._most:
            raise RequestError(503, f"{self._most} streams of facts are read already: close one")
        if not self._hub.running:
            raise RequestError(503, "Not accepting requests now")
        try:
            facts = self._hub.facts(*reporting.kinds(kinds), app=app, channel=channel, limit=LIMIT)
        except UsageError as error:
            raise RequestError(400, str(error)) from None
        response = web.StreamResponse(headers=_HEADERS)
        task = asyncio.current_task()
        assert task is not None
        self._readers[task] = whose, facts
        try:
            async with facts:  # whoever has the headers misses nothing from then on
                await response.prepare(request)
                await _write(response, facts, everything=app is None)
        except (ConnectionError, TimeoutError):  # the reader is gone, or as good as gone
            if request.transport is not None:
                request.transport.abort()
        finally:
            del self._readers[task]
        return response

    async def goodbye(self, _app: web.Application) -> None:
        """End all streams: aiohttp waits for its handlers, and these would never end."""
        tasks = list(self._readers)
        for _, stream in self._readers.values():
            stream.end()
        if tasks:
            await asyncio.wait(tasks, timeout=GOODBYE_SECONDS)
        for task in tasks:
            task.cancel()


class FactsEndpoint:
    """``GET /apps/{app_id}/facts``, signed as everything below ``/apps`` is."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lines = FactLines(hub)
        self.goodbye = self._lines.goodbye

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        resource = request.match_info.route.resource
        mount = "" if resource is None else resource.canonical.removesuffix(FACTS_PATH)
        try:
            call = api.understood(self._hub, rest.Request("GET", request.raw_path, b"", mount))
            assert isinstance(call, rest.ReadFacts)
            return await self._lines.answer(request, kinds=call.kinds, channel=call.channel, app=call.app)
        except RequestError as error:
            return answered(rest.failure(error))


async def _write(response: web.StreamResponse, stream: FactStream[Fact], *, everything: bool) -> None:
    """Write until ``stream`` ends. What other listeners missed is told to those alone who see ``everything``."""
    written = 0
    while True:
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                fact = await anext(stream)
        except TimeoutError:
            await _give(response, b"\n")
            continue
        except StopAsyncIteration:
            return
        if everything or fact.app or not isinstance(fact, Missed) or fact.listener == _OWN_MISSES:
            await _give(response, reporting.line(fact))
        written += 1
        if written % _RUN == 0:
            await asyncio.sleep(0)


async def _give(response: web.StreamResponse, line: bytes) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await response.write(line)
