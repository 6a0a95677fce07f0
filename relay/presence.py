"""Who is in a presence channel: users over several connections, first join and last leave."""

from __future__ import annotations

import msgspec

from relay.protocol.messages import Identity


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


class Consistent:
    """Keeps what one new member is told in step with the roster in its acknowledgement.

    Joins and leaves that happened while it was joining may or may not be in that roster already.
    ``tells(edge)`` says whether passing one on makes sense to a reader who counts from the roster.
    """

    __slots__ = ("_present",)

    def __init__(self, roster: dict[str, msgspec.Raw | None]) -> None:
        self._present = set(roster)

    def tells(self, user_id: str, *, joined: bool) -> bool:
        """Whether a member_added (or removed) of ``user_id`` is news to the reader."""
        if joined == (user_id in self._present):
            return False
        (self._present.add if joined else self._present.discard)(user_id)
        return True
