"""What a publish really did: a receipt instead of a shrug."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import msgspec

Remote = Literal["none", "sent", "held", "unavailable"]


class Terminated(int):
    """How many connections of a user were closed on this node, and as ``remote`` whether the other nodes know: there
    are ``none``, it was ``sent`` to them, or it is ``held``: they may not have heard it, and are told again when they
    can be reached. It is ``unavailable`` where it could not even be kept: call again.
    """

    remote: Remote

    def __new__(cls, closed: int, remote: Remote = "none") -> Self:
        """``closed`` connections here."""
        made = super().__new__(cls, closed)
        made.remote = remote
        return made


class ChannelReceipt(msgspec.Struct, frozen=True):
    """One channel's share of a publish, on this node.

    ``matched`` subscribers were there: ``queued`` of them will get the event, ``excluded`` is 1 where the
    named socket was among them, ``refused`` could take no more (slow, and now disconnected). ``lost`` events that
    waited for slow subscribers had to make room for this one (``App.slow_consumers``); this one itself counts where it
    found no room. ``info`` holds the counts that were asked for.
    """

    channel: str
    matched: int = 0
    queued: int = 0
    excluded: int = 0
    refused: int = 0
    info: Mapping[str, int] = {}
    lost: int = 0


class Receipt(msgspec.Struct, frozen=True):
    """What one ``trigger`` did, channel by channel. ``remote`` tells about the other nodes:
    there are ``none``, it was ``sent`` to them, it is ``held`` until they can be reached (``Hub(hold=...)``), or they
    were ``unavailable``. Of several channels the worst is told, and that is the order from good to bad.
    """

    channels: Mapping[str, ChannelReceipt]
    remote: Remote = "none"

    @property
    def info(self) -> Mapping[str, Mapping[str, int]]:
        """The counts that were asked for, channel by channel."""
        return {name: channel.info for name, channel in self.channels.items()}

    @property
    def delivered(self) -> int:
        """How many local connections the event was queued for."""
        return sum(channel.queued for channel in self.channels.values())

    @property
    def lost(self) -> int:
        """How many events slow subscribers lost for this one."""
        return sum(channel.lost for channel in self.channels.values())
