"""NATS between nodes: ``Hub(app, cluster=NatsCluster("nats://..."))``. Needs the extra ``nats``, and JetStream."""

from relay.cluster.nats.broker import NatsBroker
from relay.cluster.nats.cluster import NatsCluster
from relay.cluster.nats.directory import NatsDirectory
from relay.cluster.nats.settings import NatsSettings

__all__ = ["NatsBroker", "NatsCluster", "NatsDirectory", "NatsSettings"]
