"""What happened, as frozen values: the one stream that callbacks, webhooks, metrics and tests read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import msgspec

from relay.receipts import Receipt


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in ``app`` (its id) at ``time`` (Unix seconds)."""

    app: str
    time: float


class Connected(Fact, frozen=True, kw_only=True):
    """A client was let in."""

    socket_id: str


class Disconnected(Fact, frozen=True, kw_only=True):
    """A client is gone; ``code`` is what we closed it with, None when it went by itself."""

    socket_id: str
    code: int | None
    reason: str


class Subscribed(Fact, frozen=True, kw_only=True):
    """A connection is in a channel and was told so."""

    socket_id: str
    channel: str
    user_id: str | None = None


class Unsubscribed(Fact, frozen=True, kw_only=True):
    """A connection left a channel."""

    socket_id: str
    channel: str
    user_id: str | None = None


class ChannelOccupied(Fact, frozen=True, kw_only=True):
    """A channel has its first subscriber."""

    channel: str


class ChannelVacated(Fact, frozen=True, kw_only=True):
    """A channel's last subscriber left."""

    channel: str


class MemberAdded(Fact, frozen=True, kw_only=True):
    """A user's first connection joined a presence channel."""

    channel: str
    user_id: str


class MemberRemoved(Fact, frozen=True, kw_only=True):
    """A user's last connection left a presence channel."""

    channel: str
    user_id: str


class CacheMissed(Fact, frozen=True, kw_only=True):
    """A connection subscribed to a cache channel that has nothing to replay (protocol 2.5); once for each such
    subscribe.
    """

    socket_id: str
    channel: str


class SignedIn(Fact, frozen=True, kw_only=True):
    """A connection proved to be a user."""

    socket_id: str
    user_id: str


class ClientEvent(Fact, frozen=True, kw_only=True):
    """A client event was accepted."""

    socket_id: str
    channel: str
    event: str
    user_id: str | None = None


class Published(Fact, frozen=True, kw_only=True):
    """Application code published an event; the receipt says what became of it."""

    event: str
    receipt: Receipt


class SlowConsumer(Fact, frozen=True, kw_only=True):
    """A client did not read and is disconnected; ``backlog`` bytes were waiting for it."""

    socket_id: str
    backlog: int


class EventsLost(Fact, frozen=True, kw_only=True):
    """A client does not keep up and lost ``count`` events, as its App's ``policy`` wants it; ``backlog`` bytes are
    waiting for it. At most one such fact for each connection and turn of the loop.
    """

    socket_id: str
    count: int
    policy: str
    backlog: int


class RefusedRequest(Fact, frozen=True, kw_only=True):
    """A client asked for something it may not have."""

    socket_id: str
    reason: str
    channel: str | None = None


F = TypeVar("F", bound=Fact)
_Listener = Callable[[Any], None]


class Unsubscribe(Protocol):
    """Calling it ends what ``on`` began; calling it twice is fine."""

    def __call__(self) -> None:
        """Hear no more."""


class Journal:
    """The latest facts, and whoever wants to hear the next ones.

    A listener is called at once, in the order things happened, and must neither wait nor raise.
    """

    __slots__ = ("_listeners", "_recent")

    def __init__(self, size: int = 1000) -> None:
        self._recent: deque[Fact] = deque(maxlen=size)
        self._listeners: list[tuple[type[Fact], _Listener]] = []

    def __iter__(self) -> Iterator[Fact]:
        return iter(list(self._recent))

    def record(self, fact: Fact) -> None:
        """Note what happened and tell the listeners for its type."""
        self._recent.append(fact)
        for wanted, listener in self._listeners:
            if isinstance(fact, wanted):
                listener(fact)

    def on(self, wanted: type[F], listener: Callable[[F], None]) -> Unsubscribe:
        """Call ``listener`` for each fact of type ``wanted`` (``Fact`` for all)."""
        entry = (wanted, listener)
        self._listeners = [*self._listeners, entry]

        def unsubscribe() -> None:
            self._listeners = [known for known in self._listeners if known is not entry]

        return unsubscribe
