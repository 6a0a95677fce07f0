"""One schedule with its time and its receiver, for tests: no hub, no loop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from relay import App, WebhookEndpoint
from relay.facts import Fact
from relay.protocol.webhooks import verify
from relay.webhooks import Answer, Request, Schedule, event_of

APP = App(id="1001", key="app-key", secret="app-secret")
UNIX = 1_760_000_000.0
ABOUT: dict[str, Any] = {"app": APP.id, "time": UNIX}
Respond = Callable[[], int | None]


class Attempt(NamedTuple):
    """One request as the receiver saw it, and when."""

    at: float
    events: list[dict[str, Any]]
    status: int | None
    request: Request


class World:
    """Moves time from one thing that is due to the next; ``respond`` is asked for each answer, after ``delay``."""

    def __init__(self, endpoint: WebhookEndpoint, respond: Respond = lambda: 200, *, delay: float = 0.0) -> None:
        self.now = 0.0
        self.schedule = Schedule(APP, endpoint, Random(0))
        self.respond = respond
        self.delay = delay
        self.attempts: list[Attempt] = []
        self._out: tuple[float, Request] | None = None

    @property
    def time(self) -> float:
        return UNIX + self.now

    def note(self, fact: Fact) -> None:
        """Something happens now, after all that was due before."""
        event = event_of(fact)
        assert event is not None
        self.schedule.note(event, self.now, self.time)
        self.advance(0)

    def advance(self, seconds: float) -> None:
        target = self.now + seconds
        while (due := self._due()) <= target:
            self.now = max(self.now, due)
            if self._out is not None:
                self._answer(self._out[1])
            elif (request := self.schedule.take(self.now, self.time)) is not None:
                self._out = (self.now + self.delay, request)
        self.now = target

    def told(self) -> list[tuple[float, str, str]]:
        """What was taken: when, the name of the event, the channel."""
        taken = [attempt for attempt in self.attempts if attempt.status == 200]
        return [(attempt.at, event["name"], event["channel"]) for attempt in taken for event in attempt.events]

    def _due(self) -> float:
        due = self._out[0] if self._out is not None else self.schedule.next()
        return math.inf if due is None else due

    def _answer(self, request: Request) -> None:
        verify(APP, request.headers, request.body)
        status, self._out = self.respond(), None
        self.attempts.append(Attempt(self.now, json.loads(request.body)["events"], status, request))
        self.schedule.answered(Answer(status, "silence"), self.now, self.time)
