"""Application code that subscribes to channels of its own hub, beside the clients: ``hub.subscribe(...)``.

It is no connection: it holds no channel occupied, is no member, and no count has it. What fan-out does for the clients
of a channel has nothing to do with it either; an event costs one look-up where somebody listens, and none elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio

from relay.app import App
from relay.backlog import Backlog, Bounds
from relay.errors import FellBehind, UsageError
from relay.patterns import is_pattern, matcher
from relay.protocol import encryption, messages, names
from relay.protocol.received import ReceivedEvent, read_event

_MOST_KNOWN = 10_000
"""Names of channels for which it is kept whose patterns match."""


class EventStream:
    """Events to read one after the other, from ``hub.subscribe(...)``: ``async for event in events``.

    What was published first comes first. No more waits for the reader than for a client of the App: ``max_backlog``
    bytes and ``max_backlog_frames`` events. Beyond that the App's ``slow_consumers`` decides. With ``disconnect`` the
    iteration gives what waits and then raises :class:`~relay.errors.FellBehind`, which ends it; with ``drop_oldest``
    and ``latest_only`` it goes on with what there was room for. Every lost event counts in ``lost``.

    Data of encrypted channels comes decrypted. The iteration ends when the hub has stopped. A reader that is cancelled
    loses nothing and may go on.
    """

    def __init__(self, app: App, bounds: Bounds, channels: Iterable[str], tell: Callable[[EventStream], None]) -> None:
        self.lost = 0
        """Events the reader was too slow for."""
        self.channels = _checked(channels)
        """The names and patterns it was made for."""
        self.names = [name for name in self.channels if not is_pattern(name)]
        self._app = app
        self._bounds = bounds
        self._tell = tell
        self._waiting = Backlog(bounds, _PLAIN)
        self._room, self._places = bounds.at_once
        self._behind = False
        """Whether the policy has its say about what comes, which it has until the reader has read everything."""
        self._untold = 0
        self._failed = False
        self._over = False
        """Whether it was told that this has failed: what is lost from then on is no news."""
        self._raised = False
        self._ended = False
        self._wake: anyio.Event | None = None

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ReceivedEvent:
        while True:
            if self._waiting:
                (text,) = self._waiting.take(self._bounds.max_bytes, 1)
                return self._readable(read_event(text))
            self._behind = False
            if self._failed and not self._raised:
                self._raised = True
                raise FellBehind(", ".join(self.channels), self.lost)
            if self._ended or self._failed:
                raise StopAsyncIteration
            self._wake = self._wake or anyio.Event()
            await self._wake.wait()

    def put(self, text: bytes) -> int:
        """Let an event wait for the reader; returns how many were lost for that. Never waits, never raises."""
        if self._failed:
            return self._lose(1)
        waiting = self._waiting
        if not self._behind and waiting.bytes + len(text) <= self._room and len(waiting) < self._places:
            waiting.append(text)
        elif self._bounds.drops:
            self._behind = True
            if lost := waiting.push(text):
                self._lose(lost)
            self._rouse()
            return lost
        else:
            self._failed = True
            return self._lose(1)
        self._rouse()
        return 0

    def end(self) -> None:
        """Nothing more will come; what waits can still be read."""
        self._ended = True
        self._rouse()

    def untold(self) -> int:
        """How many events were lost since this was asked last."""
        count, self._untold = self._untold, 0
        self._over = self._failed
        return count

    def _lose(self, count: int) -> int:
        if not self._untold and not self._over:
            self._tell(self)
        self._untold += count
        self.lost += count
        self._rouse()
        return count

    def _rouse(self) -> None:
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    def _readable(self, event: ReceivedEvent) -> ReceivedEvent:
        channel = event.channel or ""
        if self._app.encryption_master_key is None or not names.is_encrypted(channel):
            return event
        secret = encryption.shared_secret(encryption.master_key(self._app), channel)
        try:
            text = encryption.decrypt(secret, encryption.read_box(event.data))
        except encryption.CannotDecrypt:  # published by somebody with another key: nothing here can read it
            return event
        return event.called(event.event, messages.unwrapped(text))


class Audience:
    """Who of the application's own code listens to what, for one App on this node."""

    __slots__ = ("_matchers", "_matching", "_named", "streams")

    def __init__(self) -> None:
        self.streams: dict[EventStream, None] = {}
        self._named: dict[str, dict[EventStream, None]] = {}
        self._matchers: dict[EventStream, list[Callable[[str], bool]]] = {}
        """The patterns of those who have some."""
        self._matching: dict[str, list[EventStream]] = {}
        """Whose patterns match a channel, found when its first event comes."""

    def add(self, stream: EventStream) -> None:
        """Let ``stream`` have every event from now on."""
        self.streams[stream] = None
        for name in stream.names:
            self._named.setdefault(name, {})[stream] = None
        if patterns := [matcher(name) for name in stream.channels if is_pattern(name)]:
            self._matchers[stream] = patterns
            self._matching.clear()

    def remove(self, stream: EventStream) -> None:
        """Let ``stream`` have no more."""
        if stream not in self.streams:
            return
        del self.streams[stream]
        for name in stream.names:
            del self._named[name][stream]
            if not self._named[name]:
                del self._named[name]
        if self._matchers.pop(stream, None) is not None:
            self._matching.clear()

    def wants(self, channel: str) -> bool:
        """Whether somebody asked for ``channel`` by its name."""
        return channel in self._named

    def hear(self, channel: str, text: bytes) -> int:
        """An event was published; returns how many were lost for it."""
        named = self._named.get(channel, {})
        lost = sum(stream.put(text) for stream in named)
        if self._matchers:
            lost += sum(stream.put(text) for stream in self._whose_patterns_match(channel) if stream not in named)
        return lost

    def _whose_patterns_match(self, channel: str) -> list[EventStream]:
        found = self._matching.get(channel)
        if found is None:
            if len(self._matching) >= _MOST_KNOWN:
                self._matching.clear()
            found = self._matching[channel] = [
                stream for stream, patterns in self._matchers.items() if any(match(channel) for match in patterns)
            ]
        return found


class _Plain:
    """Events as they are."""

    ping = None
    shares = False

    def frame(self, text: bytes) -> bytes:
        return text

    def text(self, frame: bytes) -> bytes | None:
        return frame


_PLAIN = _Plain()


def _checked(channels: Iterable[str]) -> tuple[str, ...]:
    given = tuple(dict.fromkeys(channels))
    if not given:
        raise UsageError("say what to subscribe to: channels by name, or patterns such as 'private-*'")
    for name in given:
        if not isinstance(name, str) or not (is_pattern(name) or names.is_target(name)):
            shown = name[: names.MAX_EVENT_NAME] if isinstance(name, str) else name
            raise UsageError(f"{shown!r} is neither the name of a channel nor a pattern, such as 'private-*'")
    return given
