"""Clients that know what a test wants to say."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from relay.client.channel import Channel, Overflow
from relay.client.client import Client
from relay.client.runtime import Closed
from relay.protocol.received import ReceivedEvent

if TYPE_CHECKING:
    from relay.testing.faults import Faults
    from relay.testing.kit import Kit

_TURNS = 5
"""Turns of the loop in which callbacks can hand something on to each other before we look at the tasks."""
_LOOK = 0.001
"""Seconds after which a look at the tasks is given up: some of them still runs. anyio would sleep 100 times that."""
_MOST_SHOWN = 5
"""Events at each end of a long list that a message shows."""
_LONGEST_SHOWN = 300
"""Characters of an event's data that a message shows."""
_MOST_HAPPENINGS = 1000
_PATIENCE = 5.0
"""Seconds after which a task that never waits is taken to be wrong."""


class AssertingChannel(Channel):
    """A channel with ``expect`` and ``expect_nothing``."""

    def __init__(self, client: Client, name: str, *, max_queued: int, overflow: Overflow) -> None:
        super().__init__(client, name, max_queued=max_queued, overflow=overflow)
        self._happenings: deque[ReceivedEvent] = deque(maxlen=_MOST_HAPPENINGS)

    async def expect(self, event: str, *, within: float = 0.0) -> ReceivedEvent:
        """The first unread event called ``event``; it counts as read then.

        What may be bound of the protocol may be expected too, ``pusher:member_added`` for instance.

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
        """Fail if there is an unread event, or one comes from what is under way. No time passes.

        Who comes and goes is no event.
        """
        __tracebackhide__ = True
        await asserting(self._client).kit.quiet()
        if self.queued() or self._lost:
            raise AssertionError(f"expected nothing on {self.name}, {self._seen()}")

    def happened(self, event: ReceivedEvent) -> None:
        """Something of the protocol happened: it may be expected."""
        self._happenings.append(event)
        super().happened(event)

    def take(self, event: ReceivedEvent) -> None:
        """Take one event out of what is unread."""
        if event in self._happenings:
            self._happenings.remove(event)
        else:
            super().take(event)

    def _first(self, event: str) -> ReceivedEvent | None:
        queued = self.queued()
        return next((seen for seen in (*self._happenings, *queued) if seen.event == event), None)

    def _seen(self) -> str:
        over = f" (no more can come: {self._client.closed or self.state.value})" if self.over else ""
        lost = self._lost + self.dropped
        most = f"; {lost} more were lost, the queue holds max_queued={self._max_queued}" if lost else ""
        return f"saw {shown(self.queued())}{over}{most}"


def shown(events: Sequence[ReceivedEvent]) -> str:
    """The events for a message: names and data, the first and the last ones if there are many."""
    texts = [f"{seen.event} {_short(repr(seen.data))}" for seen in events]
    left_out = len(texts) - 2 * _MOST_SHOWN
    if left_out > 1:
        texts[_MOST_SHOWN:-_MOST_SHOWN] = [f"... {left_out} events ..."]
    return f"[{', '.join(texts)}]"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


class AssertingClient(Client):
    """A client with ``expect_nothing`` and ``expect_closed``.

    ``number`` is its number in the transcript, ``faults`` are what goes wrong for it.
    """

    channel_class = AssertingChannel
    kit: Kit
    faults: Faults
    number = 0
    app: str | None = None
    """The id of its App."""

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
            self, user_id: str | None = None, user_info: object = None, *, watchlist: Sequence[str] = ()
        ) -> AssertingChannel: ...

    async def expect_nothing(self) -> None:
        """Fail if there is an unread event on any channel, or one comes from what is under way."""
        __tracebackhide__ = True
        await self.kit.quiet()
        for channel in self.channels.values():
            if queued := channel.queued():
                what = f"saw {shown(queued)} on {channel.name}"
                raise AssertionError(f"expected nothing for connection {self.number}, {what}")

    async def expect_closed(self, code: int | None = None, *, within: float = 0.0) -> Closed:
        """How the hub closed this client; fail if it is open, or was closed with another code."""
        __tracebackhide__ = True
        closed = await self.kit.eventually(lambda: self.closed, within)
        if closed is None:
            raise AssertionError(f"expected connection {self.number} to be closed, it is {self.connection.state.value}")
        if code is not None and closed.code != code:
            how = f"{closed.code} {closed.reason}".rstrip()
            raise AssertionError(
                f"expected connection {self.number} to be closed with {code}, it was closed with {how}"
            )
        return closed

    def callback_failed(self, error: BaseException) -> bool:
        """A callback of the test raised ``error``: it is for the test to fail with."""
        own = isinstance(error, Exception) or hasattr(error, "pytrace")  # pytest.fail() raises no Exception
        if own:
            self.kit.failures.append(error)
        return own


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
