"""What Redis answers to the script's operations: each one string of MessagePack, read into what is meant by it."""

from __future__ import annotations

from operator import itemgetter
from typing import Literal

import msgspec

from relay.cluster.directory import Abandoned, Full, Joined, Left, Occupancy, Roster


class Entered(msgspec.Struct, array_like=True, frozen=True):
    """To ``join``: the connection is ``in``; or the channel is ``full``, and ``count`` how many users it has; or the
    node that asks was taken for ``dead``. ``members`` are users and what is kept of them, in turn.
    """

    said: Literal["in", "full", "dead"]
    count: int = 0
    step: int = 0
    first_in_channel: int = 0
    first_for_user: int = 0
    members: list[str] = []

    def joined(self, before: Entered | None = None) -> Joined | Full:
        """In the directory's words. What was news in the answer ``before`` this one still has to be told."""
        if self.said == "full":
            return Full(self.count)
        first_in_channel, first_for_user = self.first_in_channel, self.first_for_user
        if before is not None:
            first_in_channel |= before.first_in_channel
            first_for_user |= before.first_for_user
        return Joined(bool(first_in_channel), bool(first_for_user), self.count, _roster(self.members), self.step)


class Gone(msgspec.Struct, array_like=True, frozen=True):
    """To ``leave``: empty for a connection that was not in. ``member`` is "1" for a user of a presence channel."""

    count: int = 0
    last: int = 0
    step: int = 0
    member: str = ""
    user: str = ""

    def left(self) -> Left:
        """In the directory's words."""
        return Left(self.count == 0, bool(self.last), self.step, self.count) if self.step else Left()


class Swept(msgspec.Struct, array_like=True, frozen=True):
    """One connection of a dead node that was taken out of a channel."""

    channel: str
    socket_id: str
    gone: Gone

    def abandoned(self, app: str) -> Abandoned:
        """In the directory's words."""
        user_id = self.gone.user if self.gone.member == "1" else None
        return Abandoned(app, self.channel, self.socket_id, user_id, self.gone.left())


class Found(msgspec.Struct, array_like=True, frozen=True):
    """One occupied channel."""

    channel: str
    subscriptions: int
    users: int


class Lease(msgspec.Struct, array_like=True, frozen=True):
    """To ``beat``: whether the node was ``lost`` to the others, and the names of those that are dead."""

    lost: int
    dead: list[str] = []


entered = msgspec.msgpack.Decoder(Entered).decode
gone = msgspec.msgpack.Decoder(Gone).decode
found = msgspec.msgpack.Decoder(list[Found]).decode
lease = msgspec.msgpack.Decoder(Lease).decode
swept = msgspec.msgpack.Decoder(tuple[int, list[Swept]]).decode
number = msgspec.msgpack.Decoder(int).decode
text = msgspec.msgpack.Decoder(str).decode
_members = msgspec.msgpack.Decoder(list[str]).decode
_counts = msgspec.msgpack.Decoder(tuple[int, int]).decode


def occupancy(answer: bytes) -> Occupancy:
    """To ``occupancy``."""
    return Occupancy(*_counts(answer))


def roster(answer: bytes) -> Roster:
    """To ``roster``."""
    return _roster(_members(answer))


def _roster(flat: list[str]) -> Roster:
    """Users by the step at which they joined."""
    if not flat:
        return {}
    members = []
    for user, value in zip(flat[::2], flat[1::2], strict=True):
        step, _, info = value.partition(":")
        members.append((int(step), user, msgspec.Raw(info.encode()) if info else None))
    members.sort(key=itemgetter(0))
    return {user: info for _, user, info in members}
