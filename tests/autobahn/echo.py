"""What the Autobahn test suite talks to: a hub that says everything back.

The upgrade, the reader, the answers to control frames and the close are those that every client of a hub gets. Only
what stands above them is the test's: where the hub has a connection, there is an `Echo`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import trustme
from aiohttp import web

from relay import App, Hub
from relay_transports import frames, reader
from relay_transports.aiohttp import door, setup
from tests.integration.serving import running

if TYPE_CHECKING:
    from relay.connection import Connection
    from relay.transport import Transport

HOST = "127.0.0.1"
APP = App(id="1", key="k", secret="s")


class Echo:
    """In the place of `relay.connection.Connection`: what is called from below, and nothing else."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def receive(self, text: bytes | str) -> None:
        self._transport.send(frames.frame(frames.TEXT, text.encode() if isinstance(text, str) else text))

    def reject(self, why: str) -> None:
        """A binary message, through TLS: there is nothing to say back."""

    def heard(self) -> None:
        pass

    def disconnected(self) -> None:
        pass


class EchoHub(Hub):
    """Lets everybody in, to an `Echo`."""

    async def connect(self, key: str, transport: Transport, **_: Any) -> Connection:
        return cast("Connection", Echo(transport))


class EchoSocket(door.BareSocket):
    """Binary messages go back as well: a hub refuses them without a look at what they carry."""

    __slots__ = ()

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == reader.BINARY:
            self.send(frames.frame(0x80 | reader.BINARY, payload))
        else:
            super()._handle(opcode, payload)


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[str, str]]:
    """Where everything is said back: the URL of our own door, and that of aiohttp's, through TLS."""
    hub, app = EchoHub(APP), web.Application()
    setup(app, hub)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    with patch.object(door, "BareSocket", EchoSocket):
        async with running(app, hub) as served:
            await web.TCPSite(served.runner, HOST, 0, ssl_context=context).start()
            (_, port), (_, tls_port) = served.runner.addresses
            yield f"ws://{HOST}:{port}/app/{APP.key}", f"wss://{HOST}:{tls_port}/app/{APP.key}"
