"""The REST API as values: a request becomes a Call, a Call's result becomes a response (protocol 6).

::

    call = parse(request, by_key, now)  # RequestError: answer error.status, error.message
    ...  # relay.api does the call
    response = ok(body)

Error bodies are plain text ending in a newline, as hosted sends them and SDKs show them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

import msgspec

from relay.app import App
from relay.errors import RateLimited, RequestError, TooLarge, UsageError
from relay.protocol import messages, names, signing
from relay.protocol.events import INFO, CheckedEvent, Event, check_event, check_info
from relay.protocol.names import Kind


class Request(msgspec.Struct, frozen=True):
    """One HTTP request: ``target`` is path and query exactly as received, ``body`` the raw bytes.

    ``mount`` is the path prefix that the API lives under, without a trailing slash.
    """

    method: str
    target: str
    body: bytes = b""
    mount: str = ""


class Response(msgspec.Struct, frozen=True):
    """What to answer."""

    status: int
    body: bytes
    content_type: str
    retry_after: int | None = None
    """Seconds after which the caller may ask again, for the header of that name."""


class Trigger(msgspec.Struct, frozen=True):
    """Publish ``events``; the answer is shaped for one event or for a ``batch``."""

    app: App
    events: tuple[CheckedEvent, ...]
    batch: bool = False
    accepted: int = 200


class ListChannels(msgspec.Struct, frozen=True):
    """The occupied channels that begin with ``prefix``."""

    app: App
    prefix: str
    info: tuple[str, ...]


class GetChannel(msgspec.Struct, frozen=True):
    """One channel."""

    app: App
    channel: str
    info: tuple[str, ...]


class GetUsers(msgspec.Struct, frozen=True):
    """The users of a presence channel."""

    app: App
    channel: str


class GetStats(msgspec.Struct, frozen=True):
    """One channel's numbers, in the words of the first API (protocol 6.6)."""

    app: App
    channel: str


class GetTotals(msgspec.Struct, frozen=True):
    """What the App holds on this node, and what happened to it. Relay's own."""

    app: App


class ReadFacts(msgspec.Struct, frozen=True):
    """What happens to the App from now on, line by line; ``kinds`` and ``channel`` choose. Relay's own."""

    app: App
    kinds: tuple[str, ...]
    channel: str | None


class Terminate(msgspec.Struct, frozen=True):
    """Close the connections of a signed-in user."""

    app: App
    user_id: str


Call = Trigger | ListChannels | GetChannel | GetUsers | GetStats | GetTotals | ReadFacts | Terminate


def ok(body: object, status: int = 200) -> Response:
    """Success: always a JSON object, since PHP, Ruby and .NET parse strictly (protocol rule 8)."""
    return Response(status, messages.json_bytes(body), "application/json")


def failure(error: RequestError) -> Response:
    """The documented refusal as one line of plain text, in which every sign can be printed."""
    safe = "".join(sign if sign.isprintable() else " " for sign in error.message)
    pause = error.retry_after if isinstance(error, RateLimited) else None
    retry_after = None if pause is None else math.ceil(pause)
    return Response(error.status, (safe + "\n").encode("utf-8", "replace"), "text/plain; charset=utf-8", retry_after)


def parse(
    request: Request,
    find: Callable[[str], App | None],
    now: float,
    charge: Callable[[App], None] | None = None,
) -> Call:
    """The call that a genuine ``request`` makes.

    ``find`` gives the App of an auth_key; ``now`` is Unix seconds. The signature is checked before the
    body is looked at, and in between ``charge`` raises for an App that asks too often. Raises :class:`RequestError`.
    """
    raw_path, _, raw_query = request.target.partition("?")
    route, parameters = _route(request.method, unmounted(request, raw_path))
    parsed = signing.parse_query(raw_query)
    key = dict(parsed).get("auth_key")
    if not key:
        raise RequestError(401, "Missing parameter: auth_key")
    app = find(key)
    if app is None:
        raise RequestError(400, "Unknown auth_key")
    app_id = parameters.get("app_id", app.id)
    if app_id != app.id:
        raise RequestError(404, f"Unknown app id {app_id[:40]!r} for this auth_key")
    query = _Query(verified(request, app, now, parsed))
    if not app.enabled:
        raise RequestError(403, "App is disabled")
    if charge is not None:
        charge(app)
    return route(_Arguments(app, parameters, query, request.body))


def unmounted(request: Request, path: str) -> str:
    """``path`` without the prefix that the API is mounted under."""
    return path.removeprefix(request.mount) if request.mount else path


def verified(request: Request, app: App, now: float, parsed: signing.Query) -> signing.Query:
    """The query of a genuine request. Raises :class:`RequestError`.

    Some SDKs sign the path without the prefix that the API is mounted under, some with it.
    """
    raw_path, _, raw_query = request.target.partition("?")
    path = unmounted(request, raw_path)
    verify = partial(
        signing.verify_rest, app, request.method, raw_query=raw_query, body=request.body, now=now, parsed=parsed
    )
    try:
        return verify(path)
    except RequestError:
        if path == raw_path:
            raise
        return verify(raw_path)


class _Query:
    """Query parameters, the last one of a name; ``name[]`` may repeat."""

    def __init__(self, pairs: signing.Query) -> None:
        self._pairs = pairs
        self._single = dict(pairs)

    def get(self, name: str) -> str | None:
        return self._single.get(name)

    def many(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key.rstrip("0123456789[]") == name and key != name]

    def info(self) -> tuple[str, ...]:
        return _info(self.get("info"))


class _Arguments(msgspec.Struct, frozen=True):
    """What a route may look at: the App proven by the signature, path parameters, query and body."""

    app: App
    parameters: dict[str, str]
    query: _Query
    body: bytes

    @property
    def channel(self) -> str:
        return self.parameters["channel"]


_Route = Callable[[_Arguments], Call]


def _trigger(given: _Arguments) -> Call:
    event = _object(given.body) if given.body else _from_query(given.query)
    return Trigger(given.app, (_event(given.app, event),))


def _trigger_batch(given: _Arguments) -> Call:
    app, batch = given.app, _object(given.body).get("batch")
    if not isinstance(batch, list):
        raise RequestError(400, "Missing required parameter: batch, a list of events")
    if len(batch) > app.max_batch:
        raise RequestError(400, f"Batch too large ({len(batch)} > {app.max_batch})")
    return Trigger(app, tuple(_event(app, event) for event in batch), batch=True)


def _trigger_legacy(given: _Arguments) -> Call:
    try:
        data = given.body.decode()
    except UnicodeDecodeError:
        raise RequestError(400, "The body must be UTF-8") from None
    event = {
        "name": given.query.get("name"),
        "data": data,
        "channel": given.channel,
        "socket_id": given.query.get("socket_id"),
    }
    return Trigger(given.app, (_event(given.app, event),), accepted=202)


def _list_channels(given: _Arguments) -> Call:
    prefix = given.query.get("filter_by_prefix") or given.query.get("filter_by_prefix_with") or ""
    info = given.query.info()
    if "user_count" in info and not prefix.startswith("presence-"):
        raise RequestError(
            400,
            "user_count may only be requested for presence channels -"
            " please supply filter_by_prefix begining with presence-",
        )
    return ListChannels(given.app, prefix, info)


def _get_channel(given: _Arguments) -> Call:
    info = given.query.info()
    if "user_count" in info and names.kind_of(given.channel) is not Kind.PRESENCE:
        raise RequestError(400, "Cannot retrieve the user count unless the channel is a presence channel")
    return GetChannel(given.app, given.channel, info)


def _get_users(given: _Arguments) -> Call:
    if names.kind_of(given.channel) is not Kind.PRESENCE:
        raise RequestError(400, "Users can only be retrieved for presence channels")
    return GetUsers(given.app, given.channel)


def _get_stats(given: _Arguments) -> Call:
    return GetStats(given.app, given.channel)


def _get_totals(given: _Arguments) -> Call:
    return GetTotals(given.app)


def _read_facts(given: _Arguments) -> Call:
    return ReadFacts(given.app, words(given.query.get("type")), given.query.get("channel") or None)


def _terminate(given: _Arguments) -> Call:
    return Terminate(given.app, given.parameters["user_id"])


_ROUTES: tuple[tuple[str, re.Pattern[str], _Route], ...] = tuple(
    (method, re.compile(pattern), route)
    for method, pattern, route in (
        ("POST", r"/apps/(?P<app_id>[^/]+)/events", _trigger),
        ("POST", r"/apps/(?P<app_id>[^/]+)/batch_events", _trigger_batch),
        ("GET", r"/apps/(?P<app_id>[^/]+)/channels", _list_channels),
        ("GET", r"/apps/(?P<app_id>[^/]+)/channels/(?P<channel>[^/]+)", _get_channel),
        ("GET", r"/apps/(?P<app_id>[^/]+)/channels/(?P<channel>[^/]+)/users", _get_users),
        ("GET", r"/apps/(?P<app_id>[^/]+)/channels/(?P<channel>[^/]+)/stats", _get_stats),
        ("POST", r"/apps/(?P<app_id>[^/]+)/channels/(?P<channel>[^/]+)/events", _trigger_legacy),
        ("GET", r"/apps/(?P<app_id>[^/]+)/stats", _get_totals),
        ("GET", r"/apps/(?P<app_id>[^/]+)/facts", _read_facts),
        ("POST", r"/apps/(?P<app_id>[^/]+)/users/(?P<user_id>[^/]+)/terminate_connections", _terminate),
        # pusher-http-python 3.3 leaves out the app prefix; the App is that of auth_key (protocol 6.1)
        ("POST", r"/users/(?P<user_id>[^/]+)/terminate_connections", _terminate),
    )
)


def _route(method: str, path: str) -> tuple[_Route, dict[str, str]]:
    allowed = []
    for wanted, pattern, route in _ROUTES:
        match = pattern.fullmatch(path.rstrip("/"))
        if match is None:
            continue
        if wanted == method:
            parameters = {name: unquote(value) for name, value in match.groupdict().items()}
            channel = parameters.get("channel")
            if channel is not None and not names.is_target(channel):
                raise RequestError(400, "Invalid channel name")
            return route, parameters
        allowed.append(wanted)
    if allowed:
        raise RequestError(405, f"{method} is not allowed here, only {', '.join(allowed)}")
    raise RequestError(404, "Unknown path: the API lives under /apps/APP_ID/")


def _object(body: bytes) -> dict[str, object]:
    try:
        value = msgspec.json.decode(body)
    except messages.INVALID_JSON:
        raise RequestError(400, "The body is no valid JSON") from None
    if not isinstance(value, dict):
        raise RequestError(400, f"The body must be a JSON object, got {type(value).__name__}")
    return value


def _from_query(query: _Query) -> dict[str, object]:
    given: dict[str, object] = {
        name: value
        for name in ("name", "data", "channel", "socket_id", "info")
        if (value := query.get(name)) is not None
    }
    if channels := query.many("channels"):
        given["channels"] = channels
    return given


def _event(app: App, given: object) -> CheckedEvent:
    """One event of a body. A missing ``data`` is refused, null is JSON like any other value."""
    if not isinstance(given, dict):
        raise RequestError(400, f"An event must be a JSON object, got {type(given).__name__}")
    if "data" not in given:
        raise RequestError(400, "Missing required parameter: data")
    channels = given.get("channels")
    if channels is None:
        channels = given.get("channel")
    if channels is None:
        raise RequestError(400, "Missing required parameter: channel")
    if not isinstance(channels, (str, list)):
        raise RequestError(400, f"channels must be a list of names, got {type(channels).__name__}")
    event = Event(channels, given.get("name"), given["data"], given.get("socket_id"), _info(given.get("info")))  # type: ignore[arg-type]  # check_event judges the types
    try:
        return check_event(app, event)
    except TooLarge as error:
        raise RequestError(413, str(error)) from None
    except UsageError as error:
        raise RequestError(400, str(error)) from None


def words(text: str | None) -> tuple[str, ...]:
    """The words of a comma list."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _info(value: object) -> tuple[str, ...]:
    """A comma list; empty means absent (Ruby sends ``info=``)."""
    if value is None or value == "":
        return ()
    if not isinstance(value, str):
        raise RequestError(400, f"info must be a comma list, got {type(value).__name__}")
    try:
        return check_info(words(value), INFO)
    except UsageError as error:
        raise RequestError(400, str(error)) from None
