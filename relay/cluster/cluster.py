"""What links a hub to other nodes: a Broker and a Directory that belong together."""

from __future__ import annotations

from typing import Protocol

from relay.cluster.broker import Broker
from relay.cluster.directory import Directory


class Cluster(Protocol):
    """One node's share of a cluster: ``Hub(app, cluster=...)`` takes both from it."""

    @property
    def broker(self) -> Broker:
        """What carries envelopes to the other nodes. Closing it closes all."""

    @property
    def directory(self) -> Directory:
        """What knows who is where."""
