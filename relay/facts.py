"""What happened, as frozen values: the one stream that callbacks, webhooks, metrics and tests read."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import msgspec

from relay.receipts import Receipt

_log = logging.getLogger(__name__)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in ``app`` (its id) at ``time`` (Unix seconds); an empty ``app`` stands for all Apps."""

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


class ChannelStatus(Fact, frozen=True, kw_only=True):
    """A channel was occupied or vacated: the two in one, for whoever needs their order."""

    channel: str


class ChannelOccupied(ChannelStatus, frozen=True, kw_only=True):
    """A channel has its first subscriber."""


class ChannelVacated(ChannelStatus, frozen=True, kw_only=True):
    """A channel's last subscriber left."""


class MemberStatus(Fact, frozen=True, kw_only=True):
    """A user joined or left a presence channel: the two in one, for whoever needs their order."""

    channel: str
    user_id: str


class MemberAdded(MemberStatus, frozen=True, kw_only=True):
    """A user's first connection joined a presence channel."""


class MemberRemoved(MemberStatus, frozen=True, kw_only=True):
    """A user's last connection left a presence channel."""


class CountChanged(Fact, frozen=True, kw_only=True):
    """A channel that is no presence channel has ``subscription_count`` subscribers by now, over all nodes. For Apps
    with ``subscription_counts`` only, and of a large channel not more often than its subscribers are told (protocol 5).
    """

    channel: str
    subscription_count: int


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


class UserStatus(Fact, frozen=True, kw_only=True):
    """A user came online or went offline: the two in one, for whoever needs their order."""

    user_id: str


class UserOnline(UserStatus, frozen=True, kw_only=True):
    """A user's first connection in the cluster signed in or joined a presence channel."""


class UserOffline(UserStatus, frozen=True, kw_only=True):
    """A user's last connection has been gone for the App's ``offline_grace``, or its node was closed."""


class ClientEvent(Fact, frozen=True, kw_only=True):
    """A client event was accepted; ``text`` is the finished event as its subscribers get it, not copied."""

    socket_id: str
    channel: str
    event: str
    user_id: str | None = None
    text: bytes = b""


class WebhookDelivered(Fact, frozen=True, kw_only=True):
    """A receiver of webhooks took a request with ``events`` events, answering ``status`` to the attempt number
    ``attempts``.
    """

    url: str
    events: int
    status: int
    attempts: int


class WebhookGivenUp(Fact, frozen=True, kw_only=True):
    """A receiver of webhooks will not be told of ``events`` events, after ``attempts`` attempts; ``reason`` says why.

    ``url`` is told without its query, which may be secret.
    """

    url: str
    events: int
    reason: str
    attempts: int = 0


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
    """A client asked for something it may not have.

    ``explanation`` is what :mod:`relay.explain` says about it, in a hub with ``debug`` only.
    """

    socket_id: str
    reason: str
    channel: str | None = None
    explanation: str | None = None


class Draining(Fact, frozen=True, kw_only=True):
    """A node sends its ``connections`` clients away, ``over`` so many seconds at most; ``app`` is empty."""

    connections: int
    over: float


class BrokerLost(Fact, frozen=True, kw_only=True):
    """Other nodes cannot be reached any more, and this one goes on alone; ``app`` is empty."""


class BrokerRestored(Fact, frozen=True, kw_only=True):
    """Other nodes can be reached again; ``app`` is empty. What was published meanwhile is lost, or ``held``."""


class DirectoryLost(Fact, frozen=True, kw_only=True):
    """Who is on this node is not known to the others: the directory refuses, is away, or lost what it was told;
    ``reason`` says which. ``app`` is empty.
    """

    reason: str


class DirectoryRestored(Fact, frozen=True, kw_only=True):
    """Everybody on this node is in the directory again; ``app`` is empty."""


class EventsGivenUp(Fact, frozen=True, kw_only=True):
    """``count`` events that were ``held`` for other nodes (``Hub(hold=...)``), or users to be terminated there, will
    not be sent; ``reason`` says why.
    """

    count: int
    reason: str


class Missed(Fact, frozen=True, kw_only=True):
    """``listener`` was too slow for what it listens to and missed ``count`` facts, or events of ``app``'s channels.

    ``app`` is empty for one that listens to every App. At most one such fact for each listener and turn of the loop;
    in a stream of facts it stands where the missing ones would.
    """

    listener: str
    count: int


F = TypeVar("F", bound=Fact)
_Listener = Callable[[Any], object]


class Unsubscribe(Protocol):
    """Calling it ends what ``on`` began; calling it twice is fine."""

    def __call__(self) -> None:
        """Hear no more."""


class Journal:
    """The latest facts, and whoever wants to hear the next ones.

    A listener is called at once and must not wait. Each hears all facts in the order they happened: what happens while
    listeners are told is told after that. One that raises is logged, with the type of the fact and no more of it.
    """

    __slots__ = ("_listeners", "_recent", "_telling", "_untold", "_wanting")

    def __init__(self, size: int = 1000) -> None:
        self._recent: deque[Fact] = deque(maxlen=size)
        self._listeners: list[tuple[type[Fact], _Listener]] = []
        self._wanting: dict[type[Fact], list[_Listener]] = {}
        """Who is told of a type of facts, found when the first of them happens."""
        self._untold: deque[Fact] = deque()
        self._telling = False

    def __iter__(self) -> Iterator[Fact]:
        return iter(list(self._recent))

    def record(self, fact: Fact) -> None:
        """Note what happened and tell the listeners for its type."""
        self._recent.append(fact)
        if not self._wanted(type(fact)):
            return
        self._untold.append(fact)
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                self._tell(self._untold.popleft())
        finally:
            self._telling = False

    def on(self, wanted: type[F], listener: Callable[[F], object]) -> Unsubscribe:
        """Call ``listener`` for each fact of type ``wanted`` (``Fact`` for all)."""
        entry = (wanted, listener)
        self._listeners = [*self._listeners, entry]
        self._wanting = {}

        def unsubscribe() -> None:
            self._listeners = [known for known in self._listeners if known is not entry]
            self._wanting = {}

        return unsubscribe

    def _wanted(self, kind: type[Fact]) -> list[_Listener]:
        found = self._wanting.get(kind)
        if found is None:
            found = self._wanting[kind] = [one for wanted, one in self._listeners if issubclass(kind, wanted)]
        return found

    def _tell(self, fact: Fact) -> None:
        for listener in self._wanted(type(fact)):
            try:
                listener(fact)
            except Exception:  # noqa: BLE001 - the embedding program's mistake; whatever was going on goes on
                _log.exception("a listener failed", extra={"fact": type(fact).__name__, "listener": name_of(listener)})


def name_of(listener: object) -> str:
    """What to call ``listener`` in logs: where its function is defined."""
    function = getattr(listener, "func", listener)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else type(listener).__name__
