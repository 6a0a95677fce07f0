"""Several envelopes on their way to the broker at once: those of one channel in order, those of others side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from relay.cluster.broker import Envelope
from relay.receipts import Remote

_Send = Callable[[Envelope], Awaitable[Remote]]


class Handover:
    """The order in which one node calls its broker.

    Calls take effect in the order in which they are made (:class:`relay.cluster.broker.Broker`). Whoever makes several
    does so in tasks, which a loop starts in any order and a moment late; so their places are taken at once, and
    whatever else is about the same channel gets in line.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], anyio.Event] = {}
        """When the broker was called for the last one in line, where any has not been."""

    def busy(self, envelope: Envelope) -> bool:
        """Whether ``envelope`` has to get in line: one that came before it for its channel is not with the broker."""
        return bool(self._last) and (envelope.app, envelope.channel) in self._last

    async def each(self, envelopes: Sequence[Envelope], send: _Send) -> list[Remote]:
        """Call ``send`` for all of them, those of one channel in this order; what it returned for each.

        Raises the first thing that it raised, when all are done.
        """
        calls = [self._line_up(envelope) for envelope in envelopes]
        try:
            async with anyio.create_task_group() as tasks:
                for call in calls:
                    tasks.start_soon(self._make, call, send)
        finally:
            for call in calls:  # those that were never made, since somebody gave up
                self._made(call)
        for call in calls:
            if call.error is not None:
                raise call.error
        return [call.remote for call in calls]

    def _line_up(self, envelope: Envelope) -> _Call:
        place = envelope.app, envelope.channel
        call = _Call(envelope, self._last.get(place))
        self._last[place] = call.made
        return call

    async def _make(self, call: _Call, send: _Send) -> None:
        if call.before is not None:
            await call.before.wait()
        self._made(call)  # nothing comes between this and the call itself
        try:
            call.remote = await send(call.envelope)
        except Exception as error:  # noqa: BLE001 - raised when the others are done
            call.error = error

    def _made(self, call: _Call) -> None:
        call.made.set()
        place = call.envelope.app, call.envelope.channel
        if self._last.get(place) is call.made:
            del self._last[place]


class _Call:
    """One envelope in line behind another one."""

    __slots__ = ("before", "envelope", "error", "made", "remote")

    def __init__(self, envelope: Envelope, before: anyio.Event | None) -> None:
        self.envelope, self.before, self.made = envelope, before, anyio.Event()
        self.remote: Remote = "unavailable"
        self.error: Exception | None = None
