"""One channel as a client holds it: callbacks, a bounded queue to iterate over, members."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from relay.client.members import Members
from relay.errors import RelayError, UsageError
from relay.protocol import messages, names
from relay.protocol.messages import Member
from relay.protocol.received import ReceivedEvent

if TYPE_CHECKING:
    from relay.client.client import Client
    from relay.client.decryption import Decryption

T = TypeVar("T")
CACHE_MISS = "pusher:cache_miss"
Callback = Callable[[ReceivedEvent], Awaitable[None] | None]
Overflow = Literal["raise", "drop_oldest", "drop_newest"]


class SubscriptionRefused(RelayError):
    """The server (or the authorizer) did not let us into ``channel``."""

    def __init__(self, channel: str, message: str, code: int | None = None) -> None:
        super().__init__(f"subscription to {channel} refused: {message}")
        self.channel = channel
        self.message = message
        self.code = code

    @property
    def transient(self) -> bool:
        """Whether ``code`` is the HTTP status of an auth endpoint that may answer better later, 0 for none at all."""
        return self.code is not None and is_transient(self.code)


def is_transient(status: int) -> bool:
    """Whether an HTTP status, or 0 for no answer at all, says nothing about the next attempt."""
    return status in (0, 429) or 500 <= status <= 599


class QueueOverflow(RelayError):
    """A reader was too slow: ``lost`` events of ``channel`` are gone. Reading on gives what came after."""

    def __init__(self, channel: str, lost: int) -> None:
        super().__init__(f"{lost} events of {channel} were lost: read faster, or ask for a larger max_queued")
        self.channel = channel
        self.lost = lost


class Subscription(enum.Enum):
    """Where a client's channel stands."""

    PENDING = "pending"
    SUBSCRIBED = "subscribed"
    REFUSED = "refused"
    ENDED = "ended"


class Channel:
    """One channel of one client, made by ``await client.subscribe(name)``.

    ``bind`` calls back, ``async for event in channel`` reads from a queue that is filled from the moment of the
    subscription. The queue holds ``max_queued`` events; ``overflow`` says what happens to more: ``"raise"`` loses
    the oldest and raises :class:`QueueOverflow` to the reader, ``"drop_oldest"`` and ``"drop_newest"`` count them
    in ``dropped``.

    Events of a ``private-encrypted-`` channel come decrypted. One that cannot be read is dropped, counted in
    ``undecrypted`` and told to ``client.connection.bind("error", ...)``, after the client asked for a new secret once.
    """

    def __init__(self, client: Client, name: str, *, max_queued: int, overflow: Overflow) -> None:
        self.name = name
        self.state = Subscription.PENDING
        self.asked = False
        """Whether this connection was asked for it."""
        self.wanted = 0
        """How many callers of ``subscribe`` wait for it or got it."""
        self.identity: Member | None = None
        self.auth: dict[str, str] | None = None
        self.auth_for: str | None = None
        """The socket id that ``auth`` is good for."""
        self.refusal: SubscriptionRefused | None = None
        self.dropped = 0
        self.undecrypted = 0
        """Events of an encrypted channel that could not be read, and were dropped."""
        self.decryption: Decryption | None = None
        """What reads the events, on an encrypted channel."""
        self._client = client
        self._queue: deque[ReceivedEvent] = deque()
        self._max_queued = max_queued
        self._overflow = overflow
        self._lost = 0
        self._callbacks: list[tuple[str | None, Callback]] = []
        self._count: int | None = None
        self._missed: ReceivedEvent | None = None
        """A cache miss that nobody was told of yet."""

    @property
    def subscribed(self) -> bool:
        """Whether events arrive; False for a moment after a lost connection."""
        self._client.pump()
        return self.state is Subscription.SUBSCRIBED

    @property
    def members(self) -> Members:
        """Who is in this presence channel, us included."""
        self._client.pump()
        return self._client.members_of(self.name)

    @property
    def subscription_count(self) -> int | None:
        """How many subscribers there are, us included, as the server told last; None where it tells nothing."""
        self._client.pump()
        return self._count

    def bind(self, event: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with each :class:`ReceivedEvent` named ``event``; returns what ends that.

        A plain function is called at once, a coroutine function in order, beside the reading. Names of the protocol
        may be bound as in pusher-js: ``pusher:subscription_succeeded``, ``pusher:subscription_error``,
        ``pusher:member_added``, ``pusher:member_removed``, ``pusher:subscription_count``, ``pusher:cache_miss``.
        The last one comes right after the acknowledgement: the first to bind it is told also when it is there already.
        """
        return self._bind((event, callback))

    def bind_all(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with every event; returns what ends that."""
        return self._bind((None, callback))

    async def trigger(self, event: str, data: object) -> None:
        """Send a client event to everyone else in this private or presence channel.

        Encrypted channels have none, in all the SDKs: it would go out unencrypted.
        """
        if names.is_encrypted(self.name):
            raise UsageError(f"client events are not supported on encrypted channels, and {self.name} is one")
        if not event.startswith("client-"):
            raise UsageError(f"the name of a client event begins with 'client-', got {event!r}")
        await self._client.send_event(self.name, event, data)

    async def unsubscribe(self) -> None:
        """Leave; iterations end after what is queued."""
        await self._client.unsubscribe(self.name)

    def __aiter__(self) -> Channel:
        return self

    async def __anext__(self) -> ReceivedEvent:
        await self._client.until(lambda: bool(self._queue or self._lost or self.over))
        if self._lost:
            lost, self._lost = self._lost, 0
            raise QueueOverflow(self.name, lost)
        if not self._queue:
            raise StopAsyncIteration
        return self._queue.popleft()

    def events(self, kind: type[T], name: str | None = None) -> TypedEvents[T]:
        """Iterate over the data of events, decoded into ``kind`` (a msgspec Struct, a dataclass, a plain type).

        Only events called ``name`` are taken, if given. Raises :class:`msgspec.ValidationError` for data of another
        shape.
        """
        return TypedEvents(self, kind, name)

    def must_be(self, who: Member | None) -> None:
        """Raise :class:`UsageError` where we are in this channel as somebody else than ``who``."""
        if who is not None and self.identity is not None and who.id != self.identity.id:
            raise UsageError(f"{self.name} is subscribed as user {self.identity.id!r}, so not as {who.id!r} too")

    @property
    def over(self) -> bool:
        """Whether no event can come any more."""
        return self.state in (Subscription.ENDED, Subscription.REFUSED) or self._client.closed is not None

    def queued(self) -> list[ReceivedEvent]:
        """What arrived and was not read yet; it stays."""
        self._client.pump()
        return list(self._queue)

    def take(self, event: ReceivedEvent) -> None:
        """Take one event out of the queue."""
        self._queue.remove(event)

    def deliver(self, event: ReceivedEvent) -> None:
        """An event arrived: take it in, decrypted where it is encrypted."""
        if event.event == CACHE_MISS:  # never encrypted, and nothing to read
            self._missed = None if any(wanted in (None, CACHE_MISS) for wanted, _ in self._callbacks) else event
            self.happened(event)
        elif event.event == messages.SUBSCRIPTION_COUNT:
            self._counted(event)
        elif self.decryption is None:
            self.accept(event)
        else:
            self.decryption.receive(event)

    def _counted(self, event: ReceivedEvent) -> None:
        count = event.data.get("subscription_count") if isinstance(event.data, dict) else None
        if isinstance(count, int):
            self._count = count
        self.happened(event.called("pusher:subscription_count", event.data))

    def accept(self, event: ReceivedEvent) -> None:
        """An event that can be read: queue it and call back."""
        if len(self._queue) >= self._max_queued:
            self._make_room()
        if len(self._queue) < self._max_queued:
            self._queue.append(event)
        self.call_back(event)

    def happened(self, event: ReceivedEvent) -> None:
        """Something of the protocol happened: call back, there is nothing to queue."""
        self.call_back(event)

    def call_back(self, event: ReceivedEvent) -> None:
        """Call whoever is bound to ``event``."""
        for wanted, callback in list(self._callbacks):
            if wanted is None or wanted == event.event:
                self._client.run(callback, event)

    def _make_room(self) -> None:
        if self._overflow == "raise":
            self._lost += 1
        else:
            self.dropped += 1
        if self._overflow != "drop_newest":
            self._queue.popleft()

    def _bind(self, entry: tuple[str | None, Callback]) -> Callable[[], None]:
        self._client.pump()
        self._client.eager = True
        self._callbacks.append(entry)
        if self._missed is not None and entry[0] == CACHE_MISS:
            missed, self._missed = self._missed, None
            self._client.run(entry[1], missed)

        def unbind() -> None:
            if entry in self._callbacks:
                self._callbacks.remove(entry)

        return unbind


class TypedEvents(Generic[T]):
    """What ``channel.events(kind)`` iterates over."""

    def __init__(self, channel: Channel, kind: type[T], name: str | None) -> None:
        self._channel = channel
        self._kind = kind
        self._name = name

    def __aiter__(self) -> TypedEvents[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            event = await anext(self._channel)
            if self._name is None or event.event == self._name:
                return event.decode(self._kind)
