"""Clients that know what a test wants to say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from relay.client.channel import Channel
from relay.client.client import Client
from relay.client.runtime import Closed
from relay.client.subscriber import ReceivedEvent

if TYPE_CHECKING:
    from relay.testing.faults import Faults
    from relay.testing.kit import Kit

_TURNS = 5
"""Turns of the loop in which callbacks can hand something on to each other before we look at the tasks."""
_LOOK = 0.001
"""Seconds after which a look at the tasks is given up: some of them still runs. anyio would sleep 100 times that."""
_PATIENCE = 5.0
"""Seconds after which a task that never waits is taken to be wrong."""


class AssertingChannel(Channel):
    """A channel with ``expect`` and ``expect_nothing``."""

    async def expect(self, event: str, *, within: float = 0.0) -> ReceivedEvent:
        """The first unread event called ``event``; it counts as read then.

        If it is not there, everything under way is given the chance to bring it: the hub settles, other tasks run
        until all of them wait for something. Then it fails at once, with what was seen and the transcript. Only
        code that waits for something outside this process needs ``within``, seconds of real time.
        """
        __tracebackhide__ = True
        client = asserting(self._client)
        found = await client.kit.eventually(lambda: self._first(event), within, hopeless=lambda: self.over)
        if found is None:
            why = client.kit.why_not(client, self.name, event)
            raise AssertionError(f"expected {event} on {self.name}, {self._seen()}{why}")
        self.take(found)
        return found

    async def expect_nothing(self) -> None:
        """Fail if there is an unread event, or one comes from what is under way. No time passes."""
        __tracebackhide__ = True
        await asserting(self._client).kit.quiet()
        if self.queued():
            raise AssertionError(f"expected nothing on {self.name}, {self._seen()}")

    def _first(self, event: str) -> ReceivedEvent | None:
        return next((seen for seen in self.queued() if seen.event == event), None)

    def _seen(self) -> str:
        events = ", ".join(f"{seen.event} {seen.data!r}" for seen in self.queued())
        over = f" (no more can come: {self._client.closed or self.state.value})" if self.over else ""
        return f"saw [{events}]{over}"


class AssertingClient(Client):
    """A client with ``expect_nothing`` and ``expect_closed``.

    ``number`` is its number in the transcript, ``faults`` are what goes wrong for it.
    """

    channel_class = AssertingChannel
    kit: Kit
    faults: Faults
    number = 0

    if TYPE_CHECKING:

        async def subscribe(  # noqa: D102 - as in Client, with this kit's channels
            self,
            name: str,
            *,
            user_id: str | None = None,
            user_info: object = None,
            auth: Mapping[str, str] | None = None,
        ) -> AssertingChannel: ...

        async def signin(  # noqa: D102 - as above
            self, user_id: str | None = None, user_info: object = None
        ) -> AssertingChannel: ...

    async def expect_nothing(self) -> None:
        """Fail if there is an unread event on any channel, or one comes from what is under way."""
        __tracebackhide__ = True
        await self.kit.quiet()
        for channel in self.channels.values():
            if queued := channel.queued():
                events = ", ".join(f"{seen.event} {seen.data!r}" for seen in queued)
                raise AssertionError(f"expected nothing for connection {self.number}, saw [{events}] on {channel.name}")

    async def expect_closed(self, code: int | None = None, *, within: float = 0.0) -> Closed:
        """How the hub closed this client; fail if it is open, or was closed with another code."""
        __tracebackhide__ = True
        closed = await self.kit.eventually(lambda: self.closed, within)
        if closed is None:
            raise AssertionError(f"expected connection {self.number} to be closed, it is {self.connection.state.value}")
        if code is not None and closed.code != code:
            raise AssertionError(f"expected connection {self.number} to be closed with {code}, got {closed}")
        return closed


def asserting(client: Client) -> AssertingClient:
    """The client of an asserting channel, which is no other."""
    assert isinstance(client, AssertingClient)
    return client


async def let_others_run(settle: Callable[[], Awaitable[None]]) -> None:
    """Return when the hub has settled and every other task waits for something.

    Raises :class:`TimeoutError` when some task keeps running all the time.
    """
    deadline = anyio.current_time() + _PATIENCE
    while not await _all_wait(settle):
        if anyio.current_time() > deadline:
            tasks = ", ".join(sorted(str(task.name) for task in anyio.get_running_tasks()))
            raise TimeoutError(f"a task never waits, so more may come at any time; it is one of {tasks}")


async def _all_wait(settle: Callable[[], Awaitable[None]]) -> bool:
    for _ in range(_TURNS):
        await anyio.lowlevel.checkpoint()
    await settle()
    with anyio.move_on_after(_LOOK) as look:
        await anyio.wait_all_tasks_blocked()
    await settle()
    return not look.cancelled_caught
