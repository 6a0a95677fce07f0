"""What Redis answers to the script's operations: each one string of MessagePack, read into what is meant by it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Literal, TypeVar

import msgspec

from relay.cluster.directory import Abandoned, Full, Joined, Left, Occupancy, Remembered, Roster
from relay.errors import BrokerError

T = TypeVar("T")


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


class Taken(msgspec.Struct, array_like=True, frozen=True):
    """One connection of a dead node that was taken out of a channel."""

    app: str
    channel: str
    socket_id: str
    gone: Gone

    def abandoned(self) -> Abandoned:
        """In the directory's words."""
        user_id = self.gone.user if self.gone.member == "1" else None
        return Abandoned(self.app, self.channel, self.socket_id, user_id, self.gone.left())


class Swept(msgspec.Struct, array_like=True, frozen=True):
    """To ``sweep``: whether there is ``more`` of what was asked for, and whether the node is ``clean`` there."""

    more: int
    clean: int
    taken: list[msgspec.Raw] = []

    def abandoned(self) -> list[Abandoned]:
        """In the directory's words. What is not ours among it is no connection that anybody could be told of."""
        return [taken.abandoned() for taken in _ours(self.taken, _taken)]


class Found(msgspec.Struct, array_like=True, frozen=True):
    """One occupied channel."""

    channel: str
    subscriptions: int
    users: int


class Lease(msgspec.Struct, array_like=True, frozen=True):
    """To ``beat``: whether the node was ``lost`` to the others, and the names of those that are dead."""

    lost: int
    dead: list[msgspec.Raw] = []


def _reader(kind: type[T]) -> Callable[[bytes], T]:
    """What reads answers of that kind. Raises :class:`BrokerError` for what cannot be one."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(answer: bytes) -> T:
        try:
            return decode(answer)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _not_ours(error) from None

    return read


entered = _reader(Entered)
gone = _reader(Gone)
found = _reader(list[Found])
lease = _reader(Lease)
names = _reader(list[msgspec.Raw])
swept = _reader(Swept)
number = _reader(int)
text = _reader(str)
_taken = _reader(Taken)
_members = _reader(list[str])
_counts = _reader(tuple[int, int])


def nodes(raw: Iterable[msgspec.Raw]) -> list[str]:
    """The names of nodes among ``raw``; what is not ours is no node's."""
    return list(_ours(raw, text))


def occupancy(answer: bytes) -> Occupancy:
    """To ``occupancy``."""
    return Occupancy(*_counts(answer))


def roster(answer: bytes) -> Roster:
    """To ``roster``."""
    return _roster(_members(answer))


def agreed(answer: bytes) -> tuple[int, dict[str, str]]:
    """To ``agree``: since when, and what."""
    flat = _members(answer)
    try:
        terms = dict(zip(flat[::2], flat[1::2], strict=True))
        return int(terms.pop("since")), terms
    except (ValueError, KeyError) as error:
        raise _not_ours(error) from None


def remembered(kept: bytes) -> Remembered:
    """What ``remember`` keeps."""
    try:
        until, step, event = kept.split(b" ", 2)
        return Remembered(event, int(step), float(until))
    except ValueError as error:
        raise _not_ours(error) from None


def _not_ours(error: Exception) -> BrokerError:
    return BrokerError(f"what Redis has is not ours: {type(error).__name__}")


def _ours(raw: Iterable[msgspec.Raw], read: Callable[[bytes], T]) -> Iterator[T]:
    for one in raw:
        with contextlib.suppress(BrokerError):
            yield read(bytes(one))


def _roster(flat: list[str]) -> Roster:
    """Users by the step at which they joined."""
    if not flat:
        return {}
    members = []
    try:
        for user, value in zip(flat[::2], flat[1::2], strict=True):
            step, _, info = value.partition(":")
            members.append((int(step), user, msgspec.Raw(info.encode()) if info else None))
    except ValueError as error:
        raise _not_ours(error) from None
    members.sort(key=itemgetter(0))
    return {user: info for _, user, info in members}
