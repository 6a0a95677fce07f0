"""The line protocol of the HTTP fallbacks as bytes (protocol 9.2), and what clients post.

Everything written is ASCII: JSON's escapes keep the characters away that SockJS calls unsafe, and a client that counts
characters counts bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from relay.protocol import messages

OPEN = b"o\n"
HEARTBEAT = b"h\n"
PRELUDE = b"h" * 2048 + b"\n"
"""Comes first on a stream, for IE, which shows nothing of a response before 2 KiB of it are there."""


class FallbackFraming:
    """An event as a string in a JSON array: the same bytes for every client that is served over HTTP."""

    shares = False

    @property
    def ping(self) -> bytes:
        """``pusher:ping``, for want of control frames (protocol 1.6)."""
        return _PING

    def frame(self, text: bytes) -> bytes:
        """The event as a JSON string."""
        return json.dumps(text.decode()).encode("ascii")

    def text(self, frame: bytes) -> bytes | None:
        """What the string says."""
        try:
            return msgspec.json.decode(frame, type=str).encode()
        except (msgspec.DecodeError, UnicodeError):
            return None


FALLBACK = FallbackFraming()
_PING = FALLBACK.frame(messages.PING)


def array(frames: Iterable[bytes]) -> bytes:
    """One line with these events, in order."""
    return b"a[" + b",".join(frames) + b"]\n"


def close(code: int, reason: str) -> bytes:
    """The line that does what a WebSocket's close frame does."""
    return b"c" + json.dumps([code, reason], separators=(",", ":")).encode("ascii") + b"\n"


_decode_posted = msgspec.json.Decoder(list[str]).decode


def posted(body: bytes) -> list[str]:
    """The messages in the body of an ``xhr_send``; none is a sign of life (protocol 9.1).

    Raises :class:`ValueError` that says what is wrong.
    """
    try:
        return _decode_posted(body)
    except msgspec.ValidationError as error:
        raise ValueError(f"The body must be a JSON array of strings: {error}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ValueError("The body must be a JSON array of strings, and it is no JSON") from None
