"""Clients over HTTP: however responses are cut into pieces and whenever the client asks again, it sees one stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.backlog import Bounds, Policy
from relay.protocol import messages
from relay_transports.fallback import POLL, FallbackSession, Manner, Receiver
from relay_transports.fallback.frames import FALLBACK

LIMIT = 250
"""Characters after which the client of these tests asks again; pusher-js takes 256 KiB."""
STREAM = Manner(prelude=b"hhhh\n", limit=LIMIT)
ENDING = Manner(limit=LIMIT, ends=True)
MANNERS = {"streaming": STREAM, "polling": POLL, "ending": ENDING}


class Browser:
    """The other end as pusher-js has it: lines of one response after another, an abort when one gets too long."""

    def __init__(self, session: FallbackSession, manner: Manner) -> None:
        self.session = session
        self.manner = manner
        self.now = 0.0
        self.heard: list[str] = []
        self.opened = 0
        self.closed: tuple[int, str] | None = None
        self.ask()

    def ask(self) -> None:
        """Post a new receive request; what is on its way on the old response is lost."""
        self.receiver: Receiver = self.session.attach(self.manner, lambda: None, self.now)
        self.pipe = b""
        self.text = b""
        self.position = 0
        self.ended = False

    def serve(self) -> None:
        """The server's turn: what it takes is on its way."""
        if self.ended:
            return
        data = self.session.take(self.receiver, self.now)
        self.pipe += data
        if data:
            self.session.confirm(self.receiver)
        if self.receiver.over:
            self.session.detach(self.receiver, self.now)
            self.ended = True

    def arrive(self, size: int) -> None:
        """Some more of it is there."""
        self.text, self.pipe = self.text + self.pipe[:size], self.pipe[size:]
        while (end := self.text.find(b"\n", self.position)) >= 0:
            self._line(self.text[self.position : end].decode("ascii"))
            self.position = end + 1
        if self.closed is not None:
            return
        if self.manner is STREAM:
            if self.position == len(self.text) > LIMIT:
                self.ask()
        elif self.ended and not self.pipe:
            self.ask()

    def read_all(self) -> None:
        """Let everything come that there is."""
        idle = 0
        while idle < 3:  # one of them may do no more than ask again
            before = len(self.heard), self.closed, self.session.backlog
            self.serve()
            self.arrive(len(self.pipe))
            idle = idle + 1 if before == (len(self.heard), self.closed, self.session.backlog) else 0

    def _line(self, line: str) -> None:
        assert line, "an empty line would stall pusher-js"
        assert self.closed is None, "nothing comes after the close"
        if line[0] == "o":
            self.opened += 1
        elif line[0] == "a":
            assert self.opened, "events only after the session is open"
            self.heard += json.loads(line[1:])
        elif line[0] == "c":
            self.closed = tuple(json.loads(line[1:]))
        else:
            assert line[0] == "h"


class Story:
    """One client under one policy, and everything that was sent to it."""

    def __init__(self, manner: Manner, policy: Policy, bounds: tuple[int, int]) -> None:
        self.max_bytes, self.max_frames = bounds
        self.session = FallbackSession(lambda: None, 0.0)
        self.session.bound(Bounds(*bounds, policy), self._overflow, self._lose)
        self.browser = Browser(self.session, manner)
        self.sent: list[str] = []
        self.lost = self.overflows = 0

    def play(self, steps: Iterable[Any]) -> None:
        for step in steps:
            match step:
                case "serve":
                    self.browser.serve()
                case "line":
                    self.browser.arrive(self.browser.pipe.find(b"\n") + 1)
                case "beat":
                    self._beat()
                case ("arrive", size):
                    self.browser.arrive(size)
                case (kind, size) if not self.overflows:
                    text = messages.event(f"e{kind}", "room", f"{len(self.sent)} {'x' * size}")
                    self.sent.append(text.decode())
                    self.session.send(FALLBACK.frame(text))
            assert self.session.backlog <= self.max_bytes

    def _beat(self) -> None:
        """So long a silence that whatever was on its way is there, and a heartbeat is due."""
        self.browser.serve()
        self.browser.arrive(len(self.browser.pipe))
        self.browser.now = max(self.browser.now, min(self.session.due, self.browser.now + 100))
        assert not self.session.expire(self.browser.now)

    def _overflow(self) -> None:
        self.overflows += 1

    def _lose(self, count: int) -> None:
        self.lost += count


STEPS = st.lists(
    st.just("serve")
    | st.just("line")  # where a client that read enough asks again, whatever is behind it on the way
    | st.just("beat")
    | st.tuples(st.just("arrive"), st.integers(1, 400))
    | st.tuples(st.integers(0, 2), st.integers(0, 150)),
    min_size=20,
    max_size=60,
)


@pytest.mark.parametrize("manner", MANNERS.values(), ids=list(MANNERS))
@given(steps=STEPS)
def test_client_hears_everything_once_and_in_order_and_then_the_close(manner, steps):
    story = Story(manner, "disconnect", (1 << 20, 10_000))
    story.play(steps)
    story.browser.read_all()
    assert (story.browser.heard, story.browser.opened) == (story.sent, 1)
    story.session.close(4200, "Please reconnect immediately")
    story.browser.read_all()
    assert story.browser.closed == (4200, "Please reconnect immediately")


@pytest.mark.parametrize("manner", MANNERS.values(), ids=list(MANNERS))
@given(steps=STEPS, bounds=st.sampled_from([(1500, 100), (20_000, 8)]))
def test_client_that_is_too_slow_heard_all_that_was_before_the_overflow(manner, steps, bounds):
    story = Story(manner, "disconnect", bounds)
    story.play(steps)
    story.browser.read_all()
    assert (story.browser.heard, story.lost) == (story.sent[: len(story.sent) - story.overflows], 0)


@pytest.mark.parametrize("manner", MANNERS.values(), ids=list(MANNERS))
@pytest.mark.parametrize("policy", ["drop_oldest", "latest_only"])
@given(steps=STEPS, bounds=st.sampled_from([(1500, 100), (20_000, 8)]))
def test_what_is_lost_is_counted_and_the_rest_comes_in_order(policy, manner, steps, bounds):
    story = Story(manner, policy, bounds)
    story.play(steps)
    story.browser.read_all()
    places = [story.sent.index(text) for text in story.browser.heard]
    assert places == sorted(set(places))
    assert (len(places) + story.lost, story.overflows) == (len(story.sent), 0)
