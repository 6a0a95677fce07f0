"""One App: a set of credentials with its limits and switches."""

from __future__ import annotations

import base64
import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

import msgspec

from relay.backlog import POLICIES, Policy
from relay.endpoint import WebhookEndpoint
from relay.errors import UsageError

_URL_FORM = "https://KEY:SECRET@HOST/apps/APP_ID"
_positive = (
    "activity_timeout",
    "pong_timeout",
    "max_backlog",
    "max_backlog_frames",
    "max_message_bytes",
    "max_event_bytes",
    "max_event_channels",
    "max_batch",
    "max_members",
    "max_user_id",
    "max_user_info_bytes",
    "max_subscriptions",
    "max_watchlist",
    "client_event_rate",
    "cache_ttl",
    "max_cached_channels",
    "max_cached_bytes",
)
_positive_or_none = ("authorized_within", "max_connections", "rest_rate")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]+)?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_switches = (
    "enabled",
    "tls_only",
    "client_events",
    "user_authentication",
    "watchlists",
    "subscription_counts",
    "subscription_errors",
    "webhook_private_addresses",
)


class App(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set of credentials, with what its clients may do. Immutable; its ``repr`` hides the secrets.

    ``id`` should be digits only, since several server SDKs accept nothing else; ``key`` should be lower
    case, since the Swift SDK lower-cases what it signs (protocol 2.3, 6.1).

    Raises :class:`~relay.errors.UsageError` for values that cannot work.
    """

    id: str
    key: str
    secret: str
    enabled: bool = True
    """False closes every client with 4003 and answers REST calls with 403."""
    tls_only: bool = False
    """True closes clients that come without TLS with 4000."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of pages that may connect, each exactly as browsers write it: ``https://example.com``, with a port only
    where it is not the default one. Others are closed with 4009. Clients that send no ``Origin``, as those that are no
    browsers, may always connect, since they could send any. Empty: every page may.
    """
    client_events: bool = False
    """Whether clients may send ``client-`` events to private and presence channels (protocol 3)."""
    user_authentication: bool = True
    """Whether clients may sign in as a user (protocol 4)."""
    authorized_within: int | None = None
    """Seconds in which a client must have signed in, or be in a channel that asks for authorization; else it is
    closed with 4009 (protocol 4.4). None: it need not.
    """
    watchlists: bool = False
    """Whether users are told when those on their ``watchlist`` come online and go offline (protocol 4.5)."""
    subscription_counts: bool = False
    """Whether the subscribers of a channel are told how many they are (protocol 5); never on presence channels."""
    encryption_master_key: str | None = None
    """Base64 of the 32 bytes that encrypted channels' secrets are made from (protocol 8.3). As secret as ``secret``,
    and the same in every server SDK that publishes to these channels. None: there are no encrypted channels.
    """
    subscription_errors: bool = False
    """Also send ``pusher:subscription_error`` after a refused subscribe, for Echo's ``.error()`` (2.3)."""
    activity_timeout: int = 120
    """Seconds of silence after which a client is pinged."""
    pong_timeout: int = 30
    """Seconds a pinged client has to show life before it is closed with 4201."""
    max_connections: int | None = None
    """Connections at once on this node; one more is closed with 4004. None: no bound."""
    slow_consumers: Policy = "disconnect"
    """What becomes of a client that does not keep up: ``disconnect`` closes it with 4100, ``drop_oldest`` drops the
    oldest events that wait for it, ``latest_only`` keeps of what waits only the newest of each channel and event name.
    """
    max_backlog: int = 1 << 20
    """Bytes that may wait for one slow client before ``slow_consumers`` decides."""
    max_backlog_frames: int = 10_000
    """Frames that may wait for one slow client before ``slow_consumers`` decides."""
    flush_interval: float = 0.0
    """Seconds, at most 1, that events of one connection are gathered before they are written together. 0 writes at
    the end of the event loop's turn; a little more saves CPU where many events go to many clients.
    """
    max_message_bytes: int = 256 << 10
    """Bytes of one frame from a client; a larger one ends the connection with 1009."""
    max_event_bytes: int = 10_240
    """UTF-8 bytes of ``data`` of one event."""
    max_event_channels: int = 100
    """Channels one ``trigger`` may name."""
    max_batch: int = 10
    """Events in one batch."""
    max_members: int = 100
    """Distinct users in one presence channel, over all nodes."""
    max_user_id: int = 128
    """Characters of a user id."""
    max_user_info_bytes: int = 1024
    """UTF-8 bytes of a member's ``user_info``."""
    max_subscriptions: int = 10_000
    """Channels one connection may be subscribed to."""
    max_watchlist: int = 100
    """Users on one watchlist; of a longer one these first are watched, and the client is told with 4302."""
    offline_grace: float = 2.0
    """Seconds, at most 60, that a user without any connection still counts as online: a reload of the page is no news.
    """
    client_event_rate: int = 10
    """Client events one connection may send a second."""
    rest_rate: int | None = None
    """REST calls a second to this node; one more is answered with 429. None: no bound."""
    cache_ttl: int = 1800
    """Seconds that the last event of a cache channel is kept for new subscribers (protocol 2.5)."""
    max_cached_channels: int = 10_000
    """Cache channels whose last event is kept, over all nodes; the one that was published longest ago makes room."""
    max_cached_bytes: int = 16 << 20
    """Bytes of all kept events and the names of their channels; room is made in the same way."""
    webhooks: tuple[WebhookEndpoint, ...] = ()
    """Who is told over HTTP what happens (protocol 7). Nobody by default."""
    webhook_private_addresses: bool = True
    """False sends no webhook to an address that is not public: not to this machine, not into its own network."""

    def __post_init__(self) -> None:
        for field in ("id", "key", "secret"):
            _check_text(field, getattr(self, field))
        for field in ("id", "key"):
            value = getattr(self, field)
            if "/" in value or not value.isprintable() or " " in value:
                raise UsageError(f"App.{field} stands in URLs: no slash, space or control character, got {value!r}")
        for field in _switches:
            value = getattr(self, field)
            if not isinstance(value, bool):
                raise UsageError(f"App.{field} must be True or False, got {value!r}")
        for field in (*_positive, *_positive_or_none):
            value = getattr(self, field)
            if field in _positive_or_none and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"App.{field} must be a whole number above 0, got {value!r}")
        if problem := (
            _no_origins(self.allowed_origins)
            or _no_policy(self.slow_consumers)
            or _no_seconds("flush_interval", self.flush_interval, 1)
            or _no_seconds("offline_grace", self.offline_grace, 60)
            or _no_master_key(self.encryption_master_key)
            or _no_webhooks(self.webhooks)
        ):
            raise UsageError(problem)

    def __repr__(self) -> str:
        return f"App(id={self.id!r}, key={self.key!r}, secret='***')"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """What rich shows, in tracebacks too: as ``repr``, and no secret."""
        return [("id", self.id), ("key", self.key), ("secret", "***")]

    @classmethod
    def from_url(cls, url: str, settings: Mapping[str, object] | None = None) -> App:
        """The App that ``https://KEY:SECRET@HOST/apps/APP_ID`` (the form of ``PUSHER_URL``) stands for.

        The host does not matter here. ``settings`` holds other fields of App by name.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:  # its text may quote the secret
            raise UsageError(f"Pusher URL cannot be read: should be {_URL_FORM}, special characters escaped") from None
        head, _, app_id = parts.path.rstrip("/").rpartition("/")
        missing = [
            what
            for what, seen in (
                ("a scheme http or https", parts.scheme in ("http", "https")),
                ("a key", parts.username),
                ("a secret", parts.password),
                ("a host", host),
                ("a path ending in /apps/APP_ID", head.endswith("/apps") and app_id),
            )
            if not seen
        ]
        if missing:
            raise UsageError(
                f"Pusher URL lacks {', '.join(missing)}: should be {_URL_FORM}, special characters escaped"
            )
        credentials = {"id": app_id, "key": unquote(parts.username or ""), "secret": unquote(parts.password or "")}
        return cls._of({**credentials, **(settings or {})})

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, settings: Mapping[str, object] | None = None) -> App:
        """The App described by ``PUSHER_URL``, or by ``PUSHER_APP_ID``, ``PUSHER_KEY`` and ``PUSHER_SECRET``.

        ``PUSHER_APP_KEY`` and ``PUSHER_APP_SECRET`` (Laravel's names) are read too.
        """
        environ = os.environ if environ is None else environ
        if url := environ.get("PUSHER_URL"):
            return cls.from_url(url, settings)
        found = {
            "id": environ.get("PUSHER_APP_ID"),
            "key": environ.get("PUSHER_KEY") or environ.get("PUSHER_APP_KEY"),
            "secret": environ.get("PUSHER_SECRET") or environ.get("PUSHER_APP_SECRET"),
        }
        if missing := [
            f"PUSHER_{'APP_ID' if name == 'id' else name.upper()}" for name, seen in found.items() if not seen
        ]:
            raise UsageError(f"environment lacks {', '.join(missing)}: set them, or PUSHER_URL={_URL_FORM}")
        return cls._of({**found, **(settings or {})})

    @classmethod
    def from_toml(cls, text: str) -> tuple[App, ...]:
        """The Apps of a TOML text, one for each ``[[apps]]`` table; keys are the fields of App."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"not TOML: {error}") from None
        return cls.from_tables(document.get("apps"))

    @classmethod
    def from_tables(cls, tables: object) -> tuple[App, ...]:
        """The Apps of already parsed ``[[apps]]`` tables."""
        if not isinstance(tables, Sequence) or isinstance(tables, str) or not tables:
            raise UsageError("configuration needs at least one [[apps]] table with id, key and secret")
        return tuple(cls._of(table, where=f"apps[{i}]: ") for i, table in enumerate(tables))

    @classmethod
    def _of(cls, table: object, where: str = "") -> App:
        if not isinstance(table, Mapping):
            raise UsageError(f"{where}should be a table of App fields, got {type(table).__name__}")
        check_keys(table, cls.__struct_fields__, where)
        if problem := _no_policy(table.get("slow_consumers", POLICIES[0])):  # msgspec would not tell what is allowed
            raise UsageError(where + problem)
        endpoints = table.get("webhooks")
        for number, endpoint in enumerate(endpoints if isinstance(endpoints, list | tuple) else ()):
            if isinstance(endpoint, Mapping):  # else msgspec tells
                check_keys(endpoint, WebhookEndpoint.__struct_fields__, f"{where}webhooks[{number}]: ")
        try:
            return msgspec.convert(table, cls)
        except msgspec.ValidationError as error:
            raise UsageError(f"{where}{error}") from None


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise UsageError(f"App.{field} must be a string that is not empty, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"App.{field} must be text that UTF-8 can say") from None


def _no_policy(value: object) -> str | None:
    """What is wrong with ``value`` as a policy, if anything is."""
    if value in POLICIES:
        return None
    allowed = ", ".join(map(repr, POLICIES))
    near = difflib.get_close_matches(value, POLICIES, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"App.slow_consumers must be one of {allowed}, got {value!r}{hint}"


def _no_seconds(field: str, value: object, most: int) -> str | None:
    """What is wrong with ``value`` as seconds up to ``most``, if anything is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
        return None
    return f"App.{field} must be a number of seconds from 0 to {most}, got {value!r}"


def _no_master_key(value: object) -> str | None:
    """What is wrong with ``value`` as a master key, if anything is; the value is not told."""
    if value is None:
        return None
    wanted = "App.encryption_master_key must be base64 of 32 bytes, as 'openssl rand -base64 32' prints it"
    if not isinstance(value, str):
        return f"{wanted}, got {type(value).__name__}"
    try:
        size = len(base64.b64decode(value, validate=True))
    except ValueError:
        return f"{wanted}, got text that is no base64"
    return None if size == 32 else f"{wanted}, got base64 of {size} bytes"


def _no_origins(value: object) -> str | None:
    """What is wrong with ``value`` as origins that browsers send, if anything is."""
    if not isinstance(value, tuple):
        return f"App.allowed_origins must be a tuple of origins, got {value!r}"
    for origin in value:
        if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
            return (
                "App.allowed_origins must hold what browsers send, in lower case and with nothing behind the host"
                f" or port, such as 'https://example.com', got {origin!r}"
            )
        if origin.endswith(_DEFAULT_PORTS.get(origin.partition(":")[0], "/")):
            return f"App.allowed_origins is what browsers send: they leave the default port out, and so must {origin!r}"
    return None


def _no_webhooks(value: object) -> str | None:
    """What is wrong with ``value`` as receivers of webhooks, if anything is."""
    if isinstance(value, tuple) and all(isinstance(endpoint, WebhookEndpoint) for endpoint in value):
        return None
    seen = type(value).__name__ if not isinstance(value, tuple) else [type(endpoint).__name__ for endpoint in value]
    return f"App.webhooks must be a tuple of WebhookEndpoint, got {seen}"


def check_keys(table: Mapping[str, object], allowed: Sequence[str], where: str) -> None:
    """Raise :class:`UsageError` for a key that is not allowed, naming the nearest one that is."""
    for key in table:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
            raise UsageError(f"{where}unknown key {key!r}; {hint}")
