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
    """The names under one prefix. Keys of two dbs are apart anyhow, but all dbs share their topics: those have the
    number of the db in them.
    """

    __slots__ = ("_database", "_prefix", "shards")

    def __init__(self, prefix: str, shards: int, database: int = 0) -> None:
        self._prefix = prefix.encode()
        self._database = database
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

    @property
    def agreed(self) -> bytes:
        """What all nodes have to have the same."""
        return b"%b:{nodes}:agreed" % self._prefix

    def topic(self, app: str, channel: str) -> bytes:
        """Where a channel's envelopes are published. What is about no channel is for every node."""
        if not channel:
            return b"%b:{0}:%d:all" % (self._prefix, self._database)
        here = place(app, channel)
        return b"%b%d:t:%b" % (self.shard(here), self._database, here)

    def beacon(self, node: str, shard: int) -> bytes:
        """Where a node hears itself, and nothing else."""
        return b"%b%d:beacon:%b" % (self.numbered(shard), self._database, node.encode())
