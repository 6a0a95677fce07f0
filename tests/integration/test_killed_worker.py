"""One worker of `relay serve --workers` is killed: another takes its place, and a room is right again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from relay import Member
from relay_transports.aiohttp import RestClient
from tests.integration.wire import TEXT, Wire, websocket
from tests.redis_server import INSTALL, running
from tests.unit.command import CREDENTIALS, Process, complains, port_in, serving, workers_of

pytestmark = pytest.mark.anyio
ROOM = "presence-room"
USERS = [f"user-{number}" for number in range(24)]
"""So many that each worker has two of them at least, but for a chance of one in hundreds of thousands."""
LEASE_AND_MORE = 30.0
"""Seconds: members of a node that was killed leave within 12."""
Event = dict[str, Any]


class Room:
    """The clients in it, and what asks the server."""

    def __init__(self, port: int, rest: RestClient, stack: AsyncExitStack) -> None:
        self._port, self.rest, self._stack = port, rest, stack
        self.clients: dict[str, Wire] = {}

    async def join(self, user: str) -> set[str]:
        """Let a user in; returns who is there, as the newcomer is told."""
        client = await self._stack.enter_async_context(websocket(self._port, "/app/app-key?protocol=7"))
        hello = json.loads((await client.event())["data"])
        answer = self.rest.authorize_channel(hello["socket_id"], ROOM, Member(user))
        client.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": ROOM, **answer}}))
        told = await client.event()
        assert told["event"] == "pusher_internal:subscription_succeeded"
        self.clients[user] = client
        return set(json.loads(told["data"])["presence"]["ids"])

    async def lost(self) -> set[str]:
        """Whose connection is gone; nobody else was sent anything meanwhile."""
        for client in self.clients.values():
            client.send('{"event":"pusher:ping","data":{}}')
        heard = await asyncio.gather(*(_next(client) for client in self.clients.values()))
        assert {event["event"] for event in heard if event is not None} == {"pusher:pong"}
        return {user for user, event in zip(self.clients, heard, strict=True) if event is None}

    async def hears(self, user: str, count: int) -> list[Event]:
        """The next so many events of a user."""
        return [event for _ in range(count) if (event := await _next(self.clients[user])) is not None]


async def _next(client: Wire) -> Event | None:
    """The next event, or None where the connection ended without a close."""
    try:
        opcode, payload = await client.receive(LEASE_AND_MORE)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    assert opcode == TEXT, payload
    event: Event = json.loads(payload)
    return event


def member(event: Event) -> tuple[str, str]:
    """What happened to whom."""
    return event["event"].removeprefix("pusher_internal:"), json.loads(event["data"])["user_id"]


@pytest.fixture
async def served(require) -> AsyncIterator[tuple[Process, Room]]:
    """Two workers, and a room with all users in it, who have heard of each other."""
    with running(require("redis-server", INSTALL)) as redis:
        flags = ("--port", "0", "--workers", "2", "--cluster", redis.url, "--drain", "1")
        with serving(*CREDENTIALS, *flags) as (process, line):
            port = port_in(line)
            url = f"http://app-key:hush-hush@127.0.0.1:{port}/apps/1001"
            async with AsyncExitStack() as stack, RestClient.from_url(url, timeout=LEASE_AND_MORE) as rest:
                room = Room(port, rest, stack)
                for user in USERS:
                    await room.join(user)
                for number, user in enumerate(USERS, start=1):
                    later = sorted(("member_added", other) for other in USERS[number:])
                    assert sorted(member(event) for event in await room.hears(user, len(later))) == later
                yield process, room
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


async def test_clients_of_a_worker_that_is_killed_are_back_unnoticed_and_who_stays_away_leaves_once(served):
    process, room = served
    killed, other = sorted(workers_of(process.pid))
    os.kill(killed, signal.SIGKILL)
    told = f"Relay: worker {killed} ended with SIGKILL: starting another one\n"
    assert await asyncio.to_thread(complains, process) == told
    lost = sorted(await room.lost())
    back, gone = lost[::2], lost[1::2]
    assert back
    assert gone
    for user in back:
        assert await room.join(user) == set(USERS)  # all of them, since the dead node's lease is not over
    for user in gone:
        del room.clients[user]
    left = sorted(("member_removed", user) for user in gone)
    for user in room.clients:  # and nobody hears anything of those who came back
        assert sorted(member(event) for event in await room.hears(user, len(gone))) == left
    await room.rest.trigger(ROOM, "over", "")
    for user in room.clients:
        assert [event["event"] for event in await room.hears(user, 1)] == ["over"]
    assert {one.id for one in await room.rest.members(ROOM)} == set(USERS) - set(gone)
    assert (await room.rest.channel(ROOM, info=["user_count"])).user_count == len(USERS) - len(gone)
    fresh = workers_of(process.pid) - {other}
    assert len(fresh) == 1
    assert killed not in fresh
