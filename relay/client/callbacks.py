"""Calling back into the application: at once, or in order beside the reading. What it raises ends nothing of ours."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable

from relay.client.runtime import Runtime


class Callbacks:
    """The callbacks of one client; ``failed`` is told what they raise, and returns False for what is to go on."""

    def __init__(self, runtime: Runtime, failed: Callable[[BaseException], bool]) -> None:
        self._runtime = runtime
        self._failed = failed
        self._work: deque[Awaitable[object]] = deque()

    def run(self, callback: Callable[..., object], argument: object) -> None:
        """Call a plain function now; what a coroutine function has to do is done after what waits already."""
        try:
            result = callback(argument)
        except BaseException as error:
            if not self._failed(error):
                raise
            return
        if inspect.isawaitable(result):
            self._work.append(result)
            if len(self._work) == 1:
                self._runtime.start_soon(self._do_work)

    async def _do_work(self) -> None:
        while self._work:
            try:
                await self._work[0]
            except BaseException as error:
                if not self._failed(error):
                    raise
            finally:
                self._work.popleft()
