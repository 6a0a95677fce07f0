"""`setup` drains in `web.run_app`, with an `AppRunner`, and in gunicorn's worker: each a process that gets SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.wire import CLOSE, Wire, frame, http, websocket

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PROGRAM = "tests.integration.served_programs"
CLIENTS, PATIENCE = 50, 60
WAYS = {
    "web.run_app": ("-m", PROGRAM, "run_app", "{port}"),
    "web.AppRunner": ("-m", PROGRAM, "runner", "{port}"),
    "gunicorn": (
        *("-m", "gunicorn", f"{PROGRAM}:gunicorn", "--worker-class", "aiohttp.GunicornWebWorker"),
        *("--bind", "127.0.0.1:{port}", "--graceful-timeout", "20", "--no-control-socket"),
    ),
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def is_ready(port: int) -> bool:
    try:
        return (await http(port, "GET", "/readyz")).status == 200
    except OSError:
        return False


@asynccontextmanager
async def running(way: Sequence[str]) -> AsyncIterator[tuple[Process, int]]:
    """The program in a process of its own, as soon as it is ready."""
    port = free_port()
    command = [sys.executable, *(word.format(port=port) for word in way)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=dict(os.environ), stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            while not await is_ready(port):  # a program of others tells nobody when it listens
                assert process.returncode is None, await process.communicate()
                await asyncio.sleep(0.05)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(client: Wire) -> int:
    """The code a client is closed with; it answers as clients do."""
    code = (await client.closed(PATIENCE)).code
    client.write(frame(CLOSE, code.to_bytes(2, "big")))
    return code


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_on_sigterm_everybody_is_sent_away_with_4200_and_the_program_ends_with_0(way):
    async with running(way) as (process, port), AsyncExitStack() as stack:
        clients = []
        for _ in range(CLIENTS):
            clients.append(await stack.enter_async_context(websocket(port, "/app/app-key?protocol=7")))
            assert json.loads((await clients[-1].event())["data"])["socket_id"]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.gather(*map(ended, clients)) == [4200] * CLIENTS
        async with asyncio.timeout(PATIENCE):
            _, stderr = await process.communicate()
        assert (process.returncode, b"Traceback" in stderr) == (0, False), stderr.decode()
