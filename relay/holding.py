"""What waits for the other nodes while the broker is away: a bounded number of events, none of them for long.

An event may wait only where it is certain that the broker did not take it (``BrokerUnavailable.maybe_done``), so that
it is never sent twice. What is published after it to the same channel waits behind it, so that order holds; other
channels do not notice. When the broker is back the oldest go first: one, then two, then four at once, so that a broker
that is not back after all costs little.

They go a moment after it is back, since the other nodes have to be back too: what is published while they are deaf is
lost to them.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

import anyio

from relay import facts
from relay.cluster.broker import Envelope
from relay.errors import BrokerError, BrokerUnavailable
from relay.protocol.names import is_cached
from relay.receipts import Remote

if TYPE_CHECKING:
    from relay.node import Node

LONGEST: Final = 60.0
"""Seconds that an event waits at most: an older one says what is no longer so."""
PAUSE: Final = 2.0
"""Seconds from the broker's return, or an attempt that failed, to the next: twice the longest pause that a node makes
between two attempts to connect to its engine."""
_AT_ONCE: Final = 128
LAST_SECONDS: Final = 1.0
"""How long a closing hub tries to send what waits."""
_Fate = Literal["sent", "kept", "lost"]
_log = logging.getLogger(__name__)


class Holding:
    """What one node's broker could not take, in the order in which it was published; at most ``most`` envelopes."""

    def __init__(self, node: Node, most: int) -> None:
        self._node, self._most = node, most
        self._queue: deque[_Held] = deque()
        self._places: Counter[tuple[str, str]] = Counter()
        """How many envelopes of each channel wait, or are just being sent."""
        self._held = 0
        self._open = False
        self._numbers = itertools.count()
        self._sending = False
        self._unset: Callable[[], None] = lambda: None
        self._not_before = 0.0
        """When the broker may be tried again, however much waits."""

    def start(self) -> None:
        """Let events wait from now on."""
        self._open = True

    def held(self, app: str) -> int:
        """How many events of an App wait."""
        return sum(count for (owner, _), count in self._places.items() if owner == app)

    async def send(self, envelope: Envelope) -> Remote:
        """Hand ``envelope`` to the broker, or let it wait: it is ``"held"`` then.

        Raises :class:`BrokerError` when it cannot be sent and may not wait, or finds no room.
        """
        number = next(self._numbers)
        if (envelope.app, envelope.channel) in self._places and _may_wait(envelope):
            self._keep(number, envelope)
            return "held"
        try:
            return await self._node.broker.publish(envelope)
        except BrokerUnavailable as error:
            if error.maybe_done or not self._open or not _may_wait(envelope):
                raise
            self._keep(number, envelope)
            return "held"

    def restored(self) -> None:
        """The broker is back, and the other nodes are about to be."""
        self._not_before = 0.0
        if self._queue:
            self._try_in(PAUSE)

    async def last(self) -> None:
        """The hub closes: try once more, if that makes sense, and give up the rest."""
        self._unset()
        if self._queue and self._node.healthy:
            with anyio.move_on_after(LAST_SECONDS):
                await self._send_all()
        self.close()

    def close(self) -> None:
        """Nothing waits any more: what did is lost."""
        self._open = False
        self._unset()
        rest, self._queue = self._queue, deque()
        self._give_up(rest, "the hub was closed")

    def _keep(self, number: int, envelope: Envelope) -> None:
        """Let an envelope wait. Raises :class:`BrokerUnavailable` when it finds no room."""
        now = self._node.clock.now()
        if self._held >= self._most:
            if self._node.healthy and now >= self._not_before:  # waiting on would lose what the others could have
                self._begin()
            raise BrokerUnavailable(f"{self._most} events wait for the other nodes already")
        if not self._held:
            _log.warning("events wait for the other nodes")
            self._try_in(PAUSE)
        self._places[envelope.app, envelope.channel] += 1
        self._held += 1
        self._put([_Held(number, envelope, now + LONGEST)])

    def _put(self, held: Sequence[_Held]) -> None:
        """Have them where they belong: failures may be told in another order than that of publishing."""
        in_order = not self._queue or not held or self._queue[-1].number < held[0].number
        self._queue.extend(held)
        if not in_order:
            self._queue = deque(sorted(self._queue, key=lambda one: one.number))

    def _try_in(self, seconds: float) -> None:
        self._unset()
        self._unset = self._node.call_at(self._node.clock.now() + seconds, self._due)

    def _due(self) -> None:
        self._give_up_old()
        if self._queue and self._node.healthy:
            self._begin()
        elif self._queue:
            self._try_in(PAUSE)

    def _begin(self) -> None:
        if not self._sending:
            self._sending = True
            self._node.start_soon(self._send_all)

    async def _send_all(self) -> None:
        """Send what waits until nothing does, or the broker takes no more."""
        self._sending, some = True, 1
        try:
            while True:
                self._give_up_old()
                if not self._queue:
                    break
                batch = [self._queue.popleft() for _ in range(min(some, len(self._queue)))]
                if not await self._send(batch):
                    self._not_before = self._node.clock.now() + PAUSE
                    break
                some = min(some * 2, _AT_ONCE)
        finally:
            self._sending = False
            if self._queue:
                self._try_in(PAUSE)

    async def _send(self, batch: Sequence[_Held]) -> bool:
        """Hand all of them over, in order; whether the broker took the last of them. What it surely did not take waits
        on, unless it has taken a later one of that channel.
        """
        try:
            async with anyio.create_task_group() as tasks:
                before = None
                for one in batch:
                    mine = anyio.Event()
                    tasks.start_soon(self._send_one, one, before, mine)
                    before = mine
        finally:
            kept: list[_Held] = []
            lost: list[_Held] = []
            passed: set[tuple[str, str]] = set()
            for one in reversed(batch):
                if one.fate == "kept" and one.place not in passed:
                    kept.append(one)
                    continue
                passed.add(one.place)
                if one.fate == "sent":
                    self._forget(one)
                else:
                    lost.append(one)
            self._put(kept[::-1])
            self._give_up(lost, "the broker may have lost them")
        return batch[-1].fate == "sent"

    async def _send_one(self, one: _Held, before: anyio.Event | None, mine: anyio.Event) -> None:
        """Call the broker right after it was called ``before``, whatever order tasks run in, and wait beside others."""
        if before is not None:
            await before.wait()
        mine.set()  # nothing comes between this and the call
        try:
            await self._node.broker.publish(one.envelope)
            one.fate = "sent"
        except BrokerUnavailable as error:
            one.fate = "lost" if error.maybe_done else "kept"
        except BrokerError as error:
            _log.warning("other nodes did not get an event", extra={"app": one.envelope.app, "error": str(error)})
        except Exception:  # noqa: BLE001 - a broker's mistake about one event is not the end of all others
            _log.exception("other nodes did not get an event")

    def _give_up_old(self) -> None:
        now, old = self._node.clock.now(), list[_Held]()
        while self._queue and self._queue[0].until <= now:
            old.append(self._queue.popleft())
        self._give_up(old, f"they waited for {LONGEST:.0f} seconds")

    def _give_up(self, lost: Iterable[_Held], reason: str) -> None:
        """They will not be sent: told once, and counted for each App."""
        counts: Counter[str] = Counter()
        for one in lost:
            self._forget(one)
            counts[one.envelope.app] += 1
        if not counts:
            return
        _log.warning("other nodes will never get some events", extra={"events": counts.total(), "reason": reason})
        record_given_up(self._node, counts, reason)

    def _forget(self, one: _Held) -> None:
        self._held -= 1
        self._places[one.place] -= 1
        if not self._places[one.place]:
            del self._places[one.place]


class _Held:
    """One envelope that waits, until then; ``number`` says in which order they were published."""

    __slots__ = ("envelope", "fate", "number", "place", "until")

    def __init__(self, number: int, envelope: Envelope, until: float) -> None:
        self.number, self.envelope, self.until = number, envelope, until
        self.place = envelope.app, envelope.channel
        self.fate: _Fate = "lost"
        """What became of the attempt to send it; whoever breaks that off does not know."""


def record_given_up(node: Node, counts: Counter[str], reason: str) -> None:
    """Note how many of each App will never be sent."""
    time = node.clock.time()
    for app, count in counts.items():
        node.journal.record(facts.EventsGivenUp(app=app, time=time, count=count, reason=reason))


def _may_wait(envelope: Envelope) -> bool:
    """Events only: news of members, users and counts are put right otherwise, by asking the directory, and users to be
    terminated wait elsewhere (:mod:`relay.terminations`).

    No events of cache channels: the last one there is the one that is remembered, and one that comes late would stand
    behind a newer one of another node.
    """
    return envelope.kind == "event" and not is_cached(envelope.channel)
