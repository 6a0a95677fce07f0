"""Everything Relay raises, by what happens next, and the close codes of the protocol.

::

    RelayError
    ├── UsageError            the embedding program is wrong; also a ValueError
    │   └── TooLarge          an event whose data exceeds the App's limit (REST answers 413)
    ├── HubClosed             a verb was used before the hub runs, or after it stopped
    ├── FellBehind            application code read the events it subscribed to too slowly; .lost
    ├── ProtocolError         the client is wrong; .code, .message
    │   ├── Refused           the client gets pusher:error, its connection stays
    │   │   └── Unproven      it did not prove that it may: auth is missing or wrong; see relay.explain
    │   └── Disconnect        the client is closed; .retry says when it may come back
    ├── RequestError          the REST caller is wrong; .status, .message
    │   ├── Unauthorized      401, 403: key, secret or clock do not fit, or the App may not
    │   └── RateLimited       429: too much, later again; .retry_after
    ├── HostError             a host asked over REST failed, later may be better; .status, .maybe_done
    │   ├── Unreachable       it gave no answer
    │   └── BadAnswer         it answered what no Pusher-compatible host does
    ├── PublisherClosed       a REST client was used after it was closed
    ├── QueueFull             too much waits to be sent already
    ├── InvalidWebhook        this is no genuine webhook: refuse it
    └── BrokerError           the link to other nodes failed
        ├── BrokerUnavailable it cannot be reached; .maybe_done
        └── SettingsDiffer    other nodes run with other settings; .setting, .ours, .theirs

Messages name what was wrong, what is allowed and the value seen, never a secret.
"""

from __future__ import annotations

import enum


class CloseCode(enum.IntEnum):
    """Pusher's WebSocket close codes (protocol 1.7). The range tells a client whether to come back."""

    TLS_ONLY = 4000
    UNKNOWN_APP = 4001
    APP_DISABLED = 4003
    OVER_QUOTA = 4004
    PATH_NOT_FOUND = 4005
    INVALID_VERSION = 4006
    UNSUPPORTED_PROTOCOL = 4007
    NO_PROTOCOL = 4008
    UNAUTHORIZED = 4009
    OVER_CAPACITY = 4100
    RECONNECT = 4200
    PONG_MISSED = 4201
    INACTIVE = 4202


CLIENT_EVENT_RATE = 4301
"""Code of the pusher:error for client events sent too fast. Never a close code (protocol 1.7)."""

WATCHLIST_TOO_LONG = 4302
"""Code of the pusher:error for a watchlist that is not watched to its end. Never a close code either."""

POLICY_VIOLATION = 1008
"""RFC 6455's own code, for a client that sends nothing but rubbish. pusher-js comes back after 1 s."""


class Retry(enum.Enum):
    """When a client that was closed may come back (protocol 1.7)."""

    NEVER = "never"
    BACKOFF = "backoff"
    NOW = "now"


class RelayError(Exception):
    """Whatever Relay raises on purpose."""


class UsageError(RelayError, ValueError):
    """The embedding program passed something that cannot work; the message says what would."""


class TooLarge(UsageError):
    """Event data above the App's ``max_event_bytes``."""


class HubClosed(RelayError):
    """The hub does not run: use ``async with hub``, ``hub.run()`` or a transport's ``setup`` first."""


class FellBehind(RelayError):
    """Application code read too slowly: its subscription to ``channels`` ended, and ``lost`` events are gone so far."""

    def __init__(self, channels: str, lost: int) -> None:
        super().__init__(
            f"the reader of {channels} fell behind and lost {lost} events: read faster, raise App.max_backlog and"
            " max_backlog_frames, or let App.slow_consumers drop events"
        )
        self.channels = channels
        self.lost = lost


class ProtocolError(RelayError):
    """A client broke a rule of the protocol.

    ``code`` is what goes into pusher:error or the close frame (None for most refusals), ``message`` is
    the text the client sees.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Refused(ProtocolError):
    """One request of a client is refused; it gets pusher:error and its connection stays (protocol 1.8).

    ``channel`` is the channel it was about, if any.
    """

    def __init__(self, message: str, code: int | None = None, *, channel: str | None = None) -> None:
        super().__init__(message, code)
        self.channel = channel


class Unproven(Refused):
    """A client did not prove that it may have what it asks for: its ``auth`` is missing or wrong (protocol 2.3)."""


class Disconnect(ProtocolError):
    """A client is to be closed with ``code`` and ``message`` (protocol 1.7)."""

    code: int

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)

    @property
    def retry(self) -> Retry:
        """When the client may come back, as the range of the code says."""
        if 4000 <= self.code <= 4099:
            return Retry.NEVER
        if 4200 <= self.code <= 4299:
            return Retry.NOW
        return Retry.BACKOFF


class RequestError(RelayError):
    """A REST request is refused with ``status``; ``message`` is the plain-text body (protocol 6.5)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Unauthorized(RequestError):
    """401 or 403: the host does not accept the key, the signature or the clock, or the App is switched off."""


class RateLimited(RequestError):
    """429: the host was asked too often. ``retry_after`` is the pause it asks for in seconds, if it says."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(429, message)
        self.retry_after = retry_after


class HostError(RelayError):
    """A host asked over REST did not do its part: a 5xx, no answer, or one that cannot be read.

    ``status`` is the HTTP status, None without one. ``maybe_done`` is False where the host surely did not
    do what it was asked, so that asking again cannot do it twice. ``retry_after`` is the pause the host
    asks for in seconds, if it says.
    """

    def __init__(
        self, message: str, *, status: int | None = None, maybe_done: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.maybe_done = maybe_done
        self.retry_after = retry_after


class Unreachable(HostError):
    """No connection, no answer in time, or a connection that was lost before the whole answer came."""


class BadAnswer(HostError):
    """An answer that is not one of the REST API: a redirect, no JSON, other JSON than documented."""


class PublisherClosed(RelayError):
    """A REST client was used after ``aclose``, or closed before it had sent what was queued."""


class QueueFull(RelayError):
    """The host does not keep up: as many events as allowed wait to be sent, and this one was not taken."""


class InvalidWebhook(RelayError):
    """A request that claims to be a webhook and is not, or is too old; the message says which."""


class BrokerError(RelayError):
    """The broker or directory did not do what was asked."""


class BrokerUnavailable(BrokerError):
    """The broker or directory cannot be reached; this node serves its own clients meanwhile.

    ``maybe_done`` is False where it surely did not get what it was to do, so that asking again cannot do it twice.
    """

    def __init__(self, message: str = "", *, maybe_done: bool = True) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


class SettingsDiffer(BrokerError):
    """What all nodes of a cluster have to have the same is ``ours`` on this node and ``theirs`` on the others: they
    would miss each other's events and members. A node does not start like that, and one that runs is not ready.
    """

    def __init__(self, message: str, *, setting: str, ours: str, theirs: str) -> None:
        super().__init__(message)
        self.setting, self.ours, self.theirs = setting, ours, theirs
