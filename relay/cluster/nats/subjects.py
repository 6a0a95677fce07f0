"""What things are called in NATS. Names of Apps and channels are opaque, and no two of them meet.

A name becomes one token of a subject: ``_`` and its base64 in the alphabet that is safe for URLs, without padding.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def token(name: str) -> str:
    """A name as one token, which is never empty."""
    return "_" + urlsafe_b64encode(name.encode()).decode().rstrip("=")


def name_of(token: str) -> str:
    """What ``token`` made of a name, as it was. Raises ValueError for anything else."""
    if not token.startswith("_"):
        raise ValueError("this is no name's token")
    return urlsafe_b64decode(token[1:] + "=" * (-(len(token) - 1) % 4)).decode()


class Subjects:
    """The names under one prefix."""

    __slots__ = ("_prefix", "bucket")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.bucket = prefix
        """The key-value bucket of who is where."""

    def topic(self, app: str, channel: str) -> str:
        """Where a channel's envelopes are published. What is about no channel is for every node."""
        if not channel:
            return f"{self._prefix}.all"
        return f"{self._prefix}.on.{token(app)}.{token(channel)}"

    def beacon(self, node: str) -> str:
        """Where a node hears on one connection what it says on the other."""
        return f"{self._prefix}.beacon.{node}"

    def echo(self, node: str) -> str:
        """Where it hears on the other what it says on the one."""
        return f"{self._prefix}.echo.{node}"

    def events(self, app: str) -> str:
        """The key-value bucket of one App's last events."""
        return f"{self._prefix}_cache_{app.encode().hex()}"


NODES = "nodes"
"""The key of all leases."""


def place(app: str, channel: str) -> str:
    """The key of who is in a channel."""
    return f"place.{token(app)}.{token(channel)}"


def places(app: str) -> str:
    """What the keys of an App's channels match."""
    return f"place.{token(app)}.*"


def own(node: str, app: str, channel: str) -> str:
    """The key that says that ``node`` may have put somebody into a channel."""
    return f"own.{node}.{token(app)}.{token(channel)}"


def owned(node: str) -> str:
    """What the keys of all those channels match."""
    return f"own.{node}.*.*"


def app_token(key: str) -> str:
    """The App's, in one of those keys."""
    return key.split(".")[-2]


def last(key: str) -> str | None:
    """The name in the last token of a key; None if that is no name's, so that we did not write it."""
    try:
        return name_of(key.rpartition(".")[2])
    except ValueError:
        return None
