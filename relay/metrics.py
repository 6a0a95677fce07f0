"""Numbers about a running hub, read from its registries when asked, so that they cannot drift."""

from __future__ import annotations

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """What one App (or all) holds on this node right now; ``lost`` counts all events that slow clients ever lost."""

    connections: int = 0
    channels: int = 0
    subscriptions: int = 0
    users: int = 0
    lost: int = 0

    def __add__(self, other: Stats) -> Stats:
        return Stats(
            self.connections + other.connections,
            self.channels + other.channels,
            self.subscriptions + other.subscriptions,
            self.users + other.users,
            self.lost + other.lost,
        )
