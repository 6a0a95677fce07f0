"""The Directory interface: who is where, across nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from relay.protocol.messages import Identity

Roster = dict[str, msgspec.Raw | None]
"""User ids with the JSON of their info, in the order they joined."""


class Joined(msgspec.Struct, frozen=True):
    """A connection is in. ``roster`` is as of this very step, the joiner included.

    ``step`` is higher than that of every join and leave before on this channel, also when nobody was in it
    meanwhile: it tells which of two answers that overtook each other is the newer one.
    """

    first_in_channel: bool
    first_for_user: bool
    count: int
    roster: Roster
    step: int


class Full(msgspec.Struct, frozen=True):
    """A connection is not in: the channel has ``members`` distinct users and may have no more."""

    members: int


class Left(msgspec.Struct, frozen=True):
    """A connection is out; both False and no step for one that was not in. ``step`` as in :class:`Joined`.

    ``count`` is how many connections are left. A directory that cannot tell without another question leaves it None,
    and is asked for the ``occupancy`` where somebody wants to know.
    """

    last_in_channel: bool = False
    last_for_user: bool = False
    step: int = 0
    count: int | None = None


class Occupancy(msgspec.Struct, frozen=True):
    """How many connections and (on presence channels) distinct users a channel has."""

    subscriptions: int = 0
    users: int = 0


class Retention(msgspec.Struct, frozen=True):
    """How much of an App's cache channels is kept: each event for ``ttl`` seconds, the events of ``max_channels``
    channels, ``max_bytes`` of channel names and texts together.
    """

    ttl: float
    max_channels: int
    max_bytes: int


class Remembered(msgspec.Struct, frozen=True):
    """The last event of a cache channel: its ``text``, its ``step``, and until when it holds (Unix seconds)."""

    text: bytes
    step: int
    until: float


class Abandoned(msgspec.Struct, frozen=True):
    """One connection that a dead node left in a channel, and what ``leave`` says of it, now that it is out."""

    app: str
    channel: str
    socket_id: str
    user_id: str | None
    left: Left


class Beat(msgspec.Struct, frozen=True):
    """What a sign of life brought to light.

    ``abandoned`` is for the asking node to tell: nobody else is told of it. ``lapsed`` says that this node was taken
    for dead, or that the directory lost something: it has to ``join`` again everybody it has, which changes nothing
    for those who are in. ``again`` is in how many seconds the next beat is due; None, there are no leases. ``more``
    says that dead nodes left more than was taken out now: it waits for the next beat with ``apps``, which may come at
    once.
    """

    abandoned: Sequence[Abandoned] = ()
    lapsed: bool = False
    again: float | None = None
    more: bool = False


class Directory(Protocol):
    """Who is where, across nodes. Every method is one atomic step; calls of one node for one socket and
    channel take effect in the order they are made. Failures are :class:`~relay.errors.BrokerError`.
    """

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        """Put a connection into a channel. A user who is a member already is let in when it is full."""

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        """Take a connection out; unknown is a no-op."""

    async def occupied(self, app: str, prefix: str) -> Mapping[str, Occupancy]:
        """The occupied channels whose names begin with ``prefix``."""

    async def occupancy(self, app: str, channel: str) -> Occupancy:
        """One channel's counts; zeros when nobody is in it."""

    async def roster(self, app: str, channel: str) -> Roster:
        """The users of a presence channel."""

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        """Keep ``text`` as the last event of a cache channel; nobody has to be in it (protocol 2.5).

        Returns its step, which is higher than that of every event remembered for this channel before, also of
        those that are forgotten by now. Calls of one node for one channel take effect in the order they are made.
        ``now`` is the hub's clock in Unix seconds. What is over ``retention`` makes room oldest first; a text
        that alone is over it is not kept, and nor is the one before it.
        """

    async def recall(self, app: str, channel: str, *, now: float) -> Remembered | None:
        """The last event of a cache channel, if one was remembered and holds beyond ``now``."""

    async def beat(self, apps: Collection[str]) -> Beat:
        """Show that this node lives, and find what dead ones left in ``apps``: each of it once in the cluster.

        However much there is, this takes but a small part of the time between two beats, and returns a portion. Without
        ``apps`` it shows that the node lives, and no more: a hub does so first of all, and does not start where that
        fails. Later it is not ready while it fails, nor after ``lapsed`` until all have joined again.
        """
