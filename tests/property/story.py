"""Scripts of what happens to a hub at the same time, and the stories of how they went, as the clients saw them."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio
from hypothesis import strategies as st

from relay import Hub
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.unit.client import ACK, APP, Frame, Socket, arrive

ROOM, NEWS = "presence-room", "news"


@dataclass(frozen=True)
class Step:
    """What a client does next: `wait` checkpoints, then subscribe or unsubscribe.

    It gives up subscribing after `patience` checkpoints, where that is not 0.
    """

    wait: int
    verb: str
    channel: str
    patience: int = 0


delays = st.lists(st.integers(0, 4), min_size=1, max_size=8)
"""How many checkpoints the engines take for one thing after the other."""


def steps_in(channels: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    """What a client may do next."""
    return st.builds(
        Step,
        wait=st.integers(0, 6),
        verb=st.sampled_from(["subscribe", "subscribe", "unsubscribe"]),
        channel=channels,
        patience=st.sampled_from([0, 0, 0, 1, 2, 3, 5, 8]),
    )


@dataclass(frozen=True)
class Script:
    """What happens at the same time: clients and publishers at their steps, and clients dropped after a while.

    Client number i is a socket of user i // 2, on node i % nodes.
    """

    clients: Sequence[Sequence[Step]]
    publishers: Sequence[Sequence[tuple[int, str]]] = ()
    drops: Mapping[int, int] = field(default_factory=dict)
    before: Sequence[int] = (0,)
    after: Sequence[int] = (0,)
    nodes: int = 1


@dataclass
class Stay:
    """One subscription as its client saw it; the times are ticks of the story."""

    channel: str
    asked: int
    acknowledged: int
    left: float = math.inf
    frames: list[Frame] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [frame.data for frame in self.frames if frame.event == "number"]


@dataclass
class Published:
    """One event, its publisher, and when its publishing began and was done."""

    number: int
    channel: str
    publisher: int
    began: int
    done: float = math.inf


class Reader:
    """A client that believes what it reads, and nothing else."""

    def __init__(self, story: "Story", socket: Socket, user: str) -> None:
        self.socket, self.user = socket, user
        self.now: dict[str, Stay] = {}
        """What it takes itself to be subscribed to."""
        self.stays: list[Stay] = []
        self.astray: list[Frame] = []
        """Frames on channels that it does not take itself to be in."""
        self._story = story
        self._asked: dict[str, int] = {}
        """When it first asked for a channel it is not in yet; a subscribe that it gave up may be done all the same."""

    async def follow(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await checkpoints(step.wait)
            if not self.socket.open:  # dropped
                return
            if step.verb == "subscribe":
                await self.subscribe(step.channel, step.patience)
            else:
                await self.unsubscribe(step.channel)

    async def subscribe(self, channel: str, patience: int = 0) -> None:
        self._asked.setdefault(channel, self._story.tick())
        async with anyio.create_task_group() as tasks:
            if patience:
                tasks.start_soon(_give_up, patience, tasks.cancel_scope)
            await self.socket.subscribe(channel, self.user if channel.startswith("presence-") else None)
            tasks.cancel_scope.cancel()
        self.read()

    async def unsubscribe(self, channel: str) -> None:
        self.read()
        if channel in self.now:
            self.now[channel].left = self._story.tick()
        await self.socket.unsubscribe(channel)
        self.read()
        self.now.pop(channel, None)
        self._asked.pop(channel, None)

    async def drop_after(self, wait: int) -> None:
        await checkpoints(wait)
        self.socket.disconnect()
        self.read()
        for stay in self.now.values():
            stay.left = self._story.tick()
        self.now.clear()

    def read(self) -> None:
        for frame in self.socket.frames():
            if frame.channel is None:
                continue
            if frame.event == ACK and frame.channel not in self.now:
                self.now[frame.channel] = Stay(frame.channel, self._asked.pop(frame.channel), self._story.tick())
                self.stays.append(self.now[frame.channel])
            (self.now[frame.channel].frames if frame.channel in self.now else self.astray).append(frame)


async def _give_up(patience: int, scope: anyio.CancelScope) -> None:
    await checkpoints(patience)
    scope.cancel()


class Story:
    """A script as it went. Everything else is there after `await play()`."""

    def __init__(self, script: Script) -> None:
        pace = Pace(script.before, script.after)
        self.script = script
        self.directory = SlowDirectory(pace)
        self.wire = Wire(pace)
        self.hubs = [Hub(APP, broker=self.wire.end(), directory=self.directory) for _ in range(script.nodes)]
        self.readers: list[Reader] = []
        self.published: list[Published] = []
        self.problems: list[str] = []
        self.places: dict[str, frozenset[str]] = {}
        self.roster: set[str] = set()
        self._ticks = itertools.count()

    def tick(self) -> int:
        return next(self._ticks)

    async def play(self) -> "Story":
        """Let everything happen, settle, and note how things are then."""
        async with AsyncExitStack() as stack:
            for hub in self.hubs:
                await stack.enter_async_context(hub)
            await self._act()
            for hub in self.hubs:
                await hub.settle()
            for reader in self.readers:
                reader.read()
            self.problems = [problem for hub in self.hubs for problem in hub.check()]
            self.places = self.directory.inner.sockets(APP.id)
            self.roster = set(await self.directory.inner.roster(APP.id, ROOM))
            self.subscribed = [end.subscribed for end in self.wire.ends]
        return self

    async def _act(self) -> None:
        for number, _ in enumerate(self.script.clients):
            socket = await arrive(self.hubs[number % len(self.hubs)])
            self.readers.append(Reader(self, socket, f"u{number // 2}"))
        async with anyio.create_task_group() as tasks:
            for reader, steps in zip(self.readers, self.script.clients, strict=True):
                tasks.start_soon(reader.follow, steps)
            for number, wait in self.script.drops.items():
                tasks.start_soon(self.readers[number % len(self.readers)].drop_after, wait)
            for number, events in enumerate(self.script.publishers):
                tasks.start_soon(self._publish, number, events)

    async def _publish(self, publisher: int, events: Sequence[tuple[int, str]]) -> None:
        for wait, channel in events:
            await checkpoints(wait)
            event = Published(len(self.published), channel, publisher, self.tick())
            self.published.append(event)
            await self.hubs[publisher % len(self.hubs)].trigger(channel, "number", event.number)
            event.done = self.tick()

    @property
    def stays(self) -> Iterator[Stay]:
        """Every subscription there was."""
        for reader in self.readers:
            yield from reader.stays

    def believed(self, hub: Hub | None = None) -> dict[str, set[str]]:
        """Channels with the sockets that take themselves to be in them, all or those of one hub."""
        places: dict[str, set[str]] = {}
        for reader in self.readers:
            if hub is None or reader.socket.hub is hub:
                for channel in reader.now:
                    places.setdefault(channel, set()).add(reader.socket.id)
        return places
