"""Slow clients on a socket: whatever they read and whenever, the bounds hold and the right events are lost."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from relay.backlog import Backlog, Bounds, Policy
from relay.protocol import messages
from relay_transports.aiohttp.door import BareSocket
from relay_transports.aiohttp.outbox import Flusher
from relay_transports.frames import WEBSOCKET

LIMITS = st.sampled_from([(2000, 100), (20_000, 12)])  # so that either bound is met first
LARGEST = 150
"""Bytes of ``data``: with what is around it, far below the half of the bound that one event may always have."""


class Turns:
    """What asyncio's loop does between its turns."""

    def __init__(self) -> None:
        self._soon: deque[Callable[[], object]] = deque()

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._soon.append(callback)

    def turn(self) -> None:
        while self._soon:
            self._soon.popleft()()


class Pipe(asyncio.Transport):
    """An asyncio transport to a client that reads in portions: ``read(n)`` lets it read n more bytes."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.arrived = b""
        self._protocol = protocol
        self._buffer = b""
        self._reads = 0
        self._high = 1 << 16
        self._paused = False

    def read(self, size: int) -> None:
        self._reads += size
        self._move()
        if self._paused and not self._buffer:
            self._paused = False
            self._protocol.resume_writing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._buffer += data
        self._move()
        self._pause()

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or 0
        self._pause()

    def is_closing(self) -> bool:
        return False

    def _move(self) -> None:
        self.arrived += self._buffer[: self._reads]
        taken = min(self._reads, len(self._buffer))
        self._buffer, self._reads = self._buffer[taken:], self._reads - taken

    def _pause(self) -> None:
        if len(self._buffer) > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()


def texts(data: bytes) -> list[bytes]:
    """The payloads of all the frames that are whole in ``data``."""
    found = []
    while len(data) >= 4:
        size, head = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4], "big"), 4)
        if len(data) < head + size:
            break
        found.append(data[head : head + size])
        data = data[head + size :]
    return found


class Story:
    """One client under one policy, and everything that was sent to it."""

    def __init__(self, policy: Policy, limits: tuple[int, int]) -> None:
        self.max_bytes, self.max_frames = limits
        self.turns = Turns()
        self.transport = BareSocket(Flusher(cast("asyncio.AbstractEventLoop", self.turns)), 1000, lambda: None)
        self.pipe = Pipe(self.transport)
        self.transport.connection_made(self.pipe)
        self.sent: list[bytes] = []
        self.lost = self.overflows = 0
        self.transport.bound(Bounds(*limits, policy), self._overflow, self._lose)

    def play(self, steps: Iterable[Any]) -> None:
        for number, step in enumerate(steps):
            if isinstance(step, int):
                self.pipe.read(step)
            elif step is None:
                self.turns.turn()
            elif not self.overflows:
                self._send(self._text(number, *step))
            self._check_bounds()

    def finish(self) -> list[bytes]:
        """Let the client read all that comes."""
        self.pipe.read(1 << 30)
        self.turns.turn()
        assert self.transport.backlog == 0
        return texts(self.pipe.arrived)

    def _text(self, number: int, name: str, channel: str, size: int) -> bytes:
        if name == "pong":
            return messages.event("pusher:pong", channel, str(number))
        return messages.event(name, channel, f"{number} {'x' * size}")

    def _send(self, text: bytes) -> None:
        self.transport.send(WEBSOCKET.frame(text))
        if not self.overflows:
            self.sent.append(text)

    def _check_bounds(self) -> None:
        assert self.transport.backlog <= self.max_bytes
        assert len(self.sent) - self.lost - len(texts(self.pipe.arrived)) <= self.max_frames

    def _lose(self, count: int) -> None:
        self.lost += count

    def _overflow(self) -> None:
        self.overflows += 1


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(text in rest for text in part)


def kind(text: bytes) -> tuple[str, str]:
    event = json.loads(text)
    return event["event"], event["channel"]


CHANNELS, SIZES = st.sampled_from(["a", "b"]), st.integers(0, LARGEST)
EVENTS = st.tuples(st.sampled_from(["x", "y"]), CHANNELS, SIZES)
PROTOCOL = st.tuples(st.just("pong"), CHANNELS, st.just(0))
READS = st.sampled_from([0, 0, 0, 0, 1, 90, 300, 4000])
DROPPING = st.sampled_from(["drop_oldest", "latest_only"])


@st.composite
def steps(draw: st.DrawFn, *what: st.SearchStrategy[Any]) -> list[Any]:
    """Bursts, each with a turn of the loop (None) before or after the client reads a little."""
    burst = st.lists(st.one_of(*what), min_size=5, max_size=12)
    played: list[Any] = []
    for events, early, late in draw(st.lists(st.tuples(burst, READS, READS), max_size=12)):
        played += [*events[:4], early, *events[4:], None, late]
    return played


@given(LIMITS, steps(EVENTS))
def test_what_arrives_under_drop_oldest_is_in_order_and_ends_with_the_newest(limits, played):
    story = Story("drop_oldest", limits)
    story.play(played)
    arrived = story.finish()
    assert is_subsequence(arrived, story.sent)
    assert arrived[-1:] == story.sent[-1:]
    assert (len(arrived) + story.lost, story.overflows) == (len(story.sent), 0)


@given(LIMITS, steps(EVENTS))
def test_the_last_event_of_each_channel_and_name_arrives_under_latest_only(limits, played):
    story = Story("latest_only", limits)
    story.play(played)
    arrived = story.finish()
    assert is_subsequence(arrived, story.sent)
    assert {kind(text): text for text in arrived} == {kind(text): text for text in story.sent}
    assert (len(arrived) + story.lost, story.overflows) == (len(story.sent), 0)


@given(DROPPING, LIMITS, steps(EVENTS, PROTOCOL, PROTOCOL))
def test_protocol_frames_all_arrive_or_the_client_is_disconnected(policy, limits, played):
    story = Story(policy, limits)
    story.play(played)
    arrived = story.finish()
    assert is_subsequence(arrived, story.sent)
    assert [text for text in arrived if b"pusher:" in text] == [text for text in story.sent if b"pusher:" in text]
    assert story.overflows <= 1


@given(DROPPING, LIMITS, st.lists(EVENTS, max_size=60))
def test_client_that_reads_at_once_loses_nothing_whatever_comes_in_one_turn(policy, limits, played):
    story = Story(policy, limits)
    story.pipe.read(1 << 30)
    story.play(played)
    assert (story.finish(), story.lost, story.overflows) == (story.sent, 0, 0)


@given(LIMITS, steps(EVENTS, PROTOCOL))
def test_what_waits_under_disconnect_is_bounded_and_arrives_complete(limits, played):
    story = Story("disconnect", limits)
    story.play(played)
    assert (story.finish(), story.lost) == (story.sent, 0)


@given(DROPPING, LIMITS, st.lists(st.one_of(EVENTS, PROTOCOL, st.integers(1, 5)), max_size=120))
def test_a_backlog_keeps_its_bounds_counts_its_losses_and_keeps_order(policy, limits, played):
    waiting, sent, taken, lost = Backlog(Bounds(limits[0], limits[1], policy), WEBSOCKET), [], [], 0
    for number, step in enumerate(played):
        if isinstance(step, int):
            taken += waiting.take(limits[0], step)
        elif not waiting.full:
            name, channel, size = step
            text = messages.event("pusher:pong" if name == "pong" else name, channel, f"{number} {'x' * size}")
            lost += waiting.push(WEBSOCKET.frame(text))
            sent += [] if waiting.full else [WEBSOCKET.frame(text)]
        assert waiting.bytes <= limits[0]
        assert len(waiting) <= limits[1]
    taken += waiting.take(*limits)
    assert is_subsequence(taken, sent)
    assert len(taken) + lost == len(sent)
