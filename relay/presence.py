"""Who is in a presence channel: users over several connections, first join and last leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.protocol.messages import Identity

_DEPARTED_REMEMBERED: Final = 1000
"""So many users who are gone are known by name in a channel, so that old news of them is seen to be old."""


class Roster:
    """The users of one channel. A user with several connections is one member (protocol 2.4).

    The first connection's info stands until the user's last connection leaves.
    """

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[str, tuple[Identity, set[str]]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._members

    def add(self, member: Identity, socket_id: str) -> bool:
        """Whether this was the user's first connection."""
        if known := self._members.get(member.user_id):
            known[1].add(socket_id)
            return False
        self._members[member.user_id] = (member, {socket_id})
        return True

    def remove(self, user_id: str, socket_id: str) -> bool:
        """Whether this was the user's last connection; an unknown one changes nothing."""
        known = self._members.get(user_id)
        if known is None or socket_id not in known[1]:
            return False
        known[1].discard(socket_id)
        if known[1]:
            return False
        del self._members[user_id]
        return True

    def snapshot(self) -> dict[str, msgspec.Raw | None]:
        """User ids with their info, in the order the users joined; a copy."""
        return {user_id: member.info for user_id, (member, _) in self._members.items()}


class Edge(msgspec.Struct, frozen=True):
    """A user's first connection ``joined`` a presence channel, or the last one left.

    ``step`` is the directory's number of that step: what came later has a higher one.
    """

    user_id: str
    joined: bool
    step: int
    info: msgspec.Raw | None = None


class Told:
    """The members of one presence channel as this node's subscribers know them.

    Everybody who subscribes is told ``members``, and from then on every edge that is news here: so all of
    them know the same, whatever order the answers of the directory and the envelopes of other nodes come
    in. Each says as of which step it is true; what is older than what is known already is dropped.
    """

    __slots__ = ("_edges", "_step", "members")

    def __init__(self) -> None:
        self.members: dict[str, msgspec.Raw | None] = {}
        self._step = 0
        self._edges: dict[str, int] = {}
        """Users with an edge later than the last roster, and its step; the latest edge stands last."""

    @property
    def step(self) -> int:
        """As of which step this is true."""
        return max(self._step, max(self._edges.values(), default=0))

    def edge(self, edge: Edge) -> bool:
        """Take in ``edge``; whether the subscribers have to be told of it."""
        user_id = edge.user_id
        if edge.step < self._edges.get(user_id, self._step):
            return False
        self._edges.pop(user_id, None)
        self._edges[user_id] = edge.step
        if len(self._edges) > len(self.members) + _DEPARTED_REMEMBERED:
            del self._edges[next(iter(self._edges))]
        return self._apply(edge)

    def roster(self, members: Mapping[str, msgspec.Raw | None], step: int) -> list[Edge]:
        """Take in the whole truth as of ``step``; the edges that the subscribers have to be told of."""
        if step < self._step:
            return []
        gone = [Edge(user_id, False, step) for user_id in self.members.keys() - members.keys()]
        new = [Edge(user_id, True, step, info) for user_id, info in members.items() if user_id not in self.members]
        news = [edge for edge in (*gone, *new) if self._edges.get(edge.user_id, 0) <= step and self._apply(edge)]
        self._step = step
        self._edges = {user_id: later for user_id, later in self._edges.items() if later > step}
        return news

    def _apply(self, edge: Edge) -> bool:
        if edge.joined == (edge.user_id in self.members):
            return False
        if edge.joined:
            self.members[edge.user_id] = edge.info
        else:
            del self.members[edge.user_id]
        return True
