"""Hubs over a Redis of the test's own, and clients that wait for what they are sent."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from relay import App, BrokerError, Hub
from relay.cluster.redis import RedisCluster, RedisSettings
from relay.facts import Fact
from tests.unit.client import APP, Socket, arrive

ROOM = "presence-room"
QUICK = RedisSettings(lease=1.0, beat=0.2, patience=0.5, proof=0.1)


@asynccontextmanager
async def nodes(
    url: str, count: int = 2, *apps: App, settings: RedisSettings = QUICK, hold: int = 0
) -> AsyncIterator[list[Hub]]:
    """Running hubs, each with a connection of its own to the Redis at `url`."""
    async with AsyncExitStack() as stack:
        hubs = [Hub(*(apps or (APP,)), cluster=RedisCluster(url, settings), hold=hold) for _ in range(count)]
        for hub in hubs:
            await stack.enter_async_context(hub)
        yield hubs


async def until(true: Callable[[], bool], within: float = 10) -> None:
    """Return when it is so; fails when that takes longer than anything here may, or ``within`` seconds."""
    with anyio.fail_after(within):
        while not true():  # noqa: ASYNC110 - what is waited for happens in other processes
            await anyio.sleep(0.005)


class Watching:
    """A socket, and all that it was sent."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self._frames: list[tuple[str, str]] = []

    @property
    def events(self) -> list[str]:
        """The names of all events."""
        return [event for event, _ in self._read()]

    def about(self, user: str) -> list[str]:
        """The events about one member."""
        return [event for event, who in self._read() if who == user]

    async def gets(self, *events: str) -> None:
        """These events, in this order, and no other."""
        await until(lambda: len(self.events) >= len(events))
        assert self.events == list(events)

    def _read(self) -> list[tuple[str, str]]:
        for frame in self.socket.frames():
            self._frames.append((frame.event, frame.data.get("user_id", "") if isinstance(frame.data, dict) else ""))
        return self._frames


async def member(hub: Hub, user: str, channel: str = ROOM) -> Watching:
    """A client that is in a presence channel."""
    socket = await arrive(hub)
    await socket.subscribe(channel, user)
    return Watching(socket)


def count(hubs: Iterable[Hub], kind: type[Fact], **fields: str) -> int:
    """How often that happened, over all hubs."""
    return sum(
        isinstance(fact, kind) and all(getattr(fact, name) == value for name, value in fields.items())
        for hub in hubs
        for fact in hub.journal
    )


async def users(hub: Hub, channel: str = ROOM) -> list[str]:
    """Who the directory says is in."""
    return [one.id for one in await hub.members(channel)]


async def until_known(hubs: list[Hub], channels: set[str], members: list[str], within: float = 10) -> None:
    """Return when each hub says of all of them what is so."""
    with anyio.fail_after(within):
        for hub in hubs:
            while True:
                try:
                    if set(await hub.channels()) == channels and sorted(await users(hub)) == members:
                        break
                except BrokerError:
                    pass
                await anyio.sleep(0.01)


async def until_heard(hub: Hub, one: Watching, channel: str = ROOM) -> None:
    """Publish until it arrives: what is published while a connection is made anew is lost."""
    with anyio.fail_after(10):
        while "again" not in one.events:
            await hub.trigger(channel, "again", "")
            await anyio.sleep(0.02)
