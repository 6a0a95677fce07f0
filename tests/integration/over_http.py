"""A client of the HTTP fallbacks by hand (protocol 9): it polls, streams and posts whatever a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.serving import Served
from tests.integration.wire import PATIENCE, Answer, Wire

QUERY = "?protocol=7&client=js&version=8.6.0&t=1760000000123&n=1"


class Poller:
    """One session, named as its client likes; ``headers`` go with every request."""

    def __init__(self, served: Served, name: str = "123/abcdefgh", key: str = "app-key", headers: str = "") -> None:
        self.served = served
        self.path = f"/pusher/app/{key}/{name}"
        self.headers = headers
        self.socket_id = ""

    async def post(self, what: str, body: bytes = b"", query: str = QUERY) -> Answer:
        """One request."""
        return await self.served.http("POST", f"{self.path}/{what}{query}", self.headers, body=body)

    async def poll(self, query: str = QUERY) -> list[str]:
        """The lines of one poll, which must succeed."""
        answer = await self.post("xhr", query=query)
        assert answer.status == 200
        return lines_of(answer.body)

    async def open(self) -> Poller:
        """Begin the session."""
        opened, established = await self.poll()
        assert opened == "o"
        self.socket_id = json.loads(events_of([established])[0]["data"])["socket_id"]
        return self

    async def send(self, *texts: str) -> None:
        """Messages, in one request."""
        answer = await self.post("xhr_send", json.dumps(texts).encode())
        assert (answer.status, answer.body) == (204, b"")

    async def events(self) -> list[dict[str, Any]]:
        """The events of one poll."""
        return events_of(await self.poll())


class Stream:
    """The response to one ``xhr_streaming`` request, as it comes."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.head = b""
        self._left = b""

    async def chunk(self) -> bytes:
        """The next chunk of the response; nothing at its end."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.wire.reader.readline(), 16)
            return (await self.wire.reader.readexactly(size + 2))[:-2]

    async def line(self) -> str:
        """The next line."""
        while b"\n" not in self._left:
            chunk = await self.chunk()
            assert chunk, "the stream ended"
            self._left += chunk
        line, _, self._left = self._left.partition(b"\n")
        return line.decode("ascii")

    async def event(self) -> dict[str, Any]:
        """The only event of the next line."""
        [event] = events_of([await self.line()])
        return event


@asynccontextmanager
async def streaming(poller: Poller, *, http: str = "1.1") -> AsyncIterator[Stream]:
    """A stream of the poller's session, behind its prelude."""
    async with poller.served.dial() as wire:
        request = f"POST {poller.path}/xhr_streaming{QUERY} HTTP/{http}\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n"
        wire.write(f"{request}{poller.headers}\r\n".encode())
        stream = Stream(wire)
        async with asyncio.timeout(PATIENCE):
            stream.head = await wire.reader.readuntil(b"\r\n\r\n")
        if http == "1.1":
            assert await stream.line() == "h" * 2048
        yield stream


def lines_of(body: bytes) -> list[str]:
    """Whole lines, none of them empty."""
    assert body.endswith(b"\n")
    lines = body.decode("ascii").splitlines()
    assert all(lines)
    return lines


def events_of(lines: list[str]) -> list[dict[str, Any]]:
    """The events in lines that hold nothing else."""
    assert {line[0] for line in lines} <= {"a"}
    return [json.loads(text) for line in lines for text in json.loads(line[1:])]
