"""The frames of the protocol as values, and the one encoder and decoders for them (protocol 1.5).

Outgoing ``data`` is always a string (JSON in JSON), except in ``pusher:error``: several SDKs read that one
as an object and nothing else. A *text* is the finished JSON event as UTF-8 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from relay.errors import Refused

EMPTY = "{}"
_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode

T = TypeVar("T")


class Member(msgspec.Struct, frozen=True):
    """One user of a presence channel.

    ``id`` is at most 128 characters; ``info`` is None or what JSON can say as an object (public profile,
    seen by every member), at most 1 KB.
    """

    id: str
    info: object = None


class User(Member, frozen=True):
    """One signed-in user: ``id`` not empty; ``info`` as in :class:`Member` (protocol 4).

    ``watchlist`` holds the ids of the users whose coming and going it is told of, where the App has watchlists.
    """

    watchlist: Sequence[str] = ()


class Inbound(msgspec.Struct):
    """One frame from a client, its ``data`` not yet looked at."""

    event: str
    channel: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class SubscribeData(msgspec.Struct):
    """``data`` of pusher:subscribe; keys of extensions are ignored (protocol 2.2)."""

    channel: str
    auth: str | None = None
    channel_data: str | None = None


class UnsubscribeData(msgspec.Struct):
    """``data`` of pusher:unsubscribe."""

    channel: str


class SigninData(msgspec.Struct):
    """``data`` of pusher:signin (protocol 4.1)."""

    auth: str
    user_data: str


class _Frame(msgspec.Struct):
    event: str
    channel: str | msgspec.UnsetType  # never null: Pysher routes by presence of the key (protocol 1.3)
    data: str | msgspec.Raw
    user_id: str | msgspec.UnsetType


class _ErrorData(msgspec.Struct):
    code: int | None
    message: str


class _ErrorFrame(msgspec.Struct):
    event: str
    data: _ErrorData


class _MemberData(msgspec.Struct, omit_defaults=True):
    user_id: str
    user_info: msgspec.Raw | None = None


_decode_inbound = msgspec.json.Decoder(Inbound).decode
INVALID_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What msgspec raises for text that is no JSON: bad syntax, NaN, lone surrogates, nesting without end."""


def read(text: str | bytes) -> Inbound:
    """The frame a client sent.

    Raises :class:`Refused` for what is no JSON object with an ``event`` string (protocol 1.9).
    """
    try:
        return _decode_inbound(text)
    except msgspec.ValidationError as error:
        raise Refused(f"Received an invalid message: {error}") from None
    except INVALID_JSON as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Refused(f"Received invalid JSON: {reason}") from None


def read_data(inbound: Inbound, shape: type[T]) -> T:
    """``data`` of a ``pusher:`` command, given as an object or as a string that holds one.

    Raises :class:`Refused` with what was expected and what was seen.
    """
    try:
        value = _decode_any(inbound.data) if len(inbound.data) else None
        if isinstance(value, str):
            value = _decode_any(value)
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise Refused(f"Invalid data of {inbound.event}: {error}") from None
    except INVALID_JSON:
        raise Refused(f"Invalid data of {inbound.event}: it is no JSON object") from None


def client_data(inbound: Inbound) -> tuple[str | msgspec.Raw, int]:
    """``data`` of a client event as it is delivered, a JSON string, and its size in UTF-8 bytes.

    A string passes through as the very bytes that came, any other value as its JSON text (protocol 3).
    """
    try:
        value = _decode_any(inbound.data)
    except INVALID_JSON:
        raise Refused("Invalid client event (data is no valid JSON)", channel=inbound.channel) from None
    if isinstance(value, str):
        return inbound.data, len(value.encode())
    return str(inbound.data, "utf-8"), len(inbound.data)


def json_text(data: object) -> str:
    """``data`` as the string that goes into a frame: a string as it is, any other value as JSON.

    Raises ``TypeError``, ``ValueError`` or ``UnicodeEncodeError`` for what JSON cannot say.
    """
    return data if isinstance(data, str) else _encode(data).decode()


def unwrapped(data: Any) -> Any:
    """``data`` decoded where it is JSON in a string; a plain string is legal data."""
    if not isinstance(data, str):
        return data
    try:
        return _decode_any(data)
    except INVALID_JSON:
        return data


def json_bytes(value: object) -> bytes:
    """``value`` as JSON, for bodies and signed strings."""
    return _encode(value)


def event(name: str, channel: str | None, data: str | msgspec.Raw, user_id: str | None = None) -> bytes:
    """The text of one event, in hosted's key order."""
    return _encode(_Frame(name, channel or msgspec.UNSET, data, user_id or msgspec.UNSET))


def error(message: str, code: int | None = None) -> bytes:
    """pusher:error; ``data`` is an object and there is no channel key (protocol 1.8)."""
    return _encode(_ErrorFrame("pusher:error", _ErrorData(code, message)))


def connection_established(socket_id: str, activity_timeout: int) -> bytes:
    """The first frame of a connection (protocol 1.3)."""
    data = {"socket_id": socket_id, "activity_timeout": activity_timeout}
    return event("pusher:connection_established", None, json_text(data))


PONG = event("pusher:pong", None, EMPTY)
PING = event("pusher:ping", None, EMPTY)


def subscription_succeeded(channel: str, roster: Mapping[str, msgspec.Raw | None] | None = None) -> bytes:
    """The acknowledgement of a subscribe, with every member on presence channels (protocol 2.2, 2.4)."""
    data = EMPTY
    if roster is not None:
        data = json_text({"presence": {"count": len(roster), "ids": list(roster), "hash": roster}})
    return event("pusher_internal:subscription_succeeded", channel, data)


def cache_miss(channel: str) -> bytes:
    """There is nothing to replay on a cache channel; ``data`` is ``{}``, which every SDK can read (protocol 2.5)."""
    return event("pusher:cache_miss", channel, EMPTY)


SUBSCRIPTION_COUNT = "pusher_internal:subscription_count"


class _CountData(msgspec.Struct):
    subscription_count: int


_decode_count = msgspec.json.Decoder(_CountData).decode


def count_data(count: int) -> bytes:
    """How many subscribers a channel has, as ``data`` of a frame says it (protocol 5)."""
    return _encode(_CountData(count))


def count_of(data: bytes) -> int | None:
    """What ``count_data`` made ``data`` of; None for anything else."""
    try:
        return _decode_count(data).subscription_count
    except INVALID_JSON:
        return None


def subscription_count(channel: str, count: int) -> bytes:
    """A channel's subscribers are so many by now (protocol 5)."""
    return event(SUBSCRIPTION_COUNT, channel, count_data(count).decode())


class _Data(msgspec.Struct):
    data: str


_decode_data = msgspec.json.Decoder(_Data).decode


def data_of(text: bytes) -> str:
    """``data`` of a finished event that application code published."""
    return _decode_data(text).data


def subscription_error(channel: str, message: str) -> bytes:
    """The per-channel error that some clones send and pusher-js and Echo show (protocol 2.3)."""
    data = {"type": "AuthError", "error": message, "status": 401}
    return _encode({"event": "pusher:subscription_error", "channel": channel, "data": data})


def member_added(channel: str, user_id: str, info: msgspec.Raw | None) -> bytes:
    """A user's first connection joined; a missing info is left out (protocol 2.4)."""
    return event("pusher_internal:member_added", channel, json_text(_MemberData(user_id, info)))


def member_removed(channel: str, user_id: str) -> bytes:
    """A user's last connection left."""
    return event("pusher_internal:member_removed", channel, json_text(_MemberData(user_id)))


def signin_success(user_data: str) -> bytes:
    """The answer to a good pusher:signin; ``user_data`` verbatim (protocol 4.1)."""
    return event("pusher:signin_success", None, json_text({"user_data": user_data}))


def watchlist_events(online: Sequence[str], offline: Sequence[str]) -> bytes:
    """Which of those whom a user watches are online, and which are not; empty ones are left out (protocol 4.5)."""
    named = ("online", online), ("offline", offline)
    events = [{"name": name, "user_ids": user_ids} for name, user_ids in named if user_ids]
    return event("pusher_internal:watchlist_events", None, json_text({"events": events}))


class _PresenceData(msgspec.Struct):
    user_id: msgspec.Raw
    user_info: msgspec.Raw = msgspec.Raw(b"null")


class _UserData(msgspec.Struct):
    id: str
    user_info: msgspec.Raw = msgspec.Raw(b"null")


class _Watchlist(msgspec.Struct):
    watchlist: list[str] | None = None


_decode_presence = msgspec.json.Decoder(_PresenceData).decode
_decode_user = msgspec.json.Decoder(_UserData).decode
_decode_watchlist = msgspec.json.Decoder(_Watchlist).decode


class Identity(msgspec.Struct, frozen=True):
    """A verified user as it stands in frames: ``info`` is the JSON of an object, or None."""

    user_id: str
    info: msgspec.Raw | None = None


def read_member(channel_data: str) -> Identity:
    """The member that ``channel_data`` of a presence subscribe describes (protocol 2.4).

    A numeric id becomes its text. Raises :class:`Refused`.
    """
    try:
        data = _decode_presence(channel_data)
        user_id = _decode_any(data.user_id)
    except INVALID_JSON as error:
        raise Refused(f"Invalid channel_data: {error}") from None
    if isinstance(user_id, (int, float)) and not isinstance(user_id, bool):
        user_id = str(data.user_id, "utf-8")
    if not isinstance(user_id, str) or not user_id:
        raise Refused("Invalid channel_data: user_id must be a string that is not empty, or a number")
    return Identity(user_id, _info(data.user_info))


def read_user(user_data: str) -> Identity:
    """The user that ``user_data`` of a sign-in describes; the id must be a string (protocol 4.1)."""
    try:
        data = _decode_user(user_data)
    except INVALID_JSON as error:
        raise Refused(f"Invalid user_data: {error}") from None
    if not data.id:
        raise Refused("Invalid user_data: id must not be empty")
    return Identity(data.id, _info(data.user_info))


def read_watchlist(user_data: str) -> list[str]:
    """The ids of the users that ``user_data`` of a sign-in wants to watch, none where it says nothing (protocol 4.5).

    Raises :class:`Refused` for anything but an array of strings.
    """
    try:
        return _decode_watchlist(user_data).watchlist or []
    except INVALID_JSON as error:
        raise Refused(f"Invalid user_data: {error}, watchlist should be an array of user ids") from None


def channel_data(member: Member) -> str:
    """A member given by the embedding program as auth endpoints describe it (protocol 8.2).

    Raises ``TypeError`` or ``ValueError`` for what JSON cannot say.
    """
    data: dict[str, object] = {"user_id": member.id}
    if member.info is not None:
        data["user_info"] = member.info
    return json_text(data)


def _info(raw: msgspec.Raw) -> msgspec.Raw | None:
    try:
        value: Any = _decode_any(raw)
    except INVALID_JSON:
        value = ...
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refused("user_info supplied to presence subscription is invalid - if supplied it must be a type of hash")
    return raw.copy()
