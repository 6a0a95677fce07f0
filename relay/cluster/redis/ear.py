"""The connection on which one node hears the others."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final

from relay.cluster.redis.address import Line
from relay.cluster.redis.lane import BROKEN
from relay.errors import BrokerUnavailable

_TOPICS_AT_ONCE: Final = 500
_TURN: Final = 64
"""So many messages are taken in before others on the loop have a turn."""

Hear = Callable[[bytes, bytes], None]


class Ear:
    """A connection that was opened, until it is lost. Commands are answered in the order they were sent.

    ``sharded`` is Redis Cluster's way: messages go to the server that has the topic's shard, and to no other.
    """

    def __init__(self, connection: Line, hear: Hear, patience: float, *, sharded: bool) -> None:
        self._connection = connection
        self._hear = hear
        self._patience = patience
        self._prefix = b"S" if sharded else b""
        self._asked: deque[asyncio.Future[bool]] = deque()
        self._turn = asyncio.Lock()
        self._lost = False

    async def subscribe(self, topics: Iterable[bytes]) -> None:
        """Return when messages of ``topics`` from now on are heard. Raises :class:`BrokerUnavailable`."""
        await self._command(b"SUBSCRIBE", sorted(topics))

    async def unsubscribe(self, topic: bytes) -> None:
        """Return when nothing of ``topic`` will be heard any more. Raises :class:`BrokerUnavailable`."""
        await self._command(b"UNSUBSCRIBE", [topic])

    async def listen(self) -> None:
        """Hear messages until the connection is lost: ends with what redis-py raises then."""
        try:
            count = 0
            while True:
                match await self._connection.read_response(timeout=math.inf):
                    case [b"message" | b"smessage", bytes(topic), bytes(data)]:
                        self._hear(topic, data)
                        count += 1
                        if count % _TURN == 0:
                            await asyncio.sleep(0)
                    case [b"subscribe" | b"unsubscribe" | b"ssubscribe" | b"sunsubscribe", *_] if self._asked:
                        asked = self._asked.popleft()
                        if not asked.done():
                            asked.set_result(True)
                    case [b"sunsubscribe", *_]:
                        raise ConnectionError("a shard was moved to another server")
        finally:
            self._lost = True
            for asked in self._asked:
                if not asked.done():
                    asked.set_result(False)
            self._asked.clear()

    async def _command(self, command: bytes, topics: list[bytes]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                if self._lost:
                    raise BrokerUnavailable("the connection to Redis was lost")
                answers: list[asyncio.Future[bool]] = []
                async with self._turn:  # first come, first served
                    for some in self._portions(topics):
                        asked = [asyncio.get_running_loop().create_future() for _ in some]
                        answers += asked
                        self._asked.extend(asked)
                        await self._connection.send_command(self._prefix + command, *some, check_health=False)
                answered = all(await asyncio.gather(*answers)) and not self._lost
        except BROKEN as error:
            raise BrokerUnavailable(f"Redis gave no answer: {type(error).__name__}") from None
        if not answered:
            raise BrokerUnavailable("the connection to Redis was lost")

    def _portions(self, topics: list[bytes]) -> Iterator[list[bytes]]:
        """What one command may be about: many topics, of one shard where there are shards."""
        shards = [list(some) for _, some in groupby(topics, _tag)] if self._prefix else [topics]
        for some in shards:
            for start in range(0, len(some), _TOPICS_AT_ONCE):
                yield some[start : start + _TOPICS_AT_ONCE]

    async def close(self) -> None:
        """End the connection."""
        await self._connection.disconnect(nowait=True)


def _tag(topic: bytes) -> bytes:
    return topic[: topic.index(b"}")]
