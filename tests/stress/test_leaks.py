"""Ten thousand clients come and go, most of them badly: nothing of them stays, in this process or in the kernel."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import pytest

from relay import Hub
from relay.testing import ManualClock
from tests.integration import wire
from tests.integration.bad_frames import subscribe
from tests.integration.serving import Served, serving
from tests.integration.wire import CLOSE, TEXT, Wire, frame
from tests.unit.client import APP, Socket, arrive

TIMES, AT_ONCE = 10_000, 20
SOCKETS = 1_000
MOST_KEPT = 256 << 10
"""Bytes that may differ: the journal keeps the last thousand facts, and those are not all of one size."""


class Held(NamedTuple):
    """What grows when something is left behind."""

    tasks: int
    descriptors: int
    objects_of_ours: int


def held() -> Held:
    gc.collect()
    ours = sum(str(type(one).__module__).startswith("relay") for one in gc.get_objects())
    return Held(len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir())), ours)


async def visit(hub: Hub, dice: random.Random) -> None:
    """One client in this process: it comes, does something, and ends in one of the ways there are."""
    socket = await arrive(hub)
    user = f"user-{dice.randrange(50)}"
    if dice.random() < 0.3:
        await socket.sign_in(user, ["user-1"])
    for channel in dice.sample(["orders", "private-team", "cache-news", f"room-{dice.randrange(10_000)}"], 2):
        await socket.subscribe(channel)
    await socket.subscribe(f"presence-{dice.randrange(20)}", user)
    end(socket, dice)


def end(socket: Socket, dice: random.Random) -> None:
    match dice.randrange(4):
        case 0:
            socket.disconnect()
        case 1:
            socket.connection.disconnected()
        case 2:
            socket.connection.close(4200, "")
        case 3:
            socket.transport.abort()
            socket.connection.disconnected()


async def in_this_process(hub: Hub, clock: ManualClock, times: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(times // AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(visit(hub, dice))
        await hub.trigger(["orders", "cache-news"], "paid", "x" * 100)
        await clock.advance(0.1)
    await clock.advance(60)  # over every grace


async def test_ten_thousand_clients_leave_nothing_in_the_process():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub:
        await in_this_process(hub, clock, 2_000, seed=1)  # the journal is full, every cache is warm
        before = held()
        tracemalloc.start()
        try:
            await in_this_process(hub, clock, TIMES // 2, seed=2)
            gc.collect()
            middle, _ = tracemalloc.get_traced_memory()
            await in_this_process(hub, clock, TIMES // 2, seed=3)
            gc.collect()
            memory, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        after = held()
        assert (after.tasks, after.descriptors) == (before.tasks, before.descriptors)
        assert abs(after.objects_of_ours - before.objects_of_ours) < 100
        assert memory - middle < MOST_KEPT
        assert (hub.stats().connections, hub.stats().channels, hub.online_here(), hub.check()) == (0, 0, 0, [])


async def crash(served: Served, dice: random.Random) -> None:
    """One client over a socket, which ends in the middle of something."""
    async with wire.websocket(served.port, "/app/app-key?protocol=7") as client:
        await client.event()
        client.send(subscribe("orders"))
        await leave(client, dice)


async def leave(client: Wire, dice: random.Random) -> None:
    match dice.randrange(5):
        case 0:
            client.reset()
        case 1:
            client.write(frame(CLOSE, b"\x03\xe8"))
            while (await client.receive()).opcode != CLOSE:
                pass
        case 2:
            client.write(frame(TEXT, b"{}")[:3])
        case 3:
            client.write(frame(TEXT, b"\xff"))
        case 4:
            client.finish()


async def over_sockets(served: Served, times: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(times // AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(crash(served, dice))
    async with asyncio.timeout(30):
        while served.sockets or served.hub.stats().connections:  # noqa: ASYNC110 - a server tells nobody when it lets go
            await asyncio.sleep(0.02)
    await served.hub.settle()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
async def test_a_thousand_sockets_leave_nothing_in_the_kernel():
    async with serving(Hub(APP)) as served:
        await over_sockets(served, 200, seed=1)
        before = held()
        await over_sockets(served, SOCKETS, seed=2)
        after = held()
        assert (after.tasks, after.descriptors) == (before.tasks, before.descriptors)
        assert after.objects_of_ours - before.objects_of_ours < 4_000  # facts, until there are a thousand of them
        assert served.hub.check() == []
