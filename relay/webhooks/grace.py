"""Departures that may still be taken back: a page that is reloaded was never away (protocol 7.3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

from relay.protocol.webhooks import WebhookEvent

SECONDS = 3.0
"""How long a departure is kept back."""
_AT_ONCE = 10
"""Requests with departures that may leave together."""
_PAUSE = 0.1
"""Seconds from those to the next: 100 requests a second at most, when a crowd left at once."""

Key = tuple[str, str, str | None]
"""What left: the name of its departure, the channel, and the user on presence channels."""


def key_of(name: str, event: WebhookEvent) -> Key:
    """What a departure called ``name`` of the channel or member of ``event`` is kept under."""
    return name, event.channel, event.user_id


class Grace:
    """Departures in the order they happened, each with the time (seconds) when it is no longer kept back.

    A crowd that leaves at once is let through at a bounded rate, where a request has room for ``per_request`` events;
    what waits for its turn can be taken back too.
    """

    def __init__(self, per_request: int) -> None:
        self._waiting: dict[Key, tuple[float, WebhookEvent]] = {}
        self._most = _AT_ONCE * per_request
        self._opened = -math.inf
        self._left = self._most
        """How many more may leave in the time that began with ``_opened``."""
        self._hasty = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: WebhookEvent, now: float) -> None:
        """Keep back a departure; it happened ``now``."""
        self._waiting.setdefault(key_of(event.name, event), (now + SECONDS, event))

    def take_back(self, key: Key) -> bool:
        """Whether a departure was kept back, and now never happened."""
        return self._waiting.pop(key, None) is not None

    def drop_oldest(self) -> WebhookEvent:
        """Take out the one that waits longest."""
        key = next(iter(self._waiting))
        return self._waiting.pop(key)[1]

    def hurry(self) -> None:
        """Nothing is kept back any more."""
        self._hasty = True

    def next(self) -> float | None:
        """When ``release`` has something to give; None: not by itself."""
        for due, _ in self._waiting.values():
            if self._hasty:
                return -math.inf
            return due if self._left else max(due, self._opened + _PAUSE)
        return None

    def leaving(self, now: float) -> list[WebhookEvent]:
        """What ``release`` would take out ``now``."""
        due = self.next()
        if due is None or due > now:
            return []
        most = len(self._waiting) if self._hasty else self._most
        ready = [event for due, event in islice(self._waiting.values(), most) if self._hasty or due <= now]
        return ready if self._hasty or now >= self._opened + _PAUSE else ready[: self._left]

    def release(self, now: float) -> Iterator[WebhookEvent]:
        """Take out what may go ``now``."""
        while (due := self.next()) is not None and due <= now:
            if now >= self._opened + _PAUSE:
                self._opened, self._left = now, self._most
            self._left = max(0, self._left - 1)
            yield self.drop_oldest()
