"""One node's acts on the places of a cluster, one after the other for each: written if nobody else wrote meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from relay.cluster.directory import Joined
from relay.cluster.nats import subjects
from relay.cluster.nats.bucket import COUNTS, DELETED, STEPS, Bucket, Writing
from relay.cluster.nats.link import running_loop
from relay.cluster.nats.place import Act, Join, Leave, Place
from relay.errors import BrokerError, BrokerUnavailable

_TRIES: Final = 100
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05


class _Asked:
    __slots__ = ("act", "answer")

    def __init__(self, act: Act, answer: asyncio.Future[object]) -> None:
        self.act, self.answer = act, answer


class _Turn:
    """What one node knows of one channel, and what it has to do there."""

    __slots__ = ("app", "channel", "index", "indexed", "key", "place", "revision", "waiting", "worker")

    def __init__(self, app: str, channel: str) -> None:
        self.app, self.channel = app, channel
        self.key = subjects.place(app, channel)
        self.waiting: deque[_Asked] = deque()
        self.worker: asyncio.Task[None] | None = None
        self.place: Place | None = None
        """As of ``revision``; None, it has to be read."""
        self.revision = 0
        self.indexed = ""
        """The node whose index has this channel, and the index's revision."""
        self.index = 0


class Turns:
    """The channels in which this node has somebody, or something to do.

    ``name`` gives the name under which it acts, which has a lease when that returns; ``current`` is the same at once.
    """

    def __init__(
        self, bucket: Bucket, most: int, name: Callable[[], Awaitable[str]], current: Callable[[], str]
    ) -> None:
        self._bucket, self._most = bucket, most
        self._name, self._current = name, current
        self._turns: dict[tuple[str, str], _Turn] = {}
        self._count = 0

    def ask(self, app: str, channel: str, act: Act) -> asyncio.Future[object]:
        """Have ``act`` done, after all that was asked before about that channel.

        Raises :class:`BrokerUnavailable` when too much waits already. The answer fails with :class:`BrokerError`, and
        then it may or may not have been done.
        """
        if self._count >= self._most:
            raise BrokerUnavailable(f"{self._most} steps wait for NATS already")
        loop = running_loop()
        turn = self._turns.get((app, channel))
        if turn is None:
            turn = self._turns[app, channel] = _Turn(app, channel)
        answer: asyncio.Future[object] = loop.create_future()
        turn.waiting.append(_Asked(act, answer))
        self._count += 1
        if turn.worker is None:
            turn.worker = loop.create_task(self._work(turn))
        return answer

    def forget(self) -> None:
        """What is known of places, and of the index, may be wrong."""
        self._turns = {key: turn for key, turn in self._turns.items() if turn.worker is not None}
        for turn in self._turns.values():  # what the index has is of use to those who sweep the name given up
            turn.place, turn.indexed, turn.index = None, "", 0

    def known(self) -> list[tuple[str, str]]:
        """Where this node has somebody."""
        return list(self._turns)

    async def close(self) -> None:
        """End; what is under way fails."""
        workers = [turn.worker for turn in self._turns.values() if turn.worker is not None]
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)
        self._turns.clear()

    async def _work(self, turn: _Turn) -> None:
        try:
            while turn.waiting:
                batch = list(_some(turn.waiting))
                try:
                    await self._act(turn, [asked for asked in batch if not asked.answer.done()])
                except BaseException as error:
                    turn.place = None
                    _fail(batch, error)
                    if not isinstance(error, Exception):
                        raise
                finally:
                    self._count -= len(batch)
        finally:
            self._count -= len(turn.waiting)
            _fail(turn.waiting, BrokerUnavailable("closed"))
            turn.waiting.clear()
            turn.worker = None
            if not turn.index and self._turns.get((turn.app, turn.channel)) is turn:
                del self._turns[turn.app, turn.channel]

    async def _act(self, turn: _Turn, batch: list[_Asked]) -> None:
        """Do all of it in one write, again as often as another node was faster."""
        pause = _FIRST_PAUSE
        for _ in range(_TRIES):
            if not batch:
                return
            name = await self._name()
            fresh = turn.place is None
            place = await self._read(turn)
            answers = [asked.act.on(place, name) for asked in batch]
            if not any(answers):
                if fresh:
                    _answer_idle(batch, place)
                    await self._tidy(turn, place)
                    return
                turn.place = None  # what changes nothing is not written, and may be known wrongly
                continue
            if not await self._write(turn, place, name):
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - no secret
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            steps = iter(self._bucket.steps(turn.revision))
            results = [None if answer is None else answer(steps) for answer in answers]
            again = _to_do_again(batch, results) if name != self._current() else []
            for asked, answer, result in zip(batch, answers, results, strict=True):
                if asked not in again and not asked.answer.done():
                    asked.answer.set_result(asked.act.idle(place) if answer is None else result)
            await self._tidy(turn, place)
            batch = again
        raise BrokerUnavailable(f"other nodes changed this channel {_TRIES} times meanwhile")

    async def _read(self, turn: _Turn) -> Place:
        if turn.place is None:
            entry = await self._bucket.read(turn.key)
            turn.place, turn.revision = Place.load(entry.data), entry.revision
        return turn.place

    async def _write(self, turn: _Turn, place: Place, name: str) -> bool:
        """Write what is in the place now; False, and it has to be read again, if another node wrote meanwhile."""
        turn.place = None
        index: Writing | None = None
        if place.owned(name) and turn.indexed != name:
            index = await self._bucket.begin(subjects.own(name, turn.app, turn.channel), b"", None)
        headers = {COUNTS: f"{place.count} {place.users}"} if place.count else DELETED
        revision = await self._bucket.write(turn.key, place.dump(), turn.revision, headers)
        if index is not None:
            turn.index, turn.indexed = await index, name
        if not revision:
            return False
        turn.place, turn.revision = place, revision
        return True

    async def _tidy(self, turn: _Turn, place: Place) -> None:
        """Take away what nobody needs."""
        if turn.index and not place.owned(turn.indexed):
            index, turn.index, turn.indexed = turn.index, 0, ""
            await self._bucket.erase(index)
        if not place.count and not turn.waiting:
            turn.place = None
            await self._bucket.erase(turn.revision)


def _some(waiting: deque[_Asked]) -> Iterator[_Asked]:
    """As much as one revision has steps for."""
    room = STEPS
    while waiting and waiting[0].act.most <= room:
        room -= waiting[0].act.most
        yield waiting.popleft()


def _answer_idle(batch: list[_Asked], place: Place) -> None:
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_result(asked.act.idle(place))


def _to_do_again(batch: list[_Asked], results: list[object]) -> list[_Asked]:
    """Joins under a name that was given up while they were written: who owns them will be swept."""
    last: dict[str, _Asked] = {}
    for asked, result in zip(batch, results, strict=True):
        if isinstance(asked.act, Join) and isinstance(result, Joined):
            last[asked.act.socket_id] = asked
            asked.act.earlier = result
        elif isinstance(asked.act, Leave):
            last.pop(asked.act.socket_id, None)
    return list(last.values())


def _fail(batch: deque[_Asked] | list[_Asked], error: BaseException) -> None:
    failed = error if isinstance(error, BrokerError) else BrokerUnavailable(f"NATS failed: {type(error).__name__}")
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_exception(failed)
            with contextlib.suppress(asyncio.CancelledError):
                asked.answer.exception()  # whoever asked may have given up
