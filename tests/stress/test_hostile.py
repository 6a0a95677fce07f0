"""`relay serve` under ten thousand hostile frames: its neighbour misses nothing, its memory stays, it ends politely."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration import wire
from tests.integration.bad_frames import BAD_FRAMES, KEY, NEIGHBOURHOOD, SECRET, moving_in
from tests.integration.signer import authentic, raw, signature
from tests.integration.wire import BINARY, CLOSE, CONTINUATION, TEXT, Closed, Wire, frame, header, http, websocket

FRAMES, CROWD = 10_000, 20
FEWEST_EVENTS, LAST = 200, "last"
SEED = 6455
ENDURANCE = 30.0
URL = f"/app/{KEY}?protocol=7"
BROKEN = [
    header(0x80 | TEXT, 1 << 20),
    frame(TEXT, b"x" * (1 << 20)),
    frame(TEXT, b"\xff"),
    frame(TEXT, b"{}", reserved=4),
    frame(CONTINUATION, b"{}"),
    frame(CLOSE, b"x"),
    frame(TEXT, b"{}", masked=False),
    frame(TEXT, b'{"event":', final=False),
    frame(TEXT, b"{}")[:3],
]


class Server(NamedTuple):
    """A running `relay serve`."""

    process: Process
    port: int

    @property
    def resident(self) -> int:
        """Bytes of memory it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) << 10


@asynccontextmanager
async def relay_serve() -> AsyncIterator[Server]:
    options = ["--port", "0", "--app-id", "1001", "--key", KEY, "--secret", SECRET, "--client-events"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", "serve", *options, stdout=PIPE, stderr=PIPE
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"Relay listens on http://127\.0\.0\.1:(\d+) \(apps: 1001\)\n", line)
        assert found, line
        yield Server(process, int(found[1]))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def neighbour(server: Server) -> AsyncIterator[Wire]:
    """Somebody in every channel of the neighbourhood."""
    async with websocket(server.port, URL) as socket:
        socket_id = json.loads((await socket.event())["data"])["socket_id"]
        for text in moving_in(socket_id):
            socket.send(text)
            assert (await socket.event())["event"] != "pusher:error"
        yield socket


async def publish(server: Server, data: str) -> None:
    """One event to the whole neighbourhood, over REST."""
    body = json.dumps({"name": "paid", "channels": NEIGHBOURHOOD, "data": data}).encode()
    query = authentic(body, now=time.time(), key=KEY)
    path = "/apps/1001/events"
    answer = await http(
        server.port, "POST", f"{path}?{raw(query)}&auth_signature={signature('POST', path, query, SECRET)}", body
    )
    assert (answer.status, answer.json) == (200, {})


async def attack(server: Server, dice: random.Random, frames: int) -> int:
    """One connection with that many bad frames or a few more, which ends in a bad way; how many were sent."""
    sent = 0
    async with websocket(server.port, URL) as socket:
        socket_id = json.loads((await socket.event())["data"])["socket_id"]
        while sent < frames:
            for text in dice.choice(BAD_FRAMES).frames(socket_id):
                socket.write(frame(BINARY if dice.random() < 0.02 else TEXT, text.encode()))
                sent += 1
            await socket.drain()
        match dice.choice(["reset", "broken", "close", "vanish"]):
            case "reset":
                socket.reset()
            case "broken":
                socket.write(dice.choice(BROKEN))
            case "close":
                socket.write(frame(CLOSE, b"\x03\xe8"))
                while (await socket.receive()).opcode != CLOSE:
                    pass
    return sent


async def knock(server: Server, dice: random.Random) -> None:
    """A handshake that is never finished."""
    request = wire.upgrade(URL)
    async with wire.dial(server.port) as socket:
        socket.write(request[: dice.randrange(len(request))])


async def crowd(server: Server, seed: int) -> int:
    """One attacker's share of the frames, over as many connections as it takes; how many were sent."""
    dice, sent = random.Random(seed), 0
    while sent < FRAMES // CROWD:
        sent += await attack(server, dice, dice.choice([1, 5, 20, 100]))
        await knock(server, dice)
    return sent


async def listen(socket: Wire) -> list[tuple[str, str]]:
    """Channel (or name) and data of everything the neighbour gets, up to the last event."""
    seen: list[tuple[str, str]] = []
    while (NEIGHBOURHOOD[-1], LAST) not in seen[-1:]:
        event = await socket.event()
        seen.append((event.get("channel", event["event"]), event["data"]))
    return seen


async def publish_all(server: Server, attackers: list[asyncio.Task[int]]) -> list[str]:
    """Publish as long as the attack goes on, then a last event; returns what was published."""
    published: list[str] = []
    while not all(attacker.done() for attacker in attackers) or len(published) < FEWEST_EVENTS:
        published.append(str(len(published)))
        await publish(server, published[-1])
    await publish(server, LAST)
    return [*published, LAST]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
async def test_ten_thousand_hostile_frames_cost_the_neighbour_nothing():
    async with asyncio.timeout(ENDURANCE), relay_serve() as server, neighbour(server) as socket:
        before = server.resident
        async with asyncio.TaskGroup() as tasks:
            heard = tasks.create_task(listen(socket))
            attackers = [tasks.create_task(crowd(server, SEED + number)) for number in range(CROWD)]
            published = tasks.create_task(publish_all(server, attackers))
        assert heard.result() == [(channel, data) for data in published.result() for channel in NEIGHBOURHOOD]
        assert sum(attacker.result() for attacker in attackers) >= FRAMES
        assert server.resident - before < 64 << 20
        server.process.send_signal(signal.SIGTERM)
        assert await socket.closed() == Closed(4200, "Please reconnect immediately")
        socket.write(frame(CLOSE, (4200).to_bytes(2, "big")))
        assert await server.process.communicate() == (b"", b"")
        assert server.process.returncode == 0
