"""Broker and directory over one NATS, for one hub."""

from __future__ import annotations

from relay.cluster.nats.broker import NatsBroker
from relay.cluster.nats.directory import NatsDirectory
from relay.cluster.nats.lane import Lane
from relay.cluster.nats.link import servers_of
from relay.cluster.nats.settings import NatsSettings


class NatsCluster:
    """Make a hub one node of a cluster that meets at one NATS with JetStream: ``Hub(app, cluster=NatsCluster(url))``.

    ``url`` is ``nats://user:password@host:port``, ``nats://token@host:port``, or ``tls://``, which takes nothing but
    TLS; several servers of one NATS are separated by commas. ``settings`` are the same on all nodes. Nothing is
    connected before the hub runs; each hub needs one of its own.

    Raises :class:`~relay.errors.UsageError` for a URL that cannot be meant.
    """

    def __init__(self, url: str, settings: NatsSettings | None = None) -> None:
        settings = settings or NatsSettings()
        lane = Lane(servers_of(url), settings)
        self.directory = NatsDirectory(url, settings, lane=lane)
        self.broker = _Both(url, settings, lane=lane, directory=self.directory)


class _Both(NatsBroker):
    """The hub closes its broker last: with it goes the directory."""

    def __init__(self, url: str, settings: NatsSettings, *, lane: Lane, directory: NatsDirectory) -> None:
        super().__init__(url, settings, lane=lane)
        self._directory = directory

    async def close(self) -> None:
        await self._directory.close()
        await super().close()
