"""The connection on which one node hears the others."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

from redis.exceptions import ResponseError

from relay.cluster.redis.address import Line
from relay.cluster.redis.lane import BROKEN, refusal
from relay.cluster.redis.waiting import within
from relay.errors import BrokerUnavailable

_TOPICS_AT_ONCE: Final = 500
_TOPICS_UNDER_WAY: Final = 4000
_TURN: Final = 64
"""So many messages are taken in before others on the loop have a turn."""

Hear = Callable[[bytes, bytes], None]


class _Ask(NamedTuple):
    word: bytes
    topic: bytes
    answer: asyncio.Future[bool]


class Ear:
    """A connection that was opened, until it is lost. Commands are answered in the order they were sent.

    What is asked for in one moment travels together, however many ask. It is answered, or the connection is given up:
    so as long as that is open, it brings everything that it was asked for.

    ``sharded`` is Redis Cluster's way: messages go to the server that has the topic's shard, and to no other.
    """

    def __init__(self, connection: Line, hear: Hear, patience: float, *, sharded: bool) -> None:
        self._connection = connection
        self._hear = hear
        self._patience = patience
        self._prefix = b"S" if sharded else b""
        self._waiting: deque[_Ask] = deque()
        self._asked: deque[_Ask] = deque()
        self._news = asyncio.Event()
        self._answers = 0
        self._answered = asyncio.Event()
        """Set when all that was asked for is answered, whoever still waits for it."""
        self._lost: str | None = None

    async def subscribe(self, topics: Iterable[bytes]) -> None:
        """Return when messages of ``topics`` from now on are heard. Raises :class:`BrokerUnavailable`."""
        await self._ask(b"SUBSCRIBE", topics)

    async def unsubscribe(self, topic: bytes) -> None:
        """Return when nothing of ``topic`` will be heard any more. Raises :class:`BrokerUnavailable`."""
        await self._ask(b"UNSUBSCRIBE", [topic])

    async def listen(self) -> None:
        """Hear messages until the connection is lost: ends with what redis-py raises then."""
        lost = "the connection to Redis was lost: closed"
        tasks = [asyncio.create_task(work()) for work in (self._read, self._write)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ResponseError as error:
            lost = refusal(error)
            raise
        except BROKEN as error:
            lost = f"the connection to Redis was lost: {str(error) or type(error).__name__}"
            raise
        finally:
            self._lost = lost
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for ask in (*self._asked, *self._waiting):
                if not ask.answer.done():
                    ask.answer.set_result(False)
            self._asked.clear()
            self._waiting.clear()

    async def close(self) -> None:
        """End the connection."""
        await self._connection.disconnect(nowait=True)

    async def _ask(self, command: bytes, topics: Iterable[bytes]) -> None:
        if self._lost is not None:
            raise BrokerUnavailable(self._lost)
        loop, word = asyncio.get_running_loop(), self._prefix + command
        asks = [_Ask(word, topic, loop.create_future()) for topic in topics]
        self._waiting.extend(asks)
        self._news.set()
        for ask in asks:
            if not await ask.answer:
                raise BrokerUnavailable(self._lost or "the connection to Redis was lost")

    async def _read(self) -> None:
        count = 0
        while True:
            match await self._connection.read_response(timeout=math.inf):
                case [b"message" | b"smessage", bytes(topic), bytes(data)]:
                    self._hear(topic, data)
                    count += 1
                    if count % _TURN == 0:
                        await asyncio.sleep(0)
                case [b"subscribe" | b"unsubscribe" | b"ssubscribe" | b"sunsubscribe" as word, bytes(topic), *_]:
                    if not self._asked or (self._asked[0].word.lower(), self._asked[0].topic) != (word, topic):
                        raise ConnectionError("a shard was moved to another server")  # nobody asked for this one
                    answer = self._asked.popleft().answer
                    self._answers += 1
                    if not answer.done():
                        answer.set_result(True)
                    if not self._asked:
                        self._answered.set()

    async def _write(self) -> None:
        """Send what is asked for, and see that it is answered before more is sent. For ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _TOPICS_UNDER_WAY))]
                asks = list(self._portions(some))
                self._answered.clear()
                self._asked.extend(ask for portion in asks for ask in portion)
                commands = [(portion[0].word, *(ask.topic for ask in portion)) for portion in asks]
                await self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
                await within(self._patience, self._answered.wait(), lambda: self._answers)

    def _portions(self, asks: list[_Ask]) -> Iterator[list[_Ask]]:
        """What each command is about: many topics, of one shard where there are shards."""
        for _, run in groupby(asks, key=lambda ask: ask.word):
            shards: dict[bytes, list[_Ask]] = {}
            for ask in run:
                shards.setdefault(_tag(ask.topic) if self._prefix else b"", []).append(ask)
            for some in shards.values():
                for start in range(0, len(some), _TOPICS_AT_ONCE):
                    yield some[start : start + _TOPICS_AT_ONCE]


def _tag(topic: bytes) -> bytes:
    return topic[: topic.index(b"}")]
