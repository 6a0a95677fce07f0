"""REST requests of the Pusher API, signed, as bytes that can be sent over and over."""

from __future__ import annotations

import json
import socket
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from benchmarks.peers.serving import CHANNEL, payload
from relay import App
from relay.protocol import signing

_APP = App(id="1", key="key", secret="secret")


def event(channel: str = CHANNEL, stamp: int = 0) -> dict[str, object]:
    """One event as server SDKs write it."""
    return {"name": "tick", "channels": [channel], "data": payload(stamp)}


def single(channel: str = CHANNEL, stamp: int = 0) -> bytes:
    """A trigger of one event."""
    return signed("/apps/1/events", event(channel, stamp))


def batch(size: int, channel: str = CHANNEL) -> bytes:
    """A batch of ``size`` events."""
    one = {"name": "tick", "channel": channel, "data": payload()}
    return signed("/apps/1/batch_events", {"batch": [one] * size})


def signed(path: str, body: object) -> bytes:
    """The whole request; its signature is good for ten minutes."""
    text = json.dumps(body, separators=(",", ":")).encode()
    query = urlencode(signing.sign_rest(_APP, "POST", path, query=[], body=text, now=time.time()))
    head = f"POST {path}?{query} HTTP/1.1\r\nHost: bench\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


class Caller:
    """One connection to a REST API, opened anew where the server closes it after each answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def call(self, request: bytes) -> None:
        """Send a request. Raises ``RuntimeError`` for any answer but 200."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.sendall(request)
        answer = self._socket.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server refused an event: {answer[:200]!r}")
        if b"connection: close" in answer.lower():
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
