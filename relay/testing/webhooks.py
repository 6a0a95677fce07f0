"""The receiver of a kit's webhooks: it remembers what it was sent, and answers what the test wants."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from relay.app import App
from relay.protocol.webhooks import WebhookEvent, verify
from relay.webhooks import Answer, Request


class ReceivedWebhook(msgspec.Struct, frozen=True):
    """One attempt: where it went, what was answered, and what it says, its signature proven; ``time_ms`` is when the
    request was made (Unix milliseconds).
    """

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    time_ms: int
    events: tuple[WebhookEvent, ...]


class WebhookRecorder:
    """Takes the webhooks of every App of a kit, for every URL, without a network; ``settle`` waits for it.

    ``status`` is what it answers from now on: set it to 500, and the webhooks come again as the clock advances.
    """

    at_once = True

    def __init__(self, apps: Sequence[App]) -> None:
        self._apps = apps
        self.status = 200
        self.requests: list[ReceivedWebhook] = []
        """All attempts, in order."""

    def events(self, name: str | None = None, *, channel: str | None = None) -> list[WebhookEvent]:
        """What was taken, oldest first; those called ``name``, about ``channel``, if given."""
        return [
            event
            for request in self.requests
            if 200 <= request.status < 300
            for event in request.events
            if name in (None, event.name) and channel in (None, event.channel)
        ]

    async def send(self, request: Request) -> Answer:
        """See :class:`relay.webhooks.Sender`."""
        sent = verify(self._apps, request.headers, request.body)
        self.requests.append(
            ReceivedWebhook(request.url, self.status, request.headers, request.body, sent.time_ms, sent.events)
        )
        return Answer(self.status)

    async def close(self) -> None:
        """Nothing is open."""
