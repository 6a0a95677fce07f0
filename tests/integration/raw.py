"""The hub's clients in this process, frame by frame: the one place that says where they come from."""

from __future__ import annotations

from typing import Protocol

from relay_transports.inprocess import InProcessTransport
from relay_transports.inprocess import RawClient as Client
from relay_transports.inprocess import connect_raw as connect
from relay_transports.inprocess.transport import TextFraming

__all__ = ["Client", "InProcessTransport", "TextFraming", "connect", "ended"]


class _End(Protocol):
    @property
    def code(self) -> int: ...
    @property
    def reason(self) -> str: ...


class _Ending(Protocol):
    @property
    def closed(self) -> _End | None: ...


def ended(client: _Ending) -> tuple[int, str] | None:
    """Code and reason with which the hub closed a client or transport, None while it is open."""
    return None if client.closed is None else (client.closed.code, client.closed.reason)
