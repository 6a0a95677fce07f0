"""Whoever brings webhooks to their receivers, and what is handed over: one request, one answer."""

from __future__ import annotations

from typing import Protocol

import msgspec

from relay.endpoint import WebhookEndpoint


class Request(msgspec.Struct, frozen=True):
    """One POST to ``endpoint``: exactly these headers and bytes, at every attempt."""

    endpoint: WebhookEndpoint
    headers: dict[str, str]
    body: bytes
    private_addresses: bool = True
    """Whether it may go to addresses that are not public."""

    @property
    def url(self) -> str:
        """Where to."""
        return self.endpoint.url


class Answer(msgspec.Struct, frozen=True):
    """How an attempt ended: with a ``status``, or without one, and ``why``. Only a 2xx status is a success."""

    status: int | None
    why: str = ""

    def __str__(self) -> str:
        return self.why if self.status is None else f"status {self.status}"


class Sender(Protocol):
    """Brings requests to their receivers, several at once for different endpoints."""

    at_once: bool
    """Whether ``send`` waits for nothing outside of this process; then ``hub.settle()`` waits for it."""

    async def send(self, request: Request) -> Answer:
        """One attempt, which ends within ``request.endpoint.timeout`` seconds. Never raises for a receiver's failure,
        never follows a redirect.
        """

    async def close(self) -> None:
        """Let go of what was kept open; more may be sent afterwards."""
