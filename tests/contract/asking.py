"""Asking for several things at once, in an order that is known on every loop."""

from collections.abc import Awaitable, Callable

import anyio


async def ask_in_order(*calls: Callable[[], Awaitable[object]]) -> None:
    """Begin each call once the one before it has begun, and return when all are done."""
    async with anyio.create_task_group() as tasks:
        begun = anyio.Event()
        begun.set()
        for call in calls:
            begun, before = anyio.Event(), begun
            tasks.start_soon(_ask, call, before, begun)


async def _ask(call: Callable[[], Awaitable[object]], before: anyio.Event, begun: anyio.Event) -> None:
    await before.wait()
    begun.set()  # nobody runs before the call has come to its first await
    await call()
