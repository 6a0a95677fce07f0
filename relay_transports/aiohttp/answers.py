"""What a host's REST API answers, as values. Read leniently: PHP hosts write an empty object as ``[]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from relay.caching import CachedEvent
from relay.errors import BadAnswer
from relay.hub import ChannelInfo
from relay.protocol import messages
from relay.protocol.messages import Member

T = TypeVar("T")

_Nothing = Annotated[list[object], msgspec.Meta(max_length=0)]


class _Counts(msgspec.Struct):
    user_count: int | None = None
    subscription_count: int | None = None


class _Channel(_Counts):
    occupied: bool = False
    cache: CachedEvent | None = None


class _Channels(msgspec.Struct):
    channels: dict[str, _Counts | _Nothing] | _Nothing


class _User(msgspec.Struct):
    id: str | int


class _Users(msgspec.Struct):
    users: list[_User]


def document(body: bytes) -> Any:
    """Any JSON; None for an empty body."""
    return _read(body, Any) if body.strip() else None


def channels(body: bytes) -> dict[str, ChannelInfo]:
    """The occupied channels (protocol 6.4)."""
    found = _read(body, _Channels).channels
    return {name: _info(name, counts) for name, counts in found.items()} if isinstance(found, dict) else {}


def channel(name: str, body: bytes) -> ChannelInfo:
    """One channel, occupied or not."""
    found = _read(body, _Channel)
    return ChannelInfo(name, found.occupied, found.user_count, found.subscription_count, found.cache)


def members(body: bytes) -> list[Member]:
    """The users of a presence channel; hosts tell nothing but their ids."""
    return [Member(str(user.id)) for user in _read(body, _Users).users]


def counts_by_channel(body: bytes) -> Mapping[str, Mapping[str, int]]:
    """The counts that a publish asked for, channel by channel (protocol 6.2)."""
    given = _read(body, dict[str, object]).get("channels")
    return {name: _counts(counts) for name, counts in given.items()} if isinstance(given, dict) else {}


def counts_by_item(body: bytes) -> Sequence[Mapping[str, int]]:
    """The counts that a batch asked for, in the order of its items (protocol 6.3)."""
    given = _read(body, dict[str, object]).get("batch")
    return [_counts(counts) for counts in given] if isinstance(given, list) else []


def _read(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except messages.INVALID_JSON as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
    raise BadAnswer(f"the host's answer is not what the REST API says: {reason}")


def _info(name: str, counts: _Counts | list[object]) -> ChannelInfo:
    if isinstance(counts, list):
        return ChannelInfo(name, occupied=True)
    return ChannelInfo(name, True, counts.user_count, counts.subscription_count)


def _counts(given: object) -> dict[str, int]:
    return {name: count for name, count in given.items() if isinstance(count, int)} if isinstance(given, dict) else {}
