"""What a REST client asks, as values: where the host is, paths, queries and bodies (protocol 6.1 to 6.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

from yarl import URL

from relay.errors import UsageError
from relay.protocol import messages
from relay.protocol.events import CheckedEvent

_SEGMENT = "-_=@,.;"
"""What a channel's name is made of stays as it is in a path, so that it is signed as every host reads it."""


def base(url: str) -> str:
    """``url`` of a host, up to what stands before ``/apps``. Raises :class:`UsageError`."""
    try:
        host = URL(url)
    except ValueError:
        sound = False
    else:
        more = (host.query_string, host.fragment, host.user, host.password)
        sound = host.scheme in ("http", "https") and bool(host.host) and not any(more)
        url = str(host).rstrip("/")
    if not sound:  # what was given may hold a secret, so it is not shown
        raise UsageError("base_url should look like https://HOST or http://HOST:PORT/PREFIX, without anything more")
    return url


def base_of(url: str) -> str:
    """What stands before ``/apps`` in a Pusher URL, without the credentials."""
    parts = urlsplit(url)
    prefix = parts.path.rstrip("/").rpartition("/apps/")[0]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{prefix}"


def base_in(environ: Mapping[str, str]) -> str:
    """The host that Laravel's variables name, or hosted Pusher's of a cluster. Raises :class:`UsageError`."""
    host, cluster = environ.get("PUSHER_HOST"), environ.get("PUSHER_CLUSTER") or environ.get("PUSHER_APP_CLUSTER")
    if not host and not cluster:
        raise UsageError("environment lacks PUSHER_HOST or PUSHER_CLUSTER: set one, or PUSHER_URL")
    scheme, port = environ.get("PUSHER_SCHEME") or "https", environ.get("PUSHER_PORT")
    return f"{scheme}://{host or f'api-{cluster}.pusher.com'}{f':{port}' if port else ''}"


def segment(text: str) -> str:
    """``text`` as one segment of a path. Raises :class:`UsageError` for what UTF-8 cannot say."""
    return _quoted(text, _SEGMENT)


def path(text: str) -> str:
    """A path that the application gives, percent-encoded; its slashes stay. Raises :class:`UsageError`."""
    if not text.startswith("/") or "?" in text:
        raise UsageError(f"path should begin with a slash and hold no query, which goes into params: got {text[:99]!r}")
    return _quoted(text, f"/{_SEGMENT}")


def query(params: Mapping[str, str]) -> list[tuple[str, str]]:
    """Parameters that the application gives. Raises :class:`UsageError`."""
    for name, value in params.items():
        if name.lower().startswith("auth_") or name.lower() == "body_md5":
            raise UsageError(f"parameter {name!r} is part of the signature, which is made here")
        if not isinstance(value, str):
            raise UsageError(f"parameter {name!r} must be a string, got {type(value).__name__}")
    return list(params.items())


def escaped(pairs: Sequence[tuple[str, str]]) -> str:
    """A query as it stands in a URL. Raises :class:`UsageError`."""
    return "&".join(f"{_quoted(name, '')}={_quoted(value, '')}" for name, value in pairs)


def info(attributes: Sequence[str]) -> list[tuple[str, str]]:
    """The parameter that asks for counts."""
    return [("info", ",".join(attributes))] if attributes else []


def applying(attributes: Sequence[str], *, presence: bool, cached: bool = False) -> list[str]:
    """Those of ``attributes`` that channels of this kind have; hosts may refuse to be asked for others."""
    has = {"user_count": presence, "subscription_count": not presence, "cache": cached}
    return [attribute for attribute in attributes if has[attribute]]


def event(given: CheckedEvent) -> bytes:
    """The body that publishes one event. Raises :class:`UsageError` for names that UTF-8 cannot say."""
    return document({"name": given.name, "data": given.data, "channels": given.channels, **_options(given)})


def batch(events: Sequence[CheckedEvent]) -> bytes:
    """The body that publishes several: one item for each channel of each event."""
    items = [
        {"name": given.name, "channel": channel, "data": given.data, **_options(given)}
        for given in events
        for channel in given.channels
    ]
    return document({"batch": items})


def document(value: object) -> bytes:
    """``value`` as JSON. Raises :class:`UsageError`."""
    try:
        return messages.json_bytes(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"The body cannot be said in JSON: {error}") from None


def _options(given: CheckedEvent) -> dict[str, str]:
    options = {} if given.socket_id is None else {"socket_id": given.socket_id}
    return options | dict(info([attribute for attribute in given.info if attribute != "cache"]))


def _quoted(text: str, safe: str) -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise UsageError(f"{text[:200]!r} holds half a character (a lone surrogate)") from None
