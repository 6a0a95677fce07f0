"""Waiting for Redis with patience, on a loop that may stand still for a while itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


async def within(patience: float, work: Coroutine[object, None, T], came: Callable[[], int] = lambda: 0) -> T:
    """What ``work`` returns. Raises :class:`TimeoutError` where that takes longer than ``patience``, in seconds, and
    what ``came`` counts did not rise meanwhile.

    It is waited for in two halves, each begun on a loop that turns: a loop that stood still for longer than that, as it
    does when very many clients come at once, may have the answer already and not have read it.
    """
    task = asyncio.ensure_future(work)
    idle = 0
    try:
        while idle < 2:
            before = came()
            await asyncio.wait([task], timeout=patience / 2)
            if task.done():
                return task.result()
            idle = idle + 1 if came() == before else 0
        raise TimeoutError("no answer")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it may have failed just now, and nobody asks any more
