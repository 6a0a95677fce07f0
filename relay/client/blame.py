"""Whom a server's error is about: a subscribe, the sign-in, or nobody who waits.

Hosted errors name no channel but in their text, and some not even there (protocol 1.8, 12). An error that is pinned
on the wrong subscribe makes client and server disagree for good, so what cannot be told is told to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import msgspec

from relay.errors import CLIENT_EVENT_RATE, CloseCode
from relay.protocol import names


class Blame(msgspec.Struct, frozen=True):
    """Which subscribe failed, or that the sign-in did. ``guessed``: nothing said so, it was just the only one."""

    channel: str | None = None
    signin: bool = False
    guessed: bool = False


NOBODY = Blame()

_OTHER = re.compile(
    r"client event|cannot broadcast|to send client events|invalid client event|no current subscription"
    r"|unsupported event|the data content of this event|received (?:an )?invalid|the rate limit|event name"
    r"|the event data|.* client messaging",
    re.IGNORECASE,
)
"""How errors begin that are about client events, unsubscribes and rubbish: hosted's, Relay's and soketi's words."""
_SIGN_IN = re.compile(
    r"missing parameter: data\.user|invalid signature: [^{]*::user::|auth value for signin|invalid key in signin"
    r"|invalid data of pusher:signin|invalid user_data|connection is signed in|.*\(signin\)$",
    re.IGNORECASE | re.DOTALL,
)
_SUBSCRIBE = re.compile(r"subscri|auth|signature|presence|member|channel_data|user_info|user_id", re.IGNORECASE)
_SUBSCRIBE_CODES = frozenset([CloseCode.UNAUTHORIZED, CloseCode.OVER_CAPACITY])
"""With which Reverb and sockudo refuse a subscribe without saying so."""

_BEFORE, _AFTER = r"(?<![-\w=@,.;#])", r"(?![-\w=@]|[,.;]+[-\w=@])"
"""Where the name of a channel begins and ends in a sentence."""
_TO = r"(?:channel |subscription to |subscribe to |digest of \d+\.\d+:)"


def blame(message: str, code: int | None, *, asked: Collection[str], signing_in: bool) -> Blame:
    """Whom an error without a channel is about, of the channels ``asked`` for and the sign-in under way."""
    if (code is not None and code >= CLIENT_EVENT_RATE) or _OTHER.match(message):
        return NOBODY
    if _SIGN_IN.match(message):
        return Blame(signin=signing_in)
    channel = _named(message, asked, _TO) or _named(message, asked, _BEFORE)
    if channel is not None:
        return Blame(channel)
    return _guess(message, code, asked=asked, signing_in=signing_in)


def about_channel(message: str, code: int | None, channel: str) -> Blame:
    """As above, for an error that says itself which channel it is about."""
    if (code is not None and code >= CLIENT_EVENT_RATE) or _OTHER.match(message):
        return NOBODY
    return Blame(channel)


def _guess(message: str, code: int | None, *, asked: Collection[str], signing_in: bool) -> Blame:
    """Whom it can only be about."""
    if re.search(_TO + r"[-\w=@,.;#]", message):
        return NOBODY  # it names a channel, and none of these
    if signing_in:  # in words that are not known (protocol 1.8)
        return NOBODY if asked else Blame(signin=True)
    return only(asked) if _SUBSCRIBE.search(message) or code in _SUBSCRIBE_CODES else NOBODY


def only(asked: Collection[str]) -> Blame:
    """The only channel asked for, if it is the only one."""
    return Blame(next(iter(asked)), guessed=True) if len(asked) == 1 else NOBODY


def _named(message: str, channels: Iterable[str], before: str) -> str | None:
    """The channel named first in ``message``, the longest of those that begin there."""
    found = []
    for channel in channels:
        shown = channel[: names.MAX_EVENT_NAME]
        forms = "|".join(re.escape(form) for form in {shown, repr(shown)[1:-1]})
        match = re.search(f"{before}(?:{forms}){_AFTER}", message)
        if match is not None:
            found.append((match.start(), -len(channel), channel))
    return min(found)[2] if found else None
