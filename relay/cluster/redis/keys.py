"""What things are called in Redis. Names of Apps and channels are opaque, and no two of them meet.

Everything about one channel lies in the channel's *shard*, whose number is the hash tag of every key: so one script may
touch all of it, in a Redis Cluster too.
"""

from __future__ import annotations

import zlib


def place(app: str, channel: str) -> bytes:
    """One channel of one App."""
    name = app.encode()
    return b"%d:%b:%b" % (len(name), name, channel.encode())


class Keys:
    """The names under one prefix."""

    __slots__ = ("_prefix", "shards")

    def __init__(self, prefix: str, shards: int) -> None:
        self._prefix = prefix.encode()
        self.shards = shards

    def shard(self, place: bytes) -> bytes:
        """What the keys about ``place`` begin with."""
        return self.numbered(zlib.crc32(place) % self.shards)

    def numbered(self, shard: int) -> bytes:
        """What the keys of that shard begin with."""
        return b"%b:{%d}:" % (self._prefix, shard)

    @property
    def nodes(self) -> bytes:
        """Until when each node is to be taken for alive."""
        return b"%b:{nodes}:lease" % self._prefix

    def topic(self, app: str, channel: str) -> bytes:
        """Where a channel's envelopes are published. What is about no channel is for every node."""
        if not channel:
            return b"%b:{0}:all" % self._prefix
        here = place(app, channel)
        return b"%bt:%b" % (self.shard(here), here)

    def beacon(self, node: str, shard: int) -> bytes:
        """Where a node hears itself, and nothing else."""
        return b"%bbeacon:%b" % (self.numbered(shard), node.encode())
