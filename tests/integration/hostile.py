"""A host that misbehaves on demand: it reads each request and does the next thing of its script."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple

import anyio

from relay import App, RequestError
from relay.errors import HostError
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient

APP = App(id="1001", key="app-key", secret="app-secret")
IMPATIENT = 0.05
"""Seconds after which a host that will never answer is given up: aiohttp's own clock, which no test can move."""


class Asked(NamedTuple):
    """One request, as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Act = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What to do with a request: write something, or not."""


def says(status: int, body: str = "", headers: str = "") -> Act:
    """A whole answer; ``headers`` are lines that end in CRLF."""
    content = body.encode()
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return writes(head.encode() + content)


def writes(data: bytes) -> Act:
    """Exactly these bytes."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return act


def after(gate: asyncio.Event, then: Act) -> Act:
    """``then``, once ``gate`` is set."""

    async def act(writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await then(writer)

    return act


async def silence(writer: asyncio.StreamWriter) -> None:
    """No answer, ever."""


async def reset(writer: asyncio.StreamWriter) -> None:
    """The connection is gone before an answer."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def cut(writer: asyncio.StreamWriter) -> None:
    """The connection is gone in the middle of a good answer."""
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"half":')
    writer.close()


OK = says(200, "{}")


class Hostile:
    """What it was asked, in order, and where to ask it. What follows the script is answered with ``{}``."""

    def __init__(self, *script: Act) -> None:
        self.script = deque(script)
        self.asked: list[Asked] = []
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._asked = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def asked_times(self, times: int) -> None:
        """Return when so many requests came."""
        while len(self.asked) < times:
            self._asked.clear()
            await self._asked.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                self.asked.append(await _read(reader))
                self._asked.set()
                await (self.script.popleft() if self.script else OK)(writer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def hostile(*script: Act) -> AsyncIterator[Hostile]:
    """A host with a script, on a free port."""
    host = Hostile(*script)
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for task in host.tasks:
            task.cancel()
        await asyncio.gather(*host.tasks, return_exceptions=True)


class Skipping(ManualClock):
    """Every pause is over at once, and remembered; ``meanwhile`` happens in it."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._meanwhile = meanwhile

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        assert until is not None
        self.pauses.append(round(until - self.now(), 3))
        await self.advance(until - self.now())
        if self._meanwhile is not None:
            await self._meanwhile()


class Watched(ManualClock):
    """Time stands still, and ``pausing`` is set as soon as somebody waits for it to pass."""

    def __init__(self) -> None:
        super().__init__()
        self.pausing = asyncio.Event()

    async def wait(self, event: anyio.Event, until: float | None) -> None:
        self.pausing.set()
        await super().wait(event, until)


class Always(Random):
    """Chance that always falls the same way."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


def closed_port() -> socket.socket:
    """A port that refuses connections for as long as the socket is kept."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


def client_of(host: Hostile, clock: ManualClock, **options: object) -> RestClient:
    return RestClient(APP, host.url, **{"clock": clock, "random": Always(1.0), **options})  # type: ignore[arg-type]


async def publish(client: RestClient) -> object:
    return await client.trigger("orders", "paid", {"id": 7})


async def query(client: RestClient) -> object:
    return await client.channels()


async def terminate(client: RestClient) -> object:
    await client.terminate_user_connections("u-42")
    return None


async def outcome(
    script: list[Act], verb: Callable[[RestClient], Awaitable[object]], **options: object
) -> tuple[Hostile, Skipping, Exception | None]:
    """What became of ``verb`` at a host with that script."""
    clock = Skipping()
    async with hostile(*script) as host, client_of(host, clock, **options) as client:
        try:
            await verb(client)
        except (RequestError, HostError) as error:
            return host, clock, error
    return host, clock, None
