"""WebSocket and HTTP by hand, over plain streams: it sends whatever a test types, right or wrong.

Nothing of Relay or aiohttp is used, so that both sides check each other.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE = 10.0
"""Seconds after which an answer that does not come fails the test."""


class Frame(NamedTuple):
    """One frame of the server."""

    opcode: int
    payload: bytes


class Closed(NamedTuple):
    """What a close frame says."""

    code: int
    reason: str


class Answer(NamedTuple):
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """One frame as a client writes it; ``reserved`` is what stands in the three reserved bits."""
    first, size = (0x80 if final else 0) | reserved << 4 | opcode, len(payload)
    if not masked:
        return header(first, size, masked=False) + payload
    mask = os.urandom(4)
    whole = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return header(first, size) + mask + whole.to_bytes(size, "big")


def header(first: int, size: int, *, masked: bool = True) -> bytes:
    """The beginning of a frame, up to its length."""
    bit = 0x80 if masked else 0
    if size < 126:
        return bytes((first, bit | size))
    if size < 65536:
        return bytes((first, bit | 126)) + size.to_bytes(2, "big")
    return bytes((first, bit | 127)) + size.to_bytes(8, "big")


class Wire:
    """One connection; ``data`` that comes before the handshake is over stays readable."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Send raw bytes."""
        self._writer.write(data)

    def send(self, text: str) -> None:
        """Send one text frame."""
        self.write(frame(TEXT, text.encode()))

    async def drain(self) -> None:
        """Wait until what was sent is on its way."""
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    def finish(self) -> None:
        """Send no more, and keep reading: half of a TCP close."""
        self._writer.write_eof()

    async def receive(self, patience: float = PATIENCE) -> Frame:
        """The next frame, control frames included."""
        async with asyncio.timeout(patience):
            first, size = await self.reader.readexactly(2)
            assert first & 0x80, "the server does not fragment"
            assert not size & 0x80, "a server's frame is not masked"
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return Frame(first & 0xF, await self.reader.readexactly(size))

    async def event(self) -> dict[str, Any]:
        """The next event."""
        opcode, payload = await self.receive()
        assert opcode == TEXT, f"expected an event, got opcode {opcode}: {payload!r}"
        event: dict[str, Any] = json.loads(payload)
        return event

    async def closed(self, patience: float = PATIENCE) -> Closed:
        """The close frame, which must be next."""
        opcode, payload = await self.receive(patience)
        assert opcode == CLOSE, f"expected a close frame, got opcode {opcode}: {payload!r}"
        return Closed(int.from_bytes(payload[:2], "big"), payload[2:].decode())

    def peer_certificate(self) -> bytes:
        """The certificate the server showed."""
        certificate = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(certificate, bytes)
        return certificate

    def reset(self) -> None:
        """Vanish: the other side gets a TCP reset."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Let go of the socket."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass


@asynccontextmanager
async def dial(
    port: int | Path, *, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Wire]:
    """A TCP connection, encrypted with ``tls``, or one to the Unix socket that is a path; a small ``receive_buffer``
    makes the kernel keep little for a slow reader.
    """
    raw = socket.socket(socket.AF_UNIX if isinstance(port, Path) else socket.AF_INET)
    raw.setblocking(False)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(raw, str(port) if isinstance(port, Path) else ("127.0.0.1", port))
        # A small limit: what is not asked for stays in the kernel.
        host = None if tls is None else "127.0.0.1"
        wire = Wire(*await asyncio.open_connection(sock=raw, limit=4096, ssl=tls, server_hostname=host))
    except BaseException:
        raw.close()
        raise
    try:
        yield wire
    finally:
        await wire.close()


def upgrade(target: str, headers: str = "") -> bytes:
    """The request of a WebSocket handshake; ``headers`` are lines that end in CRLF."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    ).encode()


@asynccontextmanager
async def websocket(
    port: int | Path,
    target: str,
    *,
    headers: str = "",
    receive_buffer: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Wire]:
    """A WebSocket; the server must let it in (101), whatever it does then."""
    async with dial(port, receive_buffer=receive_buffer, tls=tls) as wire:
        wire.write(upgrade(target, headers))
        async with asyncio.timeout(PATIENCE):
            head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield wire


async def http(
    port: int | Path,
    method: str,
    target: str,
    body: bytes = b"",
    headers: str = "",
    *,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One HTTP request with ``target`` and ``body`` exactly as given; ``headers`` are lines that end in CRLF."""
    async with dial(port, tls=tls) as wire, asyncio.timeout(PATIENCE):
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{length}{headers}\r\n"
        wire.write(head.encode() + body)
        answer = await wire.reader.read()
    status, *fields = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return Answer(
        int(status.split()[1]),
        {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)},
        answer.partition(b"\r\n\r\n")[2],
    )
