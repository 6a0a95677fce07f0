"""Who is in a presence channel, as one of them sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from relay.protocol.messages import Member


class Members:
    """The users of a presence channel, in the order they came. Follows joins and leaves by itself."""

    def __init__(self, my_id: str | None = None) -> None:
        self._members: dict[str, Member] = {}
        self.my_id = my_id

    @classmethod
    def from_roster(cls, presence: Any, my_id: str | None) -> Members:
        """The members in an acknowledgement's ``presence`` object (protocol 2.4)."""
        members = cls(my_id)
        if isinstance(presence, dict) and isinstance(presence.get("hash"), dict):
            for user_id, info in presence["hash"].items():
                members.add(Member(user_id, info))
        return members

    @property
    def count(self) -> int:
        """How many users there are; several connections of one user count once."""
        return len(self._members)

    @property
    def me(self) -> Member | None:
        """The user this client is."""
        return self._members.get(self.my_id) if self.my_id is not None else None

    def get(self, user_id: str) -> Member | None:
        """The user with that id, if there."""
        return self._members.get(user_id)

    def each(self, callback: Callable[[Member], object]) -> None:
        """Call ``callback`` for every user."""
        for member in self:
            callback(member)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._members

    def __repr__(self) -> str:
        return f"Members({', '.join(self._members)})"

    def add(self, member: Member) -> bool:
        """Whether the user was not there before."""
        if member.id in self._members:
            return False
        self._members[member.id] = member
        return True

    def remove(self, user_id: str) -> Member | None:
        """The user who is gone, if there was one."""
        return self._members.pop(user_id, None)
