"""What a node answers itself while the directory cannot be reached: the truth about its own clients.

It keeps serving them (design 3.5). What it decides here is not known to other nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.cluster.directory import Full, Joined, Left

if TYPE_CHECKING:
    from relay.channels import Channel
    from relay.connection import Connection
    from relay.protocol.messages import Identity


def join(channel: Channel[Connection], member: Identity | None, *, max_members: int) -> Joined | Full:
    """What ``Directory.join`` would say if nobody were anywhere but here, and those who are known to be elsewhere."""
    first, count = not channel.transports, len(channel.transports) + 1
    if channel.told is None or member is None:
        return Joined(first, False, count, {}, 0)
    roster = dict(channel.told.members)
    first_for_user = member.user_id not in roster
    if first_for_user and len(roster) >= max_members:
        return Full(len(roster))
    roster.setdefault(member.user_id, member.info)
    return Joined(first, first_for_user, count, roster, channel.told.step)


def leave(channel: Channel[Connection] | None, user_id: str | None) -> Left:
    """What ``Directory.leave`` would say; ``channel`` is what is left of it here."""
    if channel is None or channel.told is None:
        return Left(channel is None, channel is None and user_id is not None, count=_count(channel))
    last_for_user = not any(_user_of(connection, channel.name) == user_id for connection in channel.transports.values())
    return Left(False, last_for_user, channel.told.step, _count(channel))


def _count(channel: Channel[Connection] | None) -> int:
    return 0 if channel is None else len(channel.transports)


def _user_of(connection: Connection, channel: str) -> str | None:
    subscription = connection.session.subscriptions.get(channel)
    return subscription.member.user_id if subscription and subscription.member else None
