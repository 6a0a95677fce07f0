"""How one node uses Redis: names and times, the same for all nodes of a cluster."""

from __future__ import annotations

from typing import Final

import msgspec

from relay.cluster.leasing import check_times
from relay.errors import UsageError

_SHARDS_OF_A_CLUSTER: Final = 16


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of one cluster agree on, in seconds where it is about time.

    ``prefix`` begins every key and topic, so that several clusters may share one Redis. A node that was not heard of
    for ``lease`` is dead to the others; it says that it lives every ``beat``. Redis has ``patience`` to answer
    anything, and to bring back the message with which a node proves, every ``proof``, that it still hears. At most
    ``in_flight`` commands wait for Redis. What nobody touches is forgotten after ``forget``. Channels are spread
    over ``shards``, each of which lives in one place of a Redis Cluster: None is 16 there, and 1 elsewhere.
    """

    prefix: str = "relay"
    lease: float = 10.0
    beat: float = 2.0
    patience: float = 2.0
    proof: float = 1.0
    in_flight: int = 10_000
    forget: float = 86_400.0
    shards: int | None = None

    def __post_init__(self) -> None:
        if not self.prefix or "{" in self.prefix or "}" in self.prefix:
            raise UsageError(f"prefix must not be empty and have no braces, got {self.prefix!r}")
        check_times(self)
        if self.in_flight < 1 or (self.shards is not None and self.shards < 1):
            raise UsageError("in_flight and shards must be at least 1")

    def shards_in(self, *, clustered: bool) -> int:
        """Over how many shards channels are spread."""
        return self.shards or (_SHARDS_OF_A_CLUSTER if clustered else 1)
