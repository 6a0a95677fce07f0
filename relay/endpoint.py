"""Where an App's webhooks go to: one receiver, and what it wants to hear."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from relay.errors import UsageError

KINDS = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
)
"""What a webhook may tell of (protocol 7.2)."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_OURS = ("content-type", "content-length", "transfer-encoding", "connection", "x-pusher-key", "x-pusher-signature")
_COUNTS = ("batch_size", "max_queued", "max_queued_bytes")


class WebhookEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One receiver of an App's webhooks. Immutable; its ``repr`` hides what may be secret.

    Raises :class:`~relay.errors.UsageError` for values that cannot work.
    """

    url: str
    """``http://`` or ``https://``, without a user or a fragment: credentials belong in ``headers``."""
    events: tuple[str, ...] = KINDS
    """The kinds to send; all by default."""
    channel_prefixes: tuple[str, ...] = ()
    """Send only what is about channels whose names begin with one of these. Empty: about every channel."""
    headers: Mapping[str, str] = {}
    """Headers to send besides those that the signature needs."""
    batching: bool = False
    """Whether several events may share a request. Else each has a request of its own, as hosted Pusher does it by
    default.
    """
    batch_interval: float = 0.05
    """Seconds, at most 60, that events are gathered for one request."""
    batch_size: int = 100
    """Events of one request, which goes as soon as it has so many."""
    timeout: float = 4.0
    """Seconds, above 0 and at most 60, that one attempt may take, from the connection to the status."""
    max_queued: int = 10_000
    """Events that may wait; the oldest makes room for one more and is given up."""
    max_queued_bytes: int = 16 << 20
    """Bytes of all events that wait; room is made in the same way."""

    def __post_init__(self) -> None:
        if problem := (
            _no_url(self.url)
            or _no_kinds(self.events)
            or _no_prefixes(self.channel_prefixes)
            or _no_headers(self.headers)
            or _no_seconds("batch_interval", self.batch_interval)
            or _no_seconds("timeout", self.timeout)
        ):
            raise UsageError(problem)
        if not isinstance(self.batching, bool):
            raise UsageError(f"a webhook's batching must be True or False, got {self.batching!r}")
        if self.timeout == 0:
            raise UsageError("a webhook's timeout must be above 0")
        for field in _COUNTS:
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"a webhook's {field} must be a whole number above 0, got {value!r}")

    def __hash__(self) -> int:
        return hash((self.url, self.events, self.channel_prefixes, tuple(self.headers.items())))

    def __repr__(self) -> str:
        headers = f", headers={dict.fromkeys(self.headers, '***')!r}" if self.headers else ""
        return f"WebhookEndpoint({self.shown!r}{headers})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """What rich shows, in tracebacks too: as ``repr``, and no secret."""
        return [("url", self.shown), ("headers", dict.fromkeys(self.headers, "***"))]

    @property
    def shown(self) -> str:
        """The URL without its query, which may hold a token: for logs and facts."""
        head, mark, _ = self.url.partition("?")
        return f"{head}?***" if mark else head

    def wants(self, kind: str, channel: str) -> bool:
        """Whether an event of ``kind`` about ``channel`` is to be sent."""
        return kind in self.events and (not self.channel_prefixes or channel.startswith(self.channel_prefixes))


def _no_url(value: object) -> str | None:
    """What is wrong with ``value`` as an address, if anything is. It is told without query and user."""
    wanted = "a webhook's url must look like 'https://example.com/webhooks'"
    if not isinstance(value, str):
        return f"{wanted}, got {type(value).__name__}"
    if not value.isascii() or not value.isprintable() or " " in value:
        return f"{wanted}: ASCII without spaces and control characters"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{wanted}: host or port cannot be read"
    problem = None
    if parts.scheme not in ("http", "https"):
        problem = f"http or https, got {parts.scheme or 'no scheme'!r}"
    elif not host:
        problem = "it has no host"
    elif "@" in parts.netloc:
        problem = f"without a user and password before {host!r}, which belong in headers"
    elif "#" in value:
        problem = "without a '#'"
    return f"{wanted}: {problem}" if problem else None


def _no_kinds(value: object) -> str | None:
    """What is wrong with ``value`` as kinds of events, if anything is."""
    if not isinstance(value, tuple) or not value:
        return f"a webhook's events must be a tuple of one or more kinds, got {value!r}"
    for kind in value:
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1) if isinstance(kind, str) else []
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return f"a webhook's events are of {', '.join(KINDS)}, got {kind!r}{hint}"
    return None


def _no_prefixes(value: object) -> str | None:
    """What is wrong with ``value`` as beginnings of channel names, if anything is."""
    if not isinstance(value, tuple) or not all(isinstance(prefix, str) and prefix for prefix in value):
        return f"a webhook's channel_prefixes must be a tuple of strings that are not empty, got {value!r}"
    return None


def _no_headers(value: object) -> str | None:
    """What is wrong with ``value`` as headers, if anything is. The values, which may be secrets, are not told."""
    if not isinstance(value, Mapping):
        return f"a webhook's headers must be a mapping of names to values, got {type(value).__name__}"
    for name, content in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return f"a webhook's headers have names of letters, digits and '-', got {name!r}"
        if name.lower() in _OURS:
            return f"a webhook's header {name} is set by Relay"
        if not isinstance(content, str) or not _VALUE.fullmatch(content):
            return f"the value of a webhook's header {name} must be text of printable ASCII"
    return None


def _no_seconds(field: str, value: object) -> str | None:
    """What is wrong with ``value`` as seconds, if anything is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 60:
        return None
    return f"a webhook's {field} must be a number of seconds up to 60, got {value!r}"
