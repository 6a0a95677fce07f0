"""Events that nobody waits for: kept in order, sent in batches, and never lost without a word."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import anyio

from relay.errors import PublisherClosed, QueueFull, RateLimited, RequestError, Unauthorized, UsageError
from relay.protocol.events import CheckedEvent, Event

if TYPE_CHECKING:
    from relay.clock import Clock

_log = logging.getLogger(__name__)

OnError = Callable[[Exception, Event], None]
"""Told of an event that was not published, and why; it must neither wait nor raise."""

Publish = Callable[[Sequence[CheckedEvent]], Awaitable[object]]


class Item(NamedTuple):
    """One event on its way."""

    event: Event
    checked: CheckedEvent
    on_error: OnError

    @property
    def channels(self) -> Sequence[str]:
        """Where it goes."""
        return self.checked.channels


T = TypeVar("T", CheckedEvent, Item)


def batches(events: Iterable[T], most: int) -> Iterator[list[T]]:
    """``events`` in lists that name ``most`` channels or fewer, so that each fits into one batch of single-channel
    events. An event is never divided: one with more channels than that comes alone.
    """
    batch: list[T] = []
    room = most
    for event in events:
        size = len(event.channels)
        if batch and size > room:
            yield batch
            batch, room = [], most
        batch.append(event)
        room -= size
    if batch:
        yield batch


class Unsent:
    """A bounded queue with one task that empties it through ``publish``, at most ``max_batch`` channels at a time.

    The task exists only while there is something to do. One call is under way at any time: that keeps the
    order, and what arrives meanwhile makes the next batch.
    """

    def __init__(self, publish: Publish, *, max_queued: int, max_batch: int) -> None:
        self._publish = publish
        self._max_queued = max_queued
        self._max_batch = max_batch
        self._waiting: deque[Item | anyio.Event] = deque()  # an Event is somebody who flushes
        self._sending: deque[Item] = deque()
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def add(self, item: Item) -> None:
        """Queue ``item``. Raises :class:`QueueFull`, and :class:`UsageError` where no loop runs."""
        if self._count >= self._max_queued:
            raise QueueFull(f"{self._count} events wait to be sent already, max_queued allows no more")
        self._wake()
        self._waiting.append(item)
        self._count += 1

    async def flush(self) -> None:
        """Return when everything queued so far is published or was reported as an error."""
        if self._count:
            await self._marker().wait()

    async def close(self, clock: Clock, within: float) -> None:
        """Flush for at most ``within`` seconds, then give up what is left: each event's ``on_error`` is told."""
        try:
            if self._count:
                await clock.wait(self._marker(), clock.now() + within)
        finally:
            task, self._task = self._task, None
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])

    def _marker(self) -> anyio.Event:
        marker = anyio.Event()
        self._waiting.append(marker)
        return marker

    def _wake(self) -> None:
        if self._task is not None and not self._task.done():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError("no event loop runs here that could send the event later: await trigger()") from None
        self._task = loop.create_task(self._run(), name="relay trigger_soon")
        self._task.add_done_callback(self._ended)  # a finally in _run would not see a task cancelled before it began

    async def _run(self) -> None:
        while self._waiting:
            head = self._waiting[0]
            if isinstance(head, anyio.Event):
                self._waiting.popleft()
                head.set()
                continue
            batch = next(batches(self._first(), self._max_batch))
            for _ in batch:
                self._waiting.popleft()
            self._sending.extend(batch)
            await self._send(batch)

    def _first(self) -> Iterator[Item]:
        """What waits before whoever flushes next."""
        for waiting in self._waiting:
            if isinstance(waiting, anyio.Event):
                return
            yield waiting

    async def _send(self, batch: Sequence[Item]) -> None:
        """Publish ``batch``. Where the host refuses one of several, the others must not suffer: a batch is refused
        as a whole, and it was us who put strangers together. So they go again one by one.
        """
        error: Exception | None = None
        try:
            await self._publish([item.checked for item in batch])
        except RequestError as refused:
            error = refused
            if len(batch) > 1 and not isinstance(refused, Unauthorized | RateLimited):
                for item in batch:
                    await self._send([item])
                return
        except Exception as unforeseen:  # noqa: BLE001 the queue outlives whatever happens to one batch
            error = unforeseen
        for _ in batch:
            self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        """The first of what is being sent is over."""
        item = self._sending.popleft()
        self._count -= 1
        if error is None:
            return
        try:
            item.on_error(error, item.event)
        except Exception:  # noqa: BLE001 as above
            _log.exception("an on_error callback raised")

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that was cancelled left something: tell about it."""
        if not task.cancelled():
            return
        while self._sending:
            self._finish(PublisherClosed("closed while this event was being sent: it may have been published"))
        left, self._waiting = self._waiting, deque()
        for waiting in left:
            if isinstance(waiting, anyio.Event):
                waiting.set()
            else:
                self._sending.append(waiting)
                self._finish(PublisherClosed("closed before this event was sent"))


def warn(app_id: str) -> OnError:
    """What happens to errors that nobody asked to be told of."""

    def on_error(error: Exception, event: Event) -> None:
        told = {"app": app_id, "event": event.name, "channels": event.channels, "error": str(error)}
        _log.warning("an event was not published", extra=told)

    return on_error
