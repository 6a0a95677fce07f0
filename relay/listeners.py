"""Application code that listens to facts: callbacks, and streams to read from. Each is bounded and slows nobody."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import anyio

from relay.errors import UsageError
from relay.facts import Fact, Missed, Published, Unsubscribe, name_of
from relay.patterns import matcher

if TYPE_CHECKING:
    from relay.node import Node

F = TypeVar("F", bound=Fact)
Callback = Callable[[F], Awaitable[object] | None]
"""Called with a fact: a plain function at once, what it returns is awaited in order if it can be."""

_log = logging.getLogger(__name__)


class Filter:
    """Which facts are wanted: those of one App (and those about all Apps), of channels that a pattern matches."""

    __slots__ = ("_app", "_matches")

    def __init__(self, app: str | None, channel: str | None) -> None:
        self._app = app
        self._matches = None if channel is None else matcher(channel)

    @classmethod
    def of(cls, kind: type[Fact], app: str | None, channel: str | None) -> Filter:
        """Raises :class:`UsageError` for a channel that facts of this ``kind`` never have."""
        if channel is not None and not (kind in (Fact, Published) or "channel" in kind.__struct_fields__):
            raise UsageError(f"{kind.__name__} is about no channel, so channel={channel!r} would never let one through")
        return cls(app, channel)

    def lets(self, fact: Fact) -> bool:
        """Whether ``fact`` is wanted."""
        if self._app is not None and fact.app not in (self._app, ""):
            return False
        if self._matches is None:
            return True
        if isinstance(fact, Published):
            return any(map(self._matches, fact.receipt.channels))
        channel = getattr(fact, "channel", None)
        return isinstance(channel, str) and self._matches(channel)


class Listener(Generic[F]):
    """A callback that was given to ``hub.on``; calling it, once or twice, ends that.

    What the callback returns is awaited if it can be: one after the other, in the order of the facts, beside everything
    else. At most ``limit`` wait for their turn. One more, and the oldest is dropped, counted in ``missed`` and told as
    a :class:`~relay.facts.Missed`.
    """

    def __init__(self, node: Node, kind: type[F], callback: Callback[F], only: Filter, limit: int) -> None:
        self.missed = 0
        """How many facts this listener was too slow for."""
        self._node = node
        self._callback = callback
        self._only = only
        self._limit = _checked(limit)
        self._untold = 0
        self._waiting: deque[tuple[str, Awaitable[object]]] = deque()
        self._working = False
        self._ended = False
        self._unsubscribe = node.journal.on(kind, self._hear)

    def __call__(self) -> None:
        """Hear no more. A call that was begun goes on to its end, those that wait for their turn are dropped."""
        self._ended = True
        self._unsubscribe()
        self._drop_all()

    def end(self) -> None:
        """The hub stopped: what waits for its turn will not get it."""
        self._drop_all()
        self._working = False
        self._node.readers.discard(self)

    def _hear(self, fact: F) -> None:
        if self._ended or not self._only.lets(fact):
            return
        kind = type(fact).__name__
        try:
            result = self._callback(fact)
        except Exception:  # noqa: BLE001 - the embedding program's mistake; whatever was going on goes on
            self._failed(kind)
            return
        if result is None or not inspect.isawaitable(result):
            return
        if len(self._waiting) >= self._limit:
            _drop(self._waiting.popleft()[1])
            self._miss(fact)
        self._waiting.append((kind, result))
        if not self._working:
            self._working = True
            self._node.readers.add(self)
            self._node.start_soon(self._work)

    async def _work(self) -> None:
        try:
            while self._waiting:
                kind, result = self._waiting.popleft()
                try:
                    await result
                except Exception:  # noqa: BLE001 - as above
                    self._failed(kind)
        finally:
            self._working = False
            if not self._waiting:  # else this was cancelled, and the hub has yet to say that it is over
                self._node.readers.discard(self)

    def _failed(self, kind: str) -> None:
        _log.exception("a listener failed", extra={"fact": kind, "listener": name_of(self._callback)})

    def _miss(self, fact: Fact) -> None:
        self.missed += 1
        if isinstance(fact, Missed):
            return  # to tell of that could go on for ever, with two listeners that are both too slow
        if not self._untold:
            self._node.call_at(self._node.clock.now(), self._tell)
        self._untold += 1

    def _tell(self) -> None:
        count, self._untold = self._untold, 0
        name = name_of(self._callback)
        _log.warning("a listener is too slow and missed facts", extra={"listener": name, "count": count})
        self._node.journal.record(Missed(app="", time=self._node.clock.time(), listener=name, count=count))

    def _drop_all(self) -> None:
        while self._waiting:
            _drop(self._waiting.popleft()[1])


class FactStream(Generic[F]):
    """Facts to read: ``async with hub.facts(...) as stream: async for fact in stream``.

    It hears what happens from ``async with`` on. At most ``limit`` facts wait for the reader. Of more the oldest are
    dropped, and a :class:`~relay.facts.Missed` that says how many comes in their place. The iteration ends when the hub
    has stopped. A reader that is cancelled loses nothing and may go on.
    """

    def __init__(self, node: Node, wanted: Mapping[type[F], Filter], limit: int) -> None:
        self.missed = 0
        """How many facts the reader was too slow for."""
        self._node = node
        self._wanted = wanted
        self._limit = _checked(limit)
        self._untold = 0
        self._waiting: deque[F] = deque()
        self._wake: anyio.Event | None = None
        self._ended = False
        self._unsubscribe: list[Unsubscribe] = []

    async def __aenter__(self) -> Self:
        if self._unsubscribe:
            raise UsageError("this stream of facts was entered already: ask hub.facts() for another")
        kinds = tuple(self._wanted)
        for at, (kind, only) in enumerate(self._wanted.items()):
            self._unsubscribe.append(self._node.journal.on(kind, partial(self._hear, only, kinds[:at])))
        self._node.readers.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._waiting.clear()
        self._untold = 0

    def __aiter__(self) -> FactStream[F]:
        return self

    async def __anext__(self) -> F | Missed:
        while True:
            if self._untold:
                count, self._untold = self._untold, 0
                return Missed(app="", time=self._node.clock.time(), listener="a stream of facts", count=count)
            if self._waiting:
                return self._waiting.popleft()
            if self._ended:
                raise StopAsyncIteration
            self._wake = self._wake or anyio.Event()
            await self._wake.wait()

    def end(self) -> None:
        """Hear no more; what waits can still be read."""
        self._ended = True
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._node.readers.discard(self)
        self._rouse()

    def _hear(self, only: Filter, others: tuple[type[Fact], ...], fact: F) -> None:
        """``others`` are those of the wanted types for which this stream hears the fact too."""
        if isinstance(fact, others) or not only.lets(fact):
            return
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self.missed += 1
            self._untold += 1
        self._waiting.append(fact)
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None:
            self._wake.set()
            self._wake = None


def _checked(limit: int) -> int:
    if limit < 1:
        raise UsageError(f"limit must be a whole number above 0, got {limit!r}")
    return limit


def _drop(result: Awaitable[object]) -> None:
    """Give up what was not begun: a coroutine complains when nobody awaits it."""
    if isinstance(result, Coroutine):
        result.close()
