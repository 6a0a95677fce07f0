"""What is told about a refusal, and what never is: a secret, or a whole signature that would be right."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from relay.app import App

_DIGITS = 8
_LONGEST_KEPT = 4096
_LONGEST_STRING = 400
_LONGEST_TOLD = 1200
_SHORTEST_HIDDEN = 4
"""A secret of fewer characters is no secret, and stands in every other word."""


class Cause(enum.StrEnum):
    """The kind of mistake."""

    NO_AUTH = "no auth"
    """Nothing was sent that could prove anything."""
    MALFORMED = "malformed auth"
    """What was sent has not the form of a proof."""
    WRONG_KEY = "wrong key"
    """The proof is of another App, or of none."""
    WRONG_SECRET = "wrong secret"  # noqa: S105 - a cause
    """The right string was signed with another secret."""
    ALGORITHM = "wrong algorithm"
    """The right string and secret, and not HMAC-SHA256."""
    ENCODING = "wrong encoding"
    """The right digest, not as lower-case hex."""
    SOCKET_ID = "wrong socket id"
    """The socket id was signed in another form."""
    CHANNEL = "wrong channel name"
    """The channel's name was signed in another form, without its prefix for instance."""
    DATA_REWRITTEN = "re-serialised data"
    """``channel_data`` or ``user_data`` was written anew after it was signed."""
    DATA_MISSING = "missing channel_data"
    """``channel_data`` was signed and not sent, or sent and not signed."""
    FORM = "wrong form of the string"
    """The right parts were put together in another way."""
    METHOD = "wrong method"
    """A REST call was signed for another HTTP method."""
    PATH = "wrong path"
    """A REST call was signed for another path, with or without a prefix for instance."""
    QUERY = "wrong query"
    """A REST call's query was signed in another form, escaped for instance."""
    BODY = "changed body"
    """The body is not the one that ``body_md5`` was made of."""
    CLOCK = "wrong clock"
    """The timestamp is not near the server's time."""
    UNKNOWN = "unknown"
    """No mistake that was tried gives the signature that was sent."""


class Explanation(msgspec.Struct, frozen=True):
    """Why a proof was refused. ``str()`` of it is one line for people.

    ``string_to_sign`` is what should have been signed, up to 4,096 characters of it. ``expected`` is the beginning of
    its signature and ``sent`` the beginning of what came instead. ``hint`` says in words what to do.
    """

    cause: Cause
    string_to_sign: str
    expected: str
    sent: str
    hint: str

    def __str__(self) -> str:
        told = (
            f"Most likely cause: {self.cause} - {self.hint}."
            f' To be signed: "{printable(self.string_to_sign, _LONGEST_STRING)}".'
            f" Expected signature: {self.expected}; sent: {self.sent or 'none'}."
        )
        return printable(told, _LONGEST_TOLD)


class Told(msgspec.Struct, frozen=True):
    """What a refusal is about: the string that should be signed, its signature, and what was sent."""

    string: str
    right: str
    sent: str

    def explanation(self, cause: Cause, hint: str, apps: Iterable[App]) -> Explanation:
        """The whole of it, without the secrets of ``apps``."""
        apps = tuple(apps)
        return Explanation(
            cause,
            _hidden(self.string[:_LONGEST_KEPT], apps),
            shortened(self.right),
            _hidden(shortened(self.sent), apps),
            _hidden(hint, apps),
        )


def shortened(signature: str) -> str:
    """Enough of ``signature`` to compare it by eye, and too little to use it."""
    return f"{signature[:_DIGITS]}..." if len(signature) > _DIGITS else signature


def printable(text: str, most: int = 40) -> str:
    """``text`` of somebody else, short and on one line."""
    shown = text if len(text) <= most else text[:most] + "..."
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in shown)


def _hidden(text: str, apps: Iterable[App]) -> str:
    for app in apps:
        for secret in (app.secret, app.encryption_master_key):
            if secret is not None and len(secret) >= _SHORTEST_HIDDEN:
                text = text.replace(secret, "***")
    return text
