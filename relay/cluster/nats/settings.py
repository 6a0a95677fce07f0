"""How one node uses NATS: names and times, the same for all nodes of a cluster."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from relay.cluster.leasing import check_times
from relay.errors import UsageError


class NatsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of one cluster agree on, in seconds where it is about time.

    ``prefix`` begins every subject and stream, so that several clusters may share one NATS. A node that was not heard
    of for ``lease`` is dead to the others; it says that it lives every ``beat``. NATS has ``patience`` to answer
    anything, and to bring back the message with which a node proves, every ``proof``, that it still hears. At most
    ``in_flight`` publishes, and as many steps of the directory, wait for NATS. What nobody touches is forgotten after
    ``forget``. JetStream keeps what it knows in ``storage``, on ``replicas`` servers.
    """

    prefix: str = "relay"
    lease: float = 10.0
    beat: float = 2.0
    patience: float = 2.0
    proof: float = 1.0
    in_flight: int = 10_000
    forget: float = 86_400.0
    storage: Literal["memory", "file"] = "memory"
    replicas: int = 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", self.prefix):
            raise UsageError(f"prefix is 1 to 32 letters, digits, - and _, got {self.prefix!r}")
        check_times(self)
        if self.in_flight < 1:
            raise UsageError(f"in_flight must be at least 1, got {self.in_flight}")
        if self.storage not in {"memory", "file"}:
            raise UsageError(f"storage is memory or file, got {self.storage!r}")
        if not 1 <= self.replicas <= 5:
            raise UsageError(f"replicas is from 1 to 5, got {self.replicas}")
