"""Events that application code publishes: what may be in one, checked before anything is delivered."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from relay.app import App
from relay.errors import TooLarge, UsageError
from relay.protocol import messages, names
from relay.protocol.session import too_large

INFO = ("user_count", "subscription_count")


class Event(msgspec.Struct, frozen=True):
    """One event for one or more channels, in the words of the server SDKs.

    ``data`` is delivered as it is when it is a string, as its JSON otherwise. ``socket_id`` names the one
    connection that does not receive it. ``info`` asks for counts beside the receipt.
    """

    channels: str | Sequence[str]
    name: str
    data: object = ""
    socket_id: str | None = None
    info: Sequence[str] = ()


class CheckedEvent(msgspec.Struct, frozen=True):
    """An :class:`Event` that may be published: distinct legal channels, ``data`` a string within bounds."""

    channels: tuple[str, ...]
    name: str
    data: str
    socket_id: str | None
    info: tuple[str, ...]


def check_event(app: App, event: Event) -> CheckedEvent:
    """``event`` ready to be delivered (protocol 6.2).

    Raises :class:`UsageError` with hosted's wording where known, :class:`TooLarge` for too much data.
    """
    if not isinstance(event.name, str) or not event.name:
        raise UsageError("Expected name parameter to be a string that is not empty")
    if len(event.name) > names.MAX_EVENT_NAME:
        raise UsageError(f"Event name has {len(event.name)} characters, allowed are {names.MAX_EVENT_NAME}")
    if not _is_text(event.name):
        raise UsageError("Event name must be text that UTF-8 can say")
    if event.name.startswith("pusher"):
        raise UsageError("The 'pusher' namespace is reserved for internal usage")
    if event.socket_id is not None and not (isinstance(event.socket_id, str) and names.is_socket_id(event.socket_id)):
        raise UsageError(f"Invalid socket id {_shown(event.socket_id)}: should be two integers joined by a dot")
    return CheckedEvent(
        check_channels(app, event.channels),
        event.name,
        check_data(app, event.data),
        event.socket_id,
        check_info(event.info, INFO),
    )


def check_channels(app: App, channels: str | Iterable[str]) -> tuple[str, ...]:
    """Distinct names, in order, each one a legal target."""
    named = (channels,) if isinstance(channels, str) else tuple(channels)
    if not named:
        raise UsageError("Missing required parameter: channel")
    for name in named:
        if not isinstance(name, str) or not names.is_target(name) or not _is_text(name):
            raise UsageError(f"Invalid channel name {_shown(name)}")
    distinct = tuple(dict.fromkeys(named))
    if len(distinct) > app.max_event_channels:
        raise UsageError(f"Too many channels ({len(distinct)} > {app.max_event_channels})")
    return distinct


def check_data(app: App, data: object) -> str:
    """``data`` as the string that is delivered, within ``app.max_event_bytes``."""
    try:
        text = messages.json_text(data)
        if "null" in text and not isinstance(data, str) and _has_no_json(msgspec.to_builtins(data)):
            raise ValueError("NaN and infinity are no JSON")
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"Event data cannot be said in JSON: {error}") from None
    if size > app.max_event_bytes:
        raise TooLarge(too_large(app))
    return text


def check_info(info: Iterable[str], allowed: Sequence[str]) -> tuple[str, ...]:
    """The attributes asked for; unknown ones are an error that lists what is allowed."""
    asked = tuple(info)
    for attribute in asked:
        if attribute not in allowed:
            raise UsageError(f"Unknown info attribute {_shown(attribute)}: allowed are {', '.join(allowed)}")
    return asked


def _has_no_json(data: object) -> bool:
    """Whether a number in ``data`` is NaN or infinite; msgspec would write null in its place."""
    if isinstance(data, float):
        return not math.isfinite(data)
    if isinstance(data, dict):
        return any(map(_has_no_json, data.values()))
    return isinstance(data, (list, tuple)) and any(map(_has_no_json, data))


def _is_text(value: str) -> bool:
    """Whether UTF-8 can say it: lone surrogates it cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    return repr(value if not isinstance(value, str) else value[: names.MAX_EVENT_NAME])
