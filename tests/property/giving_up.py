"""Ways to give up an act after so many turns, and what the acts of cancellation tests have in common."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio

from tests.property.engines import checkpoints

Act = Callable[[], Coroutine[Any, Any, object]]
GiveUp = Callable[[Act, int], Awaitable[None]]


async def leave_scope(act: Act, after: int) -> None:
    """Cancel with a cancel scope, which cancels again and again."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(act)
        await checkpoints(after)
        tasks.cancel_scope.cancel()


async def cancel_task(act: Act, after: int) -> None:
    """Cancel once, as `asyncio.timeout` and aiohttp do, which no cancel scope shields from."""
    task = asyncio.ensure_future(act())
    await checkpoints(after)
    task.cancel()
    await asyncio.wait([task])
