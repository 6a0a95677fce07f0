"""One client's protocol state, without I/O, clock or randomness.

The owner feeds it what the client sent and does what it answers::

    action = session.receive(text, now)

    Reply      send these bytes
    Join       put the connection into the channel, then say session.joined(...) or session.left(...)
    Leave      take it out of the channel; the session has forgotten it already
    Publish    hand a client event to the channel's other subscribers
    Signin     the client is now this user; send the acknowledgement
    None       nothing to do (a pong)

``receive`` raises :class:`Refused` (send pusher:error, keep the connection) or :class:`Disconnect`
(close it). A subscription walks through one small machine, drawn from the client's side::

    (none) --subscribe--> joining --joined--> subscribed --unsubscribe--> (none)
                             `------left-----------------------^

The order of checks is that of protocol 2.6.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from relay.app import App
from relay.errors import CLIENT_EVENT_RATE, POLICY_VIOLATION, WATCHLIST_TOO_LONG, Disconnect, Refused, Unproven
from relay.limits import TokenBucket
from relay.protocol import messages, names, signing
from relay.protocol.messages import Identity, Inbound
from relay.protocol.names import Kind

REFUSALS_PER_SECOND: Final = 100
"""Messages that a client may have refused again and again."""
REFUSALS_AT_ONCE: Final = 1000
"""And so many in one go, after a rest."""


class Reply(msgspec.Struct, frozen=True):
    """Send ``text`` to this client."""

    text: bytes


class Join(msgspec.Struct, frozen=True):
    """Put the connection into ``channel``.

    ``member`` is who it is on a presence channel. With ``unsigned`` True the client gave no ``auth``:
    the owner must ask its own authorizer, and refuse with ``refusal`` if it has none.
    """

    channel: str
    kind: Kind
    member: Identity | None = None
    unsigned: bool = False

    @property
    def refusal(self) -> Refused:
        """What to answer when nobody vouches for the client."""
        return Unproven(f"Auth info required to subscribe to {self.channel}", channel=self.channel)


class Subscription(msgspec.Struct):
    """One channel of this client. ``joining`` until the owner says ``joined``."""

    kind: Kind
    member: Identity | None
    joining: bool = True


class Leave(msgspec.Struct, frozen=True):
    """Take the connection out of ``channel``; ``was`` is the subscription that ends."""

    channel: str
    was: Subscription


class Publish(msgspec.Struct, frozen=True):
    """Deliver a client event to everyone in ``channel`` but the sender; ``text`` is the finished frame."""

    channel: str
    event: str
    text: bytes
    user_id: str | None


class Signin(msgspec.Struct, frozen=True):
    """The client proved to be ``user``; ``text`` is the acknowledgement.

    From now on it watches the users on ``watchlist``; ``excess`` tells it that it asked for more of them.
    """

    user: Identity
    text: bytes
    watchlist: tuple[str, ...] = ()
    excess: Refused | None = None


Action = Reply | Join | Leave | Publish | Signin


def accept(app: App | None, key: str, protocol: str | None, *, secure: bool, origin: str | None = None) -> App:
    """Judge a new connection: the App it may use.

    ``app`` is the one that ``key`` names, if any; ``protocol`` the raw query value. Protocols 5, 6 and 7
    are spoken; none given is refused, since old rules would apply (protocol 1.1, 1.7). ``origin`` is of the page
    that the client runs in, None where it runs in no browser. It is refused as Laravel Reverb does: pusher-js stops.
    Raises :class:`Disconnect`.
    """
    if app is None:
        shown = key if len(key) <= 40 else key[:40] + "..."
        raise Disconnect(f"App key {shown} not in this cluster. Did you forget to specify the cluster?", 4001)
    if not app.enabled:
        raise Disconnect("App is disabled", 4003)
    if app.tls_only and not secure:
        raise Disconnect("App accepts TLS only: connect with wss", 4000)
    if app.allowed_origins and origin is not None and origin not in app.allowed_origins:
        raise Disconnect("Origin not allowed", 4009)
    if protocol is None or protocol == "":
        raise Disconnect("No protocol version: add protocol=7 to the URL", 4008)
    if not (protocol.isascii() and protocol.isdigit()):
        raise Disconnect("Invalid protocol version: should be 5, 6 or 7", 4006)
    if protocol.lstrip("0") not in ("5", "6", "7"):
        raise Disconnect("Unsupported protocol version: should be 5, 6 or 7", 4007)
    return app


class Session:
    """The protocol state of the connection ``socket_id`` to ``app``."""

    __slots__ = ("_client_events", "_refusals", "app", "socket_id", "subscriptions", "user")

    def __init__(self, app: App, socket_id: str) -> None:
        self.app = app
        self.socket_id = socket_id
        self.subscriptions: dict[str, Subscription] = {}
        self.user: Identity | None = None
        self._client_events: TokenBucket | None = None
        self._refusals: TokenBucket | None = None

    def receive(self, text: str | bytes, now: float) -> Action | None:
        """What to do about one frame of the client; ``now`` in seconds of any monotonic clock."""
        try:
            return self._receive(messages.read(text), now)
        except Refused:
            self.count_refusal(now)
            raise

    def count_refusal(self, now: float) -> None:
        """Note that the client asked for something it may not have.

        Raises :class:`Disconnect` when it does nothing else (protocol 1.9).
        """
        if self._refusals is None:
            self._refusals = TokenBucket(REFUSALS_PER_SECOND, REFUSALS_AT_ONCE, now)
        if not self._refusals.take(now):
            raise Disconnect("Too many invalid messages", POLICY_VIOLATION)

    def joined(self, channel: str) -> None:
        """The owner acknowledged the Join of ``channel``."""
        self.subscriptions[channel].joining = False

    def holds(self, channel: str, subscription: Subscription) -> bool:
        """Whether ``subscription`` is still the one of ``channel``: not left meanwhile, and asked for anew perhaps."""
        return self.subscriptions.get(channel) is subscription

    def left(self, channel: str) -> Subscription | None:
        """Forget ``channel``, whatever state it was in."""
        return self.subscriptions.pop(channel, None)

    def _receive(self, inbound: Inbound, now: float) -> Action | None:
        match inbound.event:
            case "pusher:ping":
                return Reply(messages.PONG)
            case "pusher:pong":
                return None
            case "pusher:subscribe":
                return self._subscribe(messages.read_data(inbound, messages.SubscribeData))
            case "pusher:unsubscribe":
                return self._unsubscribe(messages.read_data(inbound, messages.UnsubscribeData).channel)
            case "pusher:signin":
                return self._signin(messages.read_data(inbound, messages.SigninData))
            case event if event.startswith("client-"):
                return self._client_event(inbound, now)
            case event:
                raise Refused(f"Unsupported event received on socket: {event[: names.MAX_EVENT_NAME]}")

    def _subscribe(self, data: messages.SubscribeData) -> Join:
        try:
            return self._join(data)
        except Refused as refused:
            raise naming(refused, data.channel) from None

    def _join(self, data: messages.SubscribeData) -> Join:
        channel = data.channel
        kind = names.kind_of(channel)
        if kind is Kind.USER:
            self._check_own_channel(channel)
        elif not names.is_channel(channel):
            raise Refused(
                f"Invalid channel name {channel[: names.MAX_EVENT_NAME]!r}:"
                " should be 1 to 200 characters of A-Z a-z 0-9 _ - = @ , . ;"
            )
        if channel in self.subscriptions:
            raise Refused(f"Existing subscription to channel {channel}", channel=channel)
        if len(self.subscriptions) >= self.app.max_subscriptions:
            raise Refused(
                f"Over subscription limit: {self.app.max_subscriptions} channels a connection", channel=channel
            )
        join = self._authorized(data, kind)
        self.subscriptions[channel] = Subscription(kind, join.member)
        return join

    def _authorized(self, data: messages.SubscribeData, kind: Kind) -> Join:
        channel = data.channel
        if kind in (Kind.PUBLIC, Kind.USER):
            return Join(channel, kind)
        if not data.auth:
            return Join(channel, kind, unsigned=True)
        presence = kind is Kind.PRESENCE
        signing.verify_channel(
            self.app, self.socket_id, channel, channel_data=data.channel_data, auth=data.auth, presence=presence
        )
        return Join(channel, kind, self._member(data.channel_data, channel) if presence else None)

    def _member(self, channel_data: str | None, channel: str) -> Identity:
        if channel_data:
            return check_member(self.app, messages.read_member(channel_data), channel)
        if self.user is None:
            raise Unproven(
                f"channel_data with a user_id is required to subscribe to {channel}, or a sign-in before it",
                channel=channel,
            )
        return check_member(self.app, self.user, channel)

    def _check_own_channel(self, channel: str) -> None:
        if self.user is None or channel != names.SERVER_TO_USER + self.user.user_id:
            raise Refused("Only the user signed in on this connection may subscribe to its server-to-user channel")

    def vouch(self, join: Join, member: Identity | None) -> Join:
        """``join`` with the member that the owner's authorizer named. Raises :class:`Refused`."""
        if join.kind is Kind.PRESENCE:
            member = member or self.user
            if member is None:
                raise Refused(f"No member given for {join.channel}", channel=join.channel)
            check_member(self.app, member, join.channel)
        self.subscriptions[join.channel].member = member
        return Join(join.channel, join.kind, member)

    def _unsubscribe(self, channel: str) -> Leave:
        subscription = self.left(channel)
        if subscription is None:
            raise Refused(
                f"No current subscription to channel {channel[: names.MAX_EVENT_NAME]}, or subscription in progress"
            )
        return Leave(channel, subscription)

    def _signin(self, data: messages.SigninData) -> Signin:
        if not self.app.user_authentication:
            raise Refused("To sign in, user authentication must be enabled for this app (signin)")
        signing.verify_user(self.app, self.socket_id, data.user_data, data.auth)
        try:
            user = check_member(self.app, messages.read_user(data.user_data), None)
            watchlist, excess = self._watchlist(data.user_data) if self.app.watchlists else ((), None)
        except Refused as refused:
            raise Refused(f"{refused.message} (signin)") from None
        if self.user is not None and self.user.user_id != user.user_id:
            raise Refused(f"Connection is signed in as {self.user.user_id} already")
        self.user = user
        return Signin(user, messages.signin_success(data.user_data), watchlist, excess)

    def _watchlist(self, user_data: str) -> tuple[tuple[str, ...], Refused | None]:
        """Whom the user watches, each once, and what to say about those who are too many (protocol 4.5)."""
        wanted, most = messages.read_watchlist(user_data), self.app.max_watchlist
        watchlist = tuple(dict.fromkeys(wanted[:most]))
        for user_id in watchlist:
            if not 0 < len(user_id) <= self.app.max_user_id:
                raise Refused(
                    f"Invalid user_data: watchlist has an id of {len(user_id)} characters,"
                    f" allowed are 1 to {self.app.max_user_id}"
                )
        if len(wanted) <= most:
            return watchlist, None
        reason = f"Watchlist too long: it has {len(wanted)} users, only the first {most} are watched"
        return watchlist, Refused(reason, WATCHLIST_TOO_LONG)

    def _client_event(self, inbound: Inbound, now: float) -> Publish:
        channel, name = inbound.channel, inbound.event
        if not self.app.client_events:
            raise Refused("To send client events, you must enable this feature in the Settings page of your dashboard.")
        if channel is None or len(inbound.data) == 0 or bytes(inbound.data) == b"null":
            raise Refused("Invalid client event (must contain channel and data)", channel=channel)
        if len(name) > names.MAX_EVENT_NAME:
            raise Refused(f"Invalid client event (name is longer than {names.MAX_EVENT_NAME} characters)")
        if names.kind_of(channel) not in (Kind.PRIVATE, Kind.PRESENCE):
            raise Refused("Client event rejected - only supported on private and presence channels")
        subscription = self.subscriptions.get(channel)
        if subscription is None or subscription.joining:
            shown = channel[: names.MAX_EVENT_NAME]
            raise Refused(f"Cannot broadcast client event (connection not subscribed to channel {shown})")
        data, size = messages.client_data(inbound)
        if size > self.app.max_event_bytes:
            raise Refused(too_large(self.app))
        if self._client_events is None:
            self._client_events = TokenBucket(self.app.client_event_rate, self.app.client_event_rate, now)
        if not self._client_events.take(now):
            raise Refused("Client event rejected due to rate limit", CLIENT_EVENT_RATE)
        user_id = subscription.member.user_id if subscription.member else None
        return Publish(channel, name, messages.event(name, channel, data, user_id), user_id)


def naming(refused: Refused, channel: str) -> Refused:
    """The refusal of a subscribe, with ``channel`` in its text: clients know by it which of theirs was refused.

    Hosted's words stay at the beginning, where people search for them (protocol 1.8).
    """
    shown = channel[: names.MAX_EVENT_NAME]
    if re.search(rf"(?<![\w-]){re.escape(shown)}(?![\w-])", refused.message) or repr(shown) in refused.message:
        return refused
    return type(refused)(f"{refused.message} (subscription to {shown})", refused.code, channel=refused.channel)


def too_large(app: App) -> str:
    """Hosted's words for event data above the limit."""
    return f"The data content of this event exceeds the allowed maximum ({app.max_event_bytes} bytes)."


def check_member(app: App, member: Identity, channel: str | None) -> Identity:
    """``member`` if its id and info are within the App's limits (protocol 13). Raises :class:`Refused`."""
    if len(member.user_id) > app.max_user_id:
        raise Refused(f"user_id has {len(member.user_id)} characters, allowed are {app.max_user_id}", channel=channel)
    if member.info is not None and len(member.info) > app.max_user_info_bytes:
        raise Refused(f"user_info has {len(member.info)} bytes, allowed are {app.max_user_info_bytes}", channel=channel)
    return member
