"""The client itself: what an application holds, over any transport."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from relay.client.asking import Asking
from relay.client.channel import Channel, Subscription, SubscriptionRefused
from relay.client.connection import ConnectionView, State
from relay.client.members import Members
from relay.client.runtime import Closed, Link, Runtime
from relay.client.settings import Settings, SigninRefused
from relay.client.subscriber import (
    Happening,
    MemberGone,
    MemberJoined,
    Opened,
    Pinged,
    ReceivedEvent,
    RefusedByServer,
    SignedIn,
    Subscribed,
    Subscriber,
)
from relay.errors import UsageError
from relay.protocol import messages, names
from relay.protocol.messages import Member

if TYPE_CHECKING:
    from random import Random

_log = logging.getLogger(__name__)


class Client:
    """A subscriber. Made by a transport's ``connect``; use it as a context manager, or ``await client.close()``.

    Safe to cancel at every await: a subscribe that was cancelled is undone.
    """

    channel_class = Channel

    def __init__(
        self,
        connector: Callable[[Client], Awaitable[Link]],
        runtime: Runtime,
        settings: Settings,
        *,
        random: Random,
    ) -> None:
        self.connection = ConnectionView(self)
        self.closed: Closed | None = None
        self.eager = False
        """Whether somebody waits to be called back, so that what arrives cannot wait to be asked for."""
        self.activity_timeout = 120.0
        """Seconds the server may be silent before it is asked whether it lives."""
        self._connector = connector
        self._runtime = runtime
        self._settings = settings
        self._random = random
        self._subscriber = Subscriber()
        self._asking = Asking(self, self._subscriber, settings, runtime, random)
        self._link: Link | None = None
        self._channels: dict[str, Channel] = {}
        self._attempt = 0
        self._news: anyio.Event | None = None
        self._work: deque[Awaitable[object]] = deque()
        self._signed_in: str | None = None

    @property
    def socket_id(self) -> str:
        """What servers call this connection; pass it as ``socket_id`` to ``trigger`` to be left out."""
        if self.connection.socket_id is None:
            raise self.closed or UsageError("not connected: a socket id comes with the connection")
        return self.connection.socket_id

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The channels this client is subscribed to, or will be again."""
        return dict(self._channels)

    async def subscribe(
        self,
        name: str,
        *,
        user_id: str | None = None,
        user_info: object = None,
        auth: Mapping[str, str] | None = None,
    ) -> Channel:
        """Subscribe and wait for the acknowledgement.

        Private and presence channels are authorized by what the client was made with; ``user_id`` and ``user_info``
        are passed to it. ``auth`` is a ready answer of an auth endpoint instead.

        Raises :class:`SubscriptionRefused`, :class:`Closed`, and :class:`UsageError` where nothing could
        authorize it.
        """
        channel = self._channels.get(name)
        if channel is None:
            settings = self._settings
            channel = self.channel_class(self, name, max_queued=settings.max_queued, overflow=settings.overflow)
            channel.identity = None if user_id is None else Member(user_id, user_info)
            channel.auth = None if auth is None else dict(auth)
            self._channels[name] = channel
            try:
                await self._asking.subscribe(channel)
            except BaseException:
                self._give_up(channel)
                raise
        try:
            await self.until(lambda: channel.state is not Subscription.PENDING or self.closed is not None)
        except BaseException:
            if channel.state is Subscription.PENDING:
                self._give_up(channel)
            raise
        if channel.refusal is not None:
            raise channel.refusal
        if channel.state is not Subscription.SUBSCRIBED:
            raise self.closed or SubscriptionRefused(name, "unsubscribed meanwhile")
        return channel

    async def unsubscribe(self, name: str) -> None:
        """Leave a channel; fine when we are not in it."""
        channel = self._channels.get(name)
        if channel is not None:
            self.pump()
            self._drop(channel)
            await self._send_if_open(self._subscriber.unsubscribe(name))

    async def signin(self, user_id: str | None = None, user_info: object = None) -> Channel:
        """Sign in as a user, and subscribe to the channel of events sent to that user (protocol 4).

        Raises :class:`SigninRefused`.
        """
        asking = self._asking
        asking.user = None if user_id is None else Member(user_id, user_info)
        asking.wants_user = True
        asking.refusal = self._signed_in = None
        await asking.signin()
        await self.until(lambda: bool(self._signed_in or asking.refusal or self.closed))
        if self._signed_in is None:
            asking.wants_user = False
            if asking.refusal is not None:
                raise SigninRefused(asking.refusal)
            raise self.closed or SigninRefused("the connection was lost meanwhile")
        return await self.subscribe(names.SERVER_TO_USER + self._signed_in)

    async def send_event(self, channel: str, event: str, data: object) -> None:
        """Send a client event; what ``channel.trigger`` does."""
        await self._send(self._subscriber.client_event(channel, event, data))

    async def send_raw(self, text: str | bytes) -> None:
        """Send one frame as it is, right or wrong; answers come as for any other."""
        await self._send(text.encode() if isinstance(text, str) else text)

    async def close(self) -> None:
        """Go away. Iterations end after what is queued; fine to call again."""
        self.leave()

    def leave(self) -> None:
        """Go away, without waiting for anything."""
        if self.closed is None:
            self.pump()
            if self._link is not None:
                self._link.close()
            self._over(Closed(1000, "closed by this client"), State.DISCONNECTED)

    async def open(self) -> Self:
        """Connect, the first time. Raises :class:`Closed` when the server does not let us in."""
        self.connection.become(State.CONNECTING)
        self._link = await self._connector(self)
        await self.until(lambda: self.connection.socket_id is not None or self.closed is not None)
        if self.connection.socket_id is None and self.closed is not None:
            raise self.closed
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # What channels and links call.

    async def until(self, done: Callable[[], bool]) -> None:
        """Return when ``done()``; looked at whenever something arrived."""
        self.pump()
        while not done():
            if self._news is None:
                self._news = anyio.Event()
            await self._news.wait()
            self.pump()

    def pump(self) -> None:
        """Take in what arrived."""
        if self._link is not None:
            self._link.pump()

    def wake(self) -> bool:
        """Something arrived: let whoever waits look. False if nobody waits."""
        if self._news is None:
            return False
        self._news.set()
        self._news = None
        return True

    def members_of(self, channel: str) -> Members:
        """Who is in a presence channel."""
        return self._subscriber.members.get(channel) or Members()

    def run(self, callback: Callable[..., object], argument: object) -> None:
        """Call back; what a coroutine function has to do is done in order, beside the reading."""
        try:
            result = callback(argument)
        except Exception:  # noqa: BLE001 - whatever an application's callback raises is its own
            _log.exception("a callback of a client failed")
            return
        if inspect.isawaitable(result):
            self._work.append(result)
            if len(self._work) == 1:
                self._runtime.start_soon(self._do_work)

    def feed(self, text: bytes) -> None:
        """One frame arrived."""
        if self._settings.tap is not None:
            self._settings.tap("received", text)
        happening, event = self._subscriber.receive(text)
        match happening:
            case Opened():
                self._opened(happening)
            case Pinged():
                if self._settings.answer_pings:
                    self._runtime.start_soon(lambda: self._send_if_open(messages.PONG))
            case RefusedByServer():
                self._refused(happening, event)
            case SignedIn():
                self._signed_in = happening.user_id
            case _:
                if (channel := self._channels.get(event.channel or "")) is not None:
                    self._tell(channel, happening, event)
        self.wake()

    def _tell(self, channel: Channel, happening: Happening, event: ReceivedEvent) -> None:
        match happening:
            case Subscribed():
                channel.state = Subscription.SUBSCRIBED
                channel.call_back(event.called("pusher:subscription_succeeded", self.members_of(channel.name)))
            case MemberJoined():
                channel.call_back(event.called("pusher:member_added", happening.member))
            case MemberGone():
                channel.call_back(event.called("pusher:member_removed", happening.member))
            case ReceivedEvent():
                channel.deliver(event)

    def ended(self, closed: Closed) -> None:
        """The link is gone, and not because we closed it."""
        if self.closed is not None:
            return
        self._link = None
        self._subscriber.lost()
        self.connection.socket_id = None
        self._signed_in = None
        backoff = self._settings.reconnect
        delay = backoff.delay(closed.code, self._attempt, self._random) if backoff is not None else None
        if delay is None:
            refused = 4000 <= closed.code <= 4099
            self._over(closed, State.FAILED if refused else State.DISCONNECTED)
            return
        for channel in self._channels.values():
            channel.state, channel.asked = Subscription.PENDING, False
        self._attempt += 1
        self.connection.become(State.CONNECTING if delay == 0 else State.UNAVAILABLE)
        clock = self._runtime.clock
        self._runtime.call_at(clock.now() + delay, lambda: self._runtime.start_soon(self._reconnect))
        self.wake()

    def _opened(self, opened: Opened) -> None:
        self._attempt = 0
        self.activity_timeout = opened.activity_timeout
        self.connection.socket_id = opened.socket_id
        self.connection.become(State.CONNECTED)
        if self._channels or self._asking.wants_user:
            self._runtime.start_soon(self._asking.again)

    def _refused(self, refused: RefusedByServer, event: ReceivedEvent) -> None:
        channel = self._channels.get(refused.channel or "")
        if channel is not None:
            self.refuse(channel, SubscriptionRefused(channel.name, refused.message, refused.code), event)
        elif refused.signin:
            self._asking.refusal = refused.message
        self.connection.error(refused.message, refused.code)

    def refuse(self, channel: Channel, refusal: SubscriptionRefused, event: ReceivedEvent | None = None) -> None:
        """We are not let into ``channel``: tell whoever waits for it or is bound to it."""
        channel.refusal = refusal
        channel.state = Subscription.REFUSED
        self._channels.pop(channel.name, None)
        event = event or ReceivedEvent("", channel.name, None, None, b"")
        channel.call_back(event.called("pusher:subscription_error", refusal))
        self.wake()

    def _over(self, closed: Closed, state: State) -> None:
        self.closed = closed
        self._link = None
        self.connection.become(state)
        self.wake()

    def _drop(self, channel: Channel) -> None:
        channel.state = Subscription.ENDED
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
        self._subscriber.forget(channel.name)
        self.wake()

    def _give_up(self, channel: Channel) -> None:
        """Forget a subscribe that may be on its way to the server, and undo it there."""
        self._drop(channel)
        if channel.asked and self._link is not None:
            self._runtime.start_soon(lambda: self._send_if_open(self._subscriber.unsubscribe(channel.name)))

    async def _reconnect(self) -> None:
        if self.closed is not None:
            return
        self.connection.become(State.CONNECTING)
        try:
            self._link = await self._connector(self)
        except Closed as closed:
            self.ended(closed)
            return
        if self.closed is not None:  # closed by us meanwhile
            self._link.close()
        self.pump()

    async def _send(self, text: bytes) -> None:
        if self._link is None:
            raise self.closed or Closed(1006, "not connected just now")
        if self._settings.tap is not None:
            self._settings.tap("sent", text)
        await self._link.send(text)

    async def _send_if_open(self, text: bytes) -> None:
        try:
            await self._send(text)
        except Closed:
            pass

    async def _do_work(self) -> None:
        while self._work:
            try:
                await self._work[0]
            except Exception:  # noqa: BLE001 - as above
                _log.exception("a callback of a client failed")
            finally:
                self._work.popleft()
