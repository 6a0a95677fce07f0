"""Events that application code publishes: what may be in one, checked before anything is delivered."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from relay.app import App
from relay.errors import TooLarge, UsageError
from relay.protocol import encryption, messages, names
from relay.protocol.session import too_large

if TYPE_CHECKING:
    from random import Random

INFO = ("user_count", "subscription_count", "cache")
"""What may be asked for; what does not apply, such as ``cache`` when publishing, is left out of the answer."""


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
    """An :class:`Event` that may be published: distinct legal channels, ``data`` a string within bounds.

    ``cached`` tells that a cache channel is among them, so that nobody has to look again.
    """

    channels: tuple[str, ...]
    name: str
    data: str
    socket_id: str | None
    info: tuple[str, ...]
    cached: bool = False


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
    channels = check_channels(app, event.channels)
    return CheckedEvent(
        channels,
        event.name,
        check_data(app, event.data),
        event.socket_id,
        check_info(event.info, INFO),
        names.any_cached(channels),
    )


def encrypted(app: App, event: CheckedEvent, random: Random) -> CheckedEvent:
    """``event`` as its publisher hands it on: encrypted where its channel is (protocol 8.3), else as it is.

    ``random`` gives the nonce, so it must be one that nobody else has. The App's limit is that of the encrypted data,
    a third longer than the plain one. Raises :class:`UsageError` for an encrypted channel together with others, as
    the SDKs do, or without a master key; :class:`TooLarge`; and :class:`ModuleNotFoundError` without PyNaCl.
    """
    if not names.any_encrypted(event.channels):
        return event
    if len(event.channels) > 1:
        raise UsageError("You cannot trigger to multiple channels when using encrypted channels")
    secret = encryption.shared_secret(encryption.master_key(app), event.channels[0])
    data = encryption.encrypt(secret, event.data, random.randbytes(encryption.NONCE_BYTES))
    if len(data) > app.max_event_bytes:
        raise TooLarge(f"{too_large(app)[:-1]}, encrypted: {len(data)}.")
    return msgspec.structs.replace(event, data=data)


def readable(app: App, event: CheckedEvent) -> str:
    """The data of ``event`` as it was before ``encrypted``; as it is where the App's master key cannot tell."""
    if app.encryption_master_key is None or not names.any_encrypted(event.channels):
        return event.data
    secret = encryption.shared_secret(encryption.master_key(app), event.channels[0])
    try:
        return encryption.decrypt(secret, encryption.read_box(event.data))
    except encryption.CannotDecrypt:
        return event.data


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
