"""Who is in one channel: the document that JetStream keeps of it, and what may happen to it. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from relay.cluster.directory import Full, Joined, Left, Roster
from relay.errors import BrokerError
from relay.protocol.messages import Identity

_VERSION = 1


class _Document(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: int
    members: dict[str, bytes | None]
    """Users with the JSON of their info, in the order they joined."""
    nodes: dict[str, dict[str, str | None]]
    """By the node that owns them, connections and whose they are."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Document).decode


class Place:
    """The connections in one channel, by the node that owns each."""

    __slots__ = ("_members", "_nodes", "_owners", "_tabs")

    def __init__(self, members: dict[str, bytes | None], nodes: dict[str, dict[str, str | None]]) -> None:
        self._members, self._nodes = members, nodes
        self._owners = {socket_id: node for node, sockets in nodes.items() for socket_id in sockets}
        self._tabs: dict[str, int] = {}
        for sockets in nodes.values():
            for user in sockets.values():
                if user is not None:
                    self._tabs[user] = self._tabs.get(user, 0) + 1

    @classmethod
    def load(cls, data: bytes) -> Place:
        """What ``dump`` made ``data`` of; nothing is nobody. Raises :class:`BrokerError`."""
        if not data:
            return cls({}, {})
        try:
            document = _decode(data)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise BrokerError(f"what NATS has of a channel is not ours: {type(error).__name__}") from None
        if document.version != _VERSION:
            raise BrokerError(f"what NATS has of a channel is of version {document.version}, known is {_VERSION}")
        place = cls(document.members, document.nodes)
        if place.count != sum(map(len, document.nodes.values())):
            raise BrokerError("what NATS has of a channel is not ours: a connection has two nodes")
        return place

    def dump(self) -> bytes:
        """As it is kept; empty when nobody is in."""
        return _encode(_Document(_VERSION, self._members, self._nodes)) if self._owners else b""

    @property
    def count(self) -> int:
        """How many connections are in."""
        return len(self._owners)

    @property
    def users(self) -> int:
        """How many distinct users are."""
        return len(self._members)

    def roster(self) -> Roster:
        """The users with their info; a copy."""
        return {user: None if info is None else msgspec.Raw(info) for user, info in self._members.items()}

    def owned(self, node: str) -> int:
        """How many connections that node has here."""
        return len(self._nodes.get(node, ()))

    def sockets(self, node: str) -> list[tuple[str, str | None]]:
        """Its connections, and whose they are."""
        return list(self._nodes.get(node, {}).items())

    def has(self, user: str) -> bool:
        """Whether that user is in."""
        return user in self._members

    def holds(self, socket_id: str) -> bool:
        """Whether that connection is."""
        return socket_id in self._owners

    def add(self, node: str, socket_id: str, member: Identity | None) -> bool:
        """Put a connection in, or into other hands; whether it is its user's first."""
        user = member.user_id if member else None
        first = False
        before = self._owners.get(socket_id)
        if before is not None:
            user = self._drop(before, socket_id)
        elif member is not None:
            first = member.user_id not in self._members
            if first:
                self._members[member.user_id] = None if member.info is None else bytes(member.info)
            self._tabs[member.user_id] = self._tabs.get(member.user_id, 0) + 1
        self._owners[socket_id] = node
        self._nodes.setdefault(node, {})[socket_id] = user
        return first

    def remove(self, socket_id: str) -> tuple[str | None, bool] | None:
        """Take a connection out: whose it was, and whether it was that user's last. None, it was not in."""
        node = self._owners.pop(socket_id, None)
        if node is None:
            return None
        user = self._drop(node, socket_id)
        if user is None:
            return None, False
        self._tabs[user] -= 1
        if self._tabs[user]:
            return user, False
        del self._tabs[user]
        self._members.pop(user, None)
        return user, True

    def _drop(self, node: str, socket_id: str) -> str | None:
        sockets = self._nodes[node]
        user = sockets.pop(socket_id)
        if not sockets:
            del self._nodes[node]
        return user


Steps = Iterator[int]


class Act(Protocol):
    """Something that happens to a place. ``most`` is how many steps it takes at most."""

    most: int

    def on(self, place: Place, node: str) -> Callable[[Steps], object] | None:
        """Do it, for ``node``; what to answer when the steps are known. None, nothing was changed."""

    def idle(self, place: Place) -> object:
        """What to answer when nothing was changed."""


class Join:
    """A connection comes. ``earlier`` is what was answered when it came under a name that is no good any more."""

    most = 1

    def __init__(self, socket_id: str, member: Identity | None, max_members: int) -> None:
        self.socket_id, self._member, self._max = socket_id, member, max_members
        self.earlier: Joined | None = None

    def on(self, place: Place, node: str) -> Callable[[Steps], object] | None:
        """See :class:`Act`."""
        if self._is_full(place):
            return None
        empty = place.count == 0
        first = place.add(node, self.socket_id, self._member)
        count = place.count
        roster = place.roster() if self._member is not None else {}
        earlier = self.earlier

        def answer(steps: Steps) -> Joined:
            new = empty or (earlier is not None and earlier.first_in_channel)
            return Joined(new, first or (earlier is not None and earlier.first_for_user), count, roster, next(steps))

        return answer

    def idle(self, place: Place) -> Full:
        """See :class:`Act`."""
        return Full(place.users)

    def _is_full(self, place: Place) -> bool:
        member = self._member
        if member is None or place.users == 0 or place.users < self._max:
            return False
        return not place.has(member.user_id) and not place.holds(self.socket_id)


class Leave:
    """A connection goes."""

    most = 1

    def __init__(self, socket_id: str) -> None:
        self.socket_id = socket_id

    def on(self, place: Place, node: str) -> Callable[[Steps], object] | None:
        """See :class:`Act`."""
        removed = place.remove(self.socket_id)
        if removed is None:
            return None
        count, last = place.count, removed[1]
        return lambda steps: Left(count == 0, last, next(steps), count)

    def idle(self, place: Place) -> Left:
        """See :class:`Act`."""
        return Left()


class Sweep:
    """What a dead node owned goes, some of it at once: connections, whose they were, and what ``leave`` says."""

    most = 60

    def __init__(self, dead: str) -> None:
        self._dead = dead

    def on(self, place: Place, node: str) -> Callable[[Steps], object] | None:
        """See :class:`Act`."""
        gone: list[tuple[str, str | None, bool, int]] = []
        for socket_id, user in place.sockets(self._dead)[: self.most]:
            removed = place.remove(socket_id)
            gone.append((socket_id, user, removed is not None and removed[1], place.count))
        if not gone:
            return None
        return lambda steps: [
            (socket_id, user, Left(count == 0, last, next(steps), count)) for socket_id, user, last, count in gone
        ]

    def idle(self, place: Place) -> list[tuple[str, str | None, Left]]:
        """See :class:`Act`."""
        return []


class Touch:
    """Nothing happens, but it is written anew, so that it is not forgotten; whether anybody is in."""

    most = 1

    def on(self, place: Place, node: str) -> Callable[[Steps], object] | None:
        """See :class:`Act`."""
        return (lambda _: True) if place.owned(node) else None

    def idle(self, place: Place) -> bool:
        """See :class:`Act`."""
        return False
