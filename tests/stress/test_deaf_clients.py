"""Sockets that read nothing and end badly: none is held for longer than the timeouts and a close may take."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import anyio

from relay import App, Hub
from tests.integration import wire
from tests.integration.bad_frames import subscribe
from tests.integration.serving import Served, serving
from tests.integration.wire import CLOSE, TEXT, Wire, frame

HELD = 12.0
"""Seconds after which a socket must be gone: 2 until its silence is noticed, and 5 that a close may take."""
EVENT = "x" * 10_000


def close(client: Wire) -> None:
    client.write(frame(CLOSE, b"\x03\xe8"))


def break_the_rules(client: Wire) -> None:
    client.write(frame(TEXT, b"\xff"))


def finish(client: Wire) -> None:
    client.finish()


def do_nothing(client: Wire) -> None:
    pass


CASES: dict[str, tuple[int, int, Callable[[Wire], None]]] = {
    # events that wait for it, bytes that may, how it ends
    "closes, little waiting": (6, 1 << 20, close),
    "closes, much waiting": (500, 16 << 20, close),
    "breaks the rules, little waiting": (6, 1 << 20, break_the_rules),
    "breaks the rules, much waiting": (500, 16 << 20, break_the_rules),
    "sends no more, little waiting": (6, 1 << 20, finish),
    "sends no more, much waiting": (500, 16 << 20, finish),
    "does nothing, too much waiting": (500, 1 << 20, do_nothing),
}


def shrink_send_buffers(served: Served) -> None:
    """Let the kernel take little, so that the rest waits in the server."""
    assert served.runner.server is not None
    for connection in served.runner.server.connections:
        assert connection.transport is not None
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def is_held(events: int, bound: int, end: Callable[[Wire], None]) -> bool:
    """Whether the server still holds such a client's socket when it should be gone."""
    hub = Hub(App(id="1", key="k", secret="s", max_backlog=bound, activity_timeout=1, pong_timeout=1))
    async with serving(hub) as served, wire.websocket(served.port, "/app/k?protocol=7", receive_buffer=4096) as client:
        await client.event()
        client.send(subscribe("orders"))
        await client.event()
        shrink_send_buffers(served)
        for _ in range(events):
            await hub.trigger("orders", "paid", EVENT)
            await hub.settle()
        end(client)
        with anyio.move_on_after(HELD):
            while served.sockets:  # noqa: ASYNC110  # a server tells nobody when it lets go of a socket
                await asyncio.sleep(0.05)
        return served.sockets > 0


async def test_deaf_client_is_let_go_however_it_ends():
    held = await asyncio.gather(*(is_held(*case) for case in CASES.values()))
    assert [name for name, still in zip(CASES, held, strict=True) if still] == []
