"""Channel, event, socket and user names: which are legal and what their prefixes mean (protocol 1.4, 2.1)."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

MAX_EVENT_NAME = 200
SERVER_TO_USER = "#server-to-user-"
ENCRYPTED = "private-encrypted-"

_CACHE = ("cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-")

_channel = re.compile(r"[-A-Za-z0-9_=@,.;]{1,200}")
_socket_id = re.compile(r"[0-9]+\.[0-9]+")


class Kind(enum.Enum):
    """What a channel's prefix asks for. Prefixes include the hyphen: ``privateer`` is public."""

    PUBLIC = "public"
    PRIVATE = "private"
    PRESENCE = "presence"
    USER = "user"
    """``#server-to-user-ID``: only the connections signed in as that user may listen (protocol 4.2)."""


def kind_of(channel: str) -> Kind:
    """The kind of a legal channel name."""
    if channel.startswith("private-"):
        return Kind.PRIVATE
    if channel.startswith("presence-"):
        return Kind.PRESENCE
    if channel.startswith(SERVER_TO_USER):
        return Kind.USER
    return Kind.PUBLIC


def is_encrypted(channel: str) -> bool:
    """Whether events of ``channel`` are encrypted end to end (protocol 8.3)."""
    return channel.startswith(ENCRYPTED)


def is_cached(channel: str) -> bool:
    """Whether the last event published to ``channel`` is kept for those who come later (protocol 2.5)."""
    return channel.startswith(_CACHE)


def any_cached(channels: Sequence[str]) -> bool:
    """Whether one of ``channels`` is a cache channel; for every event that is published, so in one look at most."""
    return "cache-" in " ".join(channels) and any(map(is_cached, channels))


def any_encrypted(channels: Sequence[str]) -> bool:
    """Whether one of ``channels`` is encrypted; in one look, as above."""
    return ENCRYPTED in " ".join(channels) and any(map(is_encrypted, channels))


def is_channel(name: str) -> bool:
    """Whether clients may subscribe to ``name``: 1 to 200 of ``A-Z a-z 0-9 _ - = @ , . ;``."""
    return _channel.fullmatch(name) is not None


def is_target(name: str) -> bool:
    """Whether an event may be published to ``name``: a channel, or one user's server-to-user channel."""
    if name.startswith(SERVER_TO_USER):
        return len(name) > len(SERVER_TO_USER)
    return is_channel(name)


def is_socket_id(value: str) -> bool:
    """Whether ``value`` is two decimal integers joined by a dot (protocol 1.4)."""
    return _socket_id.fullmatch(value) is not None
