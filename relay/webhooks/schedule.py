"""One receiver's webhooks: what to send, when, and when to give up. No loop, no clock, no network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from relay.app import App
from relay.endpoint import WebhookEndpoint
from relay.facts import WebhookDelivered, WebhookGivenUp
from relay.protocol import webhooks
from relay.protocol.webhooks import WebhookEvent
from relay.webhooks.grace import Grace, key_of
from relay.webhooks.misses import Misses
from relay.webhooks.news import ARRIVAL_OF
from relay.webhooks.sender import Answer, Request

if TYPE_CHECKING:
    from random import Random

GIVE_UP_AFTER = 300.0
"""Seconds after which a request that was not taken is given up (protocol 7.3)."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds between attempts: the first pause, doubled each time, up to the longest; all shortened by up to half."""
_MOST_BYTES = 256 << 10
"""Bytes of events in one request."""
_GONE = 410
_DEPARTURE_OF = {arrival: departure for departure, arrival in ARRIVAL_OF.items()}


class _Queued(msgspec.Struct, frozen=True):
    text: bytes
    since: float


class _Attempted(msgspec.Struct):
    """The request at the head: nothing overtakes it until it is taken or given up."""

    request: Request
    events: int
    give_up_at: float
    due: float
    attempts: int = 0


class Schedule:
    """The webhooks of ``app`` for ``endpoint``: events go in, requests come out.

    At most one request is out at a time, so that a receiver hears of things in the order they happened. ``note`` what
    happens, and which cache channels are ``filled``; ``take`` a request whenever ``next`` has come; when it is over say
    how with ``answered``. ``reports`` hands over what became of requests. ``now`` is in seconds of one clock that never
    goes back, ``time`` Unix seconds.
    """

    def __init__(self, app: App, endpoint: WebhookEndpoint, random: Random) -> None:
        self.endpoint = endpoint
        self._app = app
        self._random = random
        self._grace = Grace(endpoint.batch_size if endpoint.batching else 1)
        self._misses = Misses(app.cache_ttl)
        self._queue: deque[_Queued] = deque()
        self._bytes = 0
        self._head: _Attempted | None = None
        self._out = False
        self._closing = False
        self._reports: list[WebhookDelivered | WebhookGivenUp] = []

    @property
    def idle(self) -> bool:
        """Whether there is nothing to send, now or later."""
        return not (self._grace or self._queue or self._head)

    @property
    def waiting(self) -> int:
        """How many events have not been taken by the receiver: in their grace, queued, or tried in vain until now."""
        return len(self._grace) + len(self._queue) + (self._head.events if self._head else 0)

    def note(self, event: WebhookEvent, now: float, time: float) -> None:
        """Take in what happened; of what is not for this receiver nothing is kept."""
        if not self._may_want(event):
            return
        if event.name in ARRIVAL_OF:
            self._grace.add(event, now)
            if len(self._grace) > self.endpoint.max_queued:
                self._overflow(self._grace.drop_oldest(), time)
        elif not self._is_none(event, now):
            self._enqueue(event, now, time)

    def filled(self, channels: Iterable[str]) -> None:
        """Something was published to ``channels``: the next miss of one of them is news again."""
        self._misses.filled(channels)

    def leaving(self, now: float) -> Sequence[WebhookEvent]:
        """The departures that ``take`` lets go ``now``. Where other nodes may know better, ask them first."""
        return [] if self._out else self._grace.leaving(now)

    def stayed(self, departure: WebhookEvent) -> None:
        """Who left is back, on another node: there is nothing to tell."""
        self._grace.take_back(key_of(departure.name, departure))

    def next(self) -> float | None:
        """When to ``take`` the next request; None: not before something happens, or while one is out."""
        if self._out:
            return None
        times = [due for due in (self._grace.next(), self._ready_at()) if due is not None]
        return min(times, default=None)

    def take(self, now: float, time: float) -> Request | None:
        """The request to send now, if there is one; its end has to be told with ``answered``."""
        if self._out:
            return None
        for event in self._grace.release(now):
            self._enqueue(event, now, time)
        ready = self._ready_at()
        if ready is None or ready > now:
            return None
        head = self._head = self._head or self._make(now, time)
        if head is None:
            return None
        self._out = True
        head.attempts += 1
        return head.request

    def answered(self, answer: Answer, now: float, time: float) -> None:
        """The attempt that is out is over."""
        head, status = self._head, answer.status
        if head is None:
            return  # it was given up meanwhile
        self._out = False
        if status is not None and 200 <= status < 300:
            self._head = None
            self._report_delivered(head, status, time)
        elif self._closing:
            self.abandon(f"the hub closed; the last answer was {answer}", time)
        elif status == _GONE or now >= head.give_up_at:
            self._head = None
            self._give_up(head.events, f"the last answer was {answer}", time, head.attempts)
        else:
            pause = min(_FIRST_PAUSE * 2 ** min(head.attempts - 1, 10), _LONGEST_PAUSE)
            head.due = min(now + pause * (0.5 + self._random.random() / 2), head.give_up_at)

    def hurry(self, now: float) -> None:
        """The end is near: send everything now, and give up what fails."""
        self._closing = True
        self._grace.hurry()
        if self._head is not None:
            self._head.due = min(self._head.due, now)

    def abandon(self, reason: str, time: float) -> None:
        """Give up everything that waits, and what is out."""
        self._grace.hurry()
        events = len(self._queue) + (self._head.events if self._head else 0)
        events += sum(self.endpoint.wants(event.name, event.channel) for event in self._grace.release(0.0))
        if events:
            self._give_up(events, reason, time, self._head.attempts if self._head else 0)
        self._queue.clear()
        self._bytes, self._head, self._out = 0, None, False

    def reports(self) -> Sequence[WebhookDelivered | WebhookGivenUp]:
        """What became of requests since this was asked last."""
        reports, self._reports = self._reports, []
        return reports

    def _is_none(self, event: WebhookEvent, now: float) -> bool:
        """Whether ``event`` is none for a receiver: somebody comes back in time, or a miss was told already."""
        if event.name == "cache_miss":
            return not self._misses.is_news(event.channel, now)
        departure = _DEPARTURE_OF.get(event.name)
        return departure is not None and self._grace.take_back(key_of(departure, event))

    def _may_want(self, event: WebhookEvent) -> bool:
        """Whether ``event`` is to be sent, or decides about one that is."""
        other = ARRIVAL_OF.get(event.name) or _DEPARTURE_OF.get(event.name) or event.name
        return self.endpoint.wants(event.name, event.channel) or self.endpoint.wants(other, event.channel)

    def _enqueue(self, event: WebhookEvent, now: float, time: float) -> None:
        if not self.endpoint.wants(event.name, event.channel):
            return
        text = webhooks.encode_event(event)
        bounds = self.endpoint
        dropped = 0
        while self._queue and (
            len(self._queue) >= bounds.max_queued or self._bytes + len(text) > bounds.max_queued_bytes
        ):
            self._bytes -= len(self._queue.popleft().text)
            dropped += 1
        if dropped:
            self._give_up(dropped, "too many wait for this receiver", time)
        self._queue.append(_Queued(text, now))
        self._bytes += len(text)

    def _overflow(self, event: WebhookEvent, time: float) -> None:
        if self.endpoint.wants(event.name, event.channel):
            self._give_up(1, "too many wait for this receiver", time)

    def _ready_at(self) -> float | None:
        """When the next request can go."""
        if self._head is not None:
            return self._head.due
        if not self._queue:
            return None
        full = len(self._queue) >= self.endpoint.batch_size or self._bytes >= _MOST_BYTES
        gather = self.endpoint.batching and not full and not self._closing
        return self._queue[0].since + (self.endpoint.batch_interval if gather else 0.0)

    def _make(self, now: float, time: float) -> _Attempted | None:
        """The next request, of what is not too old to be told."""
        expired = 0
        while self._queue and self._queue[0].since + GIVE_UP_AFTER <= now:
            self._bytes -= len(self._queue.popleft().text)
            expired += 1
        if expired:
            self._give_up(expired, "older requests were not taken in time", time)
        texts: list[bytes] = []
        size, since = 0, now
        while self._queue and len(texts) < (self.endpoint.batch_size if self.endpoint.batching else 1):
            size += len(self._queue[0].text)
            if texts and size > _MOST_BYTES:
                break
            queued = self._queue.popleft()
            since = min(since, queued.since)
            texts.append(queued.text)
            self._bytes -= len(queued.text)
        if not texts:
            return None
        body = webhooks.body_of(texts, int(time * 1000))
        headers = {**self.endpoint.headers, **webhooks.headers_of(self._app, body)}
        request = Request(self.endpoint, headers, body, self._app.webhook_private_addresses)
        return _Attempted(request, len(texts), since + GIVE_UP_AFTER, now)

    def _report_delivered(self, head: _Attempted, status: int, time: float) -> None:
        self._reports.append(
            WebhookDelivered(
                app=self._app.id,
                time=time,
                url=self.endpoint.shown,
                events=head.events,
                status=status,
                attempts=head.attempts,
            )
        )

    def _give_up(self, events: int, reason: str, time: float, attempts: int = 0) -> None:
        self._reports.append(
            WebhookGivenUp(
                app=self._app.id,
                time=time,
                url=self.endpoint.shown,
                events=events,
                reason=reason,
                attempts=attempts,
            )
        )
