"""Users whose connections the other nodes have to close, and who may not have been told so: told again until they were.

Unlike an event (:mod:`relay.holding`) that may be said twice, and late: it says how long ago it was called for, and
whoever signed in after that stays. So it is kept whenever it is not certain that the others got it, and for as long as
it takes.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

import anyio

from relay.cluster.broker import Envelope
from relay.errors import BrokerError, BrokerUnavailable
from relay.holding import LAST_SECONDS, PAUSE, record_given_up
from relay.receipts import Remote

if TYPE_CHECKING:
    from relay.node import Node

MOST: Final = 10_000
"""Users, of all Apps of a node, whose termination may wait."""
_AT_ONCE: Final = 128
_log = logging.getLogger(__name__)


class Terminations:
    """What one node has to say again to the others, once for each App and user."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._called: dict[tuple[str, str], float] = {}
        """When each was called for last, by App and user."""
        self._open = False
        self._sending = False
        self._unset: Callable[[], None] = lambda: None
        self._sure_from = -math.inf
        """When the others, who may have lost the engine together with this node, have to be back."""

    def start(self) -> None:
        """Let terminations wait from now on."""
        self._open, self._sending = True, False

    def held(self, app: str) -> int:
        """How many users of an App have yet to be terminated on other nodes."""
        return sum(owner == app for owner, _ in self._called)

    async def send(self, app: str, user_id: str) -> Remote:
        """Have the other nodes close the connections of a user: ``"held"`` where they may not have heard it yet and
        will be told again, ``"unavailable"`` where there is no room for that.
        """
        called = self._node.clock.now()
        try:
            remote = await self._node.broker.publish(self._envelope(app, user_id, called))
        except BrokerError as error:
            return self._keep(app, user_id, called, str(error))
        except BaseException:  # whoever waits for it gives up, and it may be on its way or not
            self._keep(app, user_id, called, "it was broken off")
            raise
        if remote == "sent" and not self._sure:
            return self._keep(app, user_id, called, "the other nodes may not hear yet")
        self._said(app, user_id, called)
        return remote

    def restored(self) -> None:
        """The broker is back, and the other nodes are about to be."""
        self._sure_from = self._node.clock.now() + PAUSE
        if self._called:
            self._try_in(PAUSE)

    async def last(self) -> None:
        """The hub closes: try once more, if that makes sense, and give up the rest."""
        self._unset()
        if self._called and self._node.healthy:
            with anyio.move_on_after(LAST_SECONDS):
                await self._send_all()
        self.close()

    def close(self) -> None:
        """Nothing waits any more: the other nodes may never hear what did."""
        self._open = False
        self._unset()
        rest, self._called = self._called, {}
        self._give_up(Counter(app for app, _ in rest), "the hub was closed")

    @property
    def _sure(self) -> bool:
        """Whether the other nodes hear what the broker takes now, as far as a node can know of others."""
        return self._node.healthy and self._node.clock.now() >= self._sure_from

    def _envelope(self, app: str, user_id: str, called: float) -> Envelope:
        # one millisecond less, so that no rounding saves who was signed in
        age = max(int((self._node.clock.now() - called) * 1000) - 1, 0)
        return Envelope(app=app, channel="", kind="terminate", user_id=user_id, step=age)

    def _keep(self, app: str, user_id: str, called: float, why: str) -> Remote:
        """Let it wait, if there is room for it."""
        full = len(self._called) >= MOST and (app, user_id) not in self._called
        if full or not self._open:
            _log.warning("other nodes did not hear of a termination", extra={"app": app, "error": why})
            return "unavailable"
        if not self._called:
            _log.warning("terminations wait for the other nodes", extra={"app": app, "error": why})
            self._try_in(PAUSE)
        self._called[app, user_id] = max(called, self._called.get((app, user_id), called))
        return "held"

    def _said(self, app: str, user_id: str, called: float) -> None:
        """The others heard it, and with it all that was called for before."""
        if self._called.get((app, user_id), math.inf) <= called:
            del self._called[app, user_id]

    def _try_in(self, seconds: float) -> None:
        self._unset()
        self._unset = self._node.call_at(self._node.clock.now() + seconds, self._due)

    def _due(self) -> None:
        if not self._called or self._sending:  # who is sending asks for the next time
            return
        if self._sure:
            self._sending = True
            self._node.start_soon(self._send_all)
        else:
            self._try_in(PAUSE)

    async def _send_all(self) -> None:
        """Say all that waits, until the broker takes no more: one first, so that one that is not back costs little."""
        self._sending, rest, some = True, iter(list(self._called.items())), 1
        try:
            while batch := list(islice(rest, some)):
                failed: list[BrokerError] = []
                async with anyio.create_task_group() as tasks:
                    for (app, user_id), called in batch:
                        tasks.start_soon(self._send_again, app, user_id, called, failed)
                if any(isinstance(error, BrokerUnavailable) for error in failed):
                    break
                some = _AT_ONCE
        finally:
            self._sending = False
            if self._called and self._open:
                self._try_in(PAUSE)

    async def _send_again(self, app: str, user_id: str, called: float, failed: list[BrokerError]) -> None:
        try:
            await self._node.broker.publish(self._envelope(app, user_id, called))
        except BrokerError as error:
            failed.append(error)
        except Exception:  # noqa: BLE001 - a broker's mistake about one user is not the end of all others
            _log.exception("other nodes did not hear of a termination")
            self._said(app, user_id, called)
            self._give_up(Counter([app]), "the broker failed in a way of its own")
        else:
            if self._sure:
                self._said(app, user_id, called)

    def _give_up(self, counts: Counter[str], reason: str) -> None:
        """They will not be said again: told once, and counted for each App."""
        if not counts:
            return
        _log.warning("other nodes may never hear of terminations", extra={"users": counts.total(), "reason": reason})
        record_given_up(self._node, counts, reason)
