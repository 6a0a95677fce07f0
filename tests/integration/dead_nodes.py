"""Directories over one engine, of which some die: what the tests of leases and of dead nodes do with either engine."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TypeVar

import anyio

from relay.cluster.directory import Beat, Directory
from relay.cluster.nats import NatsDirectory
from relay.cluster.redis import RedisDirectory
from relay.protocol.messages import Identity
from tests.integration.redis_nodes import ROOM, until

S = TypeVar("S")
D = TypeVar("D", RedisDirectory, NatsDirectory)


@asynccontextmanager
async def opened(kind: Callable[[str, S], D], url: str, count: int, settings: S) -> AsyncIterator[list[D]]:
    """So many directories, each of a node of its own."""
    made = [kind(url, settings) for _ in range(count)]
    yield made
    for one in made:
        await one.close()


async def join(directory: Directory, socket_id: str, channel: str = ROOM, app: str = "1") -> None:
    """Put a user of its own into a presence channel."""
    await directory.join(app, channel, socket_id, Identity(f"u{socket_id}"), max_members=1000)


async def fill(directory: Directory, app: str, many: int) -> None:
    """Put so many connections into channels, twenty in each."""
    async with anyio.create_task_group() as tasks:
        for number in range(many):
            tasks.start_soon(join, directory, f"1.{number}", f"presence-{number // 20}", app)


async def largest_portion_swept(living: Sequence[Directory], many: int, *, beat: float, lease: float) -> int:
    """Let nodes beat until they found so many connections of dead ones, each of them once, and no beat late for it."""
    logs: list[list[tuple[float, Beat]]] = [[] for _ in living]
    stop = anyio.Event()

    def found() -> Counter[str]:
        return Counter(gone.socket_id for log in logs for _, beat in log for gone in beat.abandoned)

    async with anyio.create_task_group() as tasks:
        for one, log in zip(living, logs, strict=True):
            tasks.start_soon(_beating, one, beat, log, stop)
        await until(lambda: len(found()) == many, within=30)
        stop.set()
    assert set(found().values()) == {1}
    for log in logs:
        assert not any(beat.lapsed for _, beat in log)
        assert max(later - earlier for (earlier, _), (later, _) in pairwise(log)) < lease
    return max(len(beat.abandoned) for log in logs for _, beat in log)


async def _beating(directory: Directory, every: float, beats: list[tuple[float, Beat]], stop: anyio.Event) -> None:
    """Beat as a node does, and note when, until `stop`."""
    while not stop.is_set():
        beat = await directory.beat(["1"])
        beats.append((anyio.current_time(), beat))
        if not beat.more:
            with anyio.move_on_after(every):
                await stop.wait()
