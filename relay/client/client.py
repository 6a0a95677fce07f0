"""The client itself: what an application holds, over any transport."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from relay.client.asking import Asking
from relay.client.callbacks import Callbacks
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
    RefusedByServer,
    SignedIn,
    Subscribed,
    Subscriber,
    member_of,
)
from relay.client.user import UserView, WatchlistEvents
from relay.errors import UsageError
from relay.protocol import messages, names
from relay.protocol.messages import Member, User
from relay.protocol.received import ReceivedEvent

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
        self._callbacks = Callbacks(runtime, self.callback_failed)
        self._undoing: deque[bytes] = deque()
        """The unsubscribes that go to the server before anything else does."""
        self._doubted: dict[str, Channel] = {}
        """Channels whose refusal named none: an acknowledgement that comes all the same is right."""
        self.user = UserView(self)

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
        are passed to it. ``auth`` is a ready answer of an auth endpoint instead, good for this connection only: after
        a reconnect it is asked for like any other, and refused where there is nobody to ask. A channel that we are in
        already is returned as it is.

        Raises :class:`SubscriptionRefused`, :class:`Closed`, and :class:`UsageError` where nothing could
        authorize it or we are in it as another user.
        """
        who = member_of(auth or {}) if user_id is None else Member(user_id, user_info)
        channel = self._channels.get(name)
        known = channel is not None
        if channel is None:
            channel = self._channels[name] = self._asking.channel(name, who, auth)
            self._doubted.pop(name, None)
        else:
            channel.must_be(who)
        channel.wanted += 1
        try:
            if not known:
                await self._asking.subscribe(channel)
            await self.until(lambda: channel.state is not Subscription.PENDING or self.closed is not None)
        except BaseException as error:
            self._give_up(channel, error)
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
            self._leave(channel)
            await self.undo()

    async def signin(
        self, user_id: str | None = None, user_info: object = None, *, watchlist: Sequence[str] = ()
    ) -> Channel:
        """Sign in as a user, and subscribe to the channel of events sent to that user (protocol 4).

        An auth endpoint decides itself who we are and whom we watch. Raises :class:`SigninRefused`.
        """
        asking = self._asking
        before = asking.user, asking.wants_user
        asking.user = None if user_id is None else User(user_id, user_info, watchlist)
        asking.wants_user = True
        asking.refusal = self.user.id = None
        try:
            await asking.signin()
            await self.until(lambda: bool(self.user.id or asking.refusal or self.closed))
            if asking.refusal is not None:
                raise SigninRefused(asking.refusal)
            if self.user.id is None:
                raise self.closed or SigninRefused("the connection was lost meanwhile")
        except BaseException:
            asking.user, asking.wants_user = before
            raise
        return await self.subscribe(names.SERVER_TO_USER + self.user.id)

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
            self._news = self._news or anyio.Event()
            await self._news.wait()
            self.pump()

    def pump(self) -> None:
        """Take in what arrived."""
        if self._link is not None:
            self._link.pump()

    def wake(self) -> bool:
        """Something arrived: let whoever waits look. False if nobody waits."""
        news, self._news = self._news, None
        if news is not None:
            news.set()
        return news is not None

    def members_of(self, channel: str) -> Members:
        """Who is in a presence channel."""
        return self._subscriber.members.get(channel) or Members()

    def run(self, callback: Callable[..., object], argument: object) -> None:
        """Call back; what a coroutine function has to do is done in order, beside the reading."""
        self._callbacks.run(callback, argument)

    def callback_failed(self, error: BaseException) -> bool:
        """A callback of the application raised ``error``, which is its own and told in the log; False if it is not."""
        if isinstance(error, Exception):
            _log.error("a callback of a client failed", exc_info=error)
        return isinstance(error, Exception)

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
                self.user.id = happening.user_id
            case WatchlistEvents():
                self.user.watchlist.told(happening)
            case _:
                channel = self._channels.get(event.channel or "")
                if channel is None and isinstance(happening, Subscribed):
                    channel = self._taken_back(happening.channel)
                if channel is not None:
                    self._tell(channel, happening, event)
        self.wake()

    def _tell(self, channel: Channel, happening: Happening, event: ReceivedEvent) -> None:
        match happening:
            case Subscribed():
                channel.state = Subscription.SUBSCRIBED
                channel.happened(event.called("pusher:subscription_succeeded", self.members_of(channel.name)))
            case MemberJoined():
                channel.happened(event.called("pusher:member_added", happening.member))
            case MemberGone():
                channel.happened(event.called("pusher:member_removed", happening.member))
            case ReceivedEvent():
                channel.deliver(event)

    def ended(self, closed: Closed) -> None:
        """The link is gone, and not because we closed it."""
        if self.closed is not None:
            return
        self._link = None
        self._undoing.clear()
        self._doubted.clear()
        self._subscriber.lost()
        self.connection.socket_id = None
        self.user.lost()
        backoff = self._settings.reconnect
        delay = backoff.delay(closed.code, self._attempt, self._random) if backoff is not None else None
        if delay is None:
            self._over(closed, State.FAILED if 4000 <= closed.code <= 4099 else State.DISCONNECTED)
            return
        for channel in self._channels.values():
            channel.state, channel.asked = Subscription.PENDING, False
        self._attempt += 1
        self.connection.become(State.CONNECTING if delay == 0 else State.UNAVAILABLE)
        self._runtime.call_at(self._runtime.clock.now() + delay, lambda: self._runtime.start_soon(self._reconnect))
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
            if refused.guessed:
                self._doubted[channel.name] = channel
        elif refused.signin:
            self._asking.refuse(refused.message)
        self.connection.error(refused.message, refused.code)

    def _taken_back(self, name: str) -> Channel | None:
        """The channel whose refusal was a wrong guess: we are in it."""
        channel = self._doubted.pop(name, None)
        if channel is not None:
            channel.refusal = None
            self._channels[name] = channel
        return channel

    def refuse(self, channel: Channel, refusal: SubscriptionRefused, event: ReceivedEvent | None = None) -> None:
        """We are not let into ``channel``: tell whoever waits for it or is bound to it."""
        channel.refusal = refusal
        channel.state = Subscription.REFUSED
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
        frame = event or ReceivedEvent("", channel.name, None, None, b"")
        channel.happened(frame.called("pusher:subscription_error", refusal))
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

    def _leave(self, channel: Channel) -> None:
        """Forget a channel, and undo at the server what it was asked for, even if nobody waits for that."""
        self._drop(channel)
        if channel.asked and self._link is not None:
            self._undoing.append(self._subscriber.unsubscribe(channel.name))
            self._runtime.start_soon(self.undo)

    def _give_up(self, channel: Channel, error: BaseException) -> None:
        """One caller of ``subscribe`` is left by ``error``; the channel stays while another one wants it."""
        channel.wanted -= 1
        if channel.state is Subscription.PENDING:
            if channel.wanted and not isinstance(error, Exception):
                self._runtime.start_soon(self._asking.again)  # the others may have relied on this one to ask
            else:
                self._leave(channel)

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

    async def undo(self) -> None:
        """Send the unsubscribes that wait."""
        while self._undoing:
            try:
                await self._put(self._undoing.popleft())
            except Closed:
                pass

    async def _send(self, text: bytes) -> None:
        await self.undo()
        await self._put(text)

    async def _put(self, text: bytes) -> None:
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
