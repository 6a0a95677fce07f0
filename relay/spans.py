"""What goes round a publish and a webhook, to see how long they take and how they end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from relay.app import App
from relay.protocol.events import CheckedEvent
from relay.receipts import Receipt
from relay.webhooks import Answer, Request


class Spans(Protocol):
    """Traces what a hub does for the program around it. Each method does what it is given, once, and passes on what
    that returns or raises.
    """

    async def publish(
        self, app: App, event: CheckedEvent, publish: Callable[[CheckedEvent], Awaitable[Receipt]]
    ) -> Receipt:
        """Round one event that application code publishes, in this process or over REST."""

    async def send(self, app: str, request: Request, send: Callable[[Request], Awaitable[Answer]]) -> Answer:
        """Round one attempt to bring a webhook to its receiver; may add headers to ``request``."""
