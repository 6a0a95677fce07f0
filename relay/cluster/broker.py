"""The Broker interface: moving envelopes between nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from relay.receipts import Remote

Kind = Literal[
    "event",
    "member_added",
    "member_removed",
    "terminate",
    "user_online",
    "user_offline",
    "user_leaving",
    "roster",
    "subscription_count",
]


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finished event on its way to other nodes: data only, versioned.

    ``text`` is what every subscriber gets, encoded once in the cluster. ``socket_id`` names the one
    connection that does not. ``user_id`` says whom a ``terminate``, ``member_*`` or ``user_*`` envelope is
    about; the latter two have the directory's ``step`` (and ``info``, of a member who joined) instead of a
    text, since each node decides what is news to its own clients. An event that was remembered for a cache channel has
    a ``step`` too. ``user_leaving`` is ``user_offline`` told by a node that closes, whose clients are about to come
    back elsewhere: it holds when the grace is over. ``roster`` says that news of a channel's members may have been
    lost: ask the directory. The ``step`` of a ``terminate`` is how many milliseconds ago it was called for: who signed
    in after that stays.
    ``subscription_count`` has the count of a channel after ``step``, as the ``data`` of its frames, for a ``text``.
    """

    app: str
    channel: str
    text: bytes = b""
    socket_id: str | None = None
    kind: Kind = "event"
    user_id: str | None = None
    info: msgspec.Raw | None = None
    step: int = 0
    version: int = 1


class Broker(Protocol):
    """Moves envelopes between nodes, at most once, in order for each publisher and channel.

    Calls for one channel take effect in the order they are made. Failures are
    :class:`~relay.errors.BrokerError`.
    """

    async def start(self, receive: Callable[[Envelope], None]) -> None:
        """Begin; ``receive`` is called in the hub's loop for every envelope of other nodes."""

    async def subscribe(self, app: str, channel: str) -> None:
        """The first local subscriber came; returns when messages from now on arrive. Repeating it is fine."""

    async def unsubscribe(self, app: str, channel: str) -> None:
        """The last local subscriber left."""

    async def publish(self, envelope: Envelope) -> Remote:
        """Hand ``envelope`` to all **other** nodes; it never comes back to this one.

        Raises :class:`~relay.errors.BrokerUnavailable` with ``maybe_done=False`` where none of them can have got it,
        so that a hub may keep it and call again; no later envelope for its channel is taken before that is raised.
        """

    async def close(self) -> None:
        """End; nothing is received after it."""


@runtime_checkable
class Proving(Protocol):
    """A broker that proves to itself, again and again, that this node hears what is sent to it."""

    @property
    def healthy(self) -> bool:
        """Whether the last proof succeeded, and what was lost before it is put right."""

    def watch(self, lost: Callable[[], None], restored: Callable[[], Awaitable[None]]) -> None:
        """Call ``lost`` when a proof fails; when one succeeds again, ``restored``, and be healthy when it returns."""
