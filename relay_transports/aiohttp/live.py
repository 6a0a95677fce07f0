"""The sessions of clients that are served over HTTP: bounded in number, each ended when its client stays away."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from relay.errors import UsageError
from relay_transports.fallback import FallbackSession
from relay_transports.fallback.session import HEARTBEAT_SECONDS

if TYPE_CHECKING:
    from relay.connection import Connection
    from relay.hub import Hub
    from relay_transports.aiohttp.peers import Place

FAREWELL_SECONDS: Final = 10.0
"""How long a closed session goes on telling why."""


class Owner(NamedTuple):
    """Who may use a session: nobody else is told that there is one."""

    address: str
    """Its remote address, or the network of it."""
    origin: str | None
    """The origin of the page it runs in, if it runs in one."""


class Live:
    """One session with what hangs on it: the hub's connection, its place among those of one address, its timer."""

    def __init__(self, hub: Hub, owner: Owner, place: Place | None, gone: Callable[[], None], heartbeat: float) -> None:
        self.owner = owner
        self.session = FallbackSession(self._closed, hub.clock.now(), heartbeat=heartbeat)
        self.connection: Connection | None = None
        self.turn = asyncio.Lock()
        """Held by whoever handles the client's messages: one after another, in order."""
        self.sending = 0
        """Requests that send messages, that with its turn and those that wait for theirs."""
        self._hub = hub
        self._place = place
        self._gone = gone
        self._over = False
        self._due = math.inf
        self._cancel: Callable[[], None] = _nothing

    def heed(self) -> None:
        """Something changed: see to it that the session is asked when it is due."""
        due = self.session.due
        if due < self._due and not self._over:  # one that is asked too early is asked again
            self._call_at(due, self._expire)

    def heard(self) -> None:
        """The client gave a sign of life."""
        if self.connection is not None and not self.connection.closed:
            self.connection.heard()

    def end(self) -> None:
        """Forget it. Idempotent."""
        if self._over:
            return
        self._over = True
        self._cancel()
        self._gone()
        self.session.abort()
        if self.connection is not None:
            self.connection.disconnected()
        self._leave()

    def _expire(self) -> None:
        self._due = math.inf
        if self.session.expire(self._hub.clock.now()) or self.connection is None:  # it said nothing for so long
            self.end()
        else:
            self.heed()

    def _closed(self) -> None:
        """For the session: the hub closed it."""
        self._leave()
        if not self._over:
            self._call_at(self._hub.clock.now() + FAREWELL_SECONDS, self.end)

    def _call_at(self, due: float, callback: Callable[[], None]) -> None:
        self._cancel()
        self._due = due
        self._cancel = self._hub.call_at(due, callback)

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.leave()


class Sessions:
    """The sessions of one endpoint, by App key and the name that the client chose; ``most`` at once."""

    def __init__(self, hub: Hub, most: int) -> None:
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise UsageError(f"max_fallback_sessions should be a whole number above 0, got {most!r}")
        self._hub = hub
        self._most = most
        self._live: dict[tuple[str, str], Live] = {}

    def __len__(self) -> int:
        return len(self._live)

    @property
    def full(self) -> bool:
        """Whether there may be no more."""
        return len(self._live) >= self._most

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._live.values()))

    def get(self, key: str, name: str) -> Live | None:
        """The session of this name, whosever it is."""
        return self._live.get((key, name))

    def open(self, key: str, name: str, owner: Owner, place: Place | None) -> Live:
        """A new session, which is among the others until it ends; where it is ``full``, or of no App, it never is.

        The empty key is of those that are still to say which App they want.
        """
        app = self._hub.app_of(key)
        timeouts = [one.activity_timeout for one in (self._hub.apps if app is None else (app,))]
        names = key, name
        heartbeat = min(HEARTBEAT_SECONDS, min(timeouts) / 2)
        live = Live(self._hub, owner, place, lambda: self._forget(names, live), heartbeat)
        if (app is not None or not key) and not self.full:
            self._live[names] = live
        return live

    def _forget(self, names: tuple[str, str], live: Live) -> None:
        if self._live.get(names) is live:
            del self._live[names]


def _nothing() -> None:
    """No timer is there to be taken back."""
