"""Broker and directory over one NATS, for one hub."""

from __future__ import annotations

from relay.cluster.nats.address import Address
from relay.cluster.nats.broker import NatsBroker
from relay.cluster.nats.directory import NatsDirectory
from relay.cluster.nats.lane import Lane
from relay.cluster.nats.settings import NatsSettings


class NatsCluster:
    """Make a hub one node of a cluster that meets at one NATS with JetStream: ``Hub(app, cluster=NatsCluster(url))``.

    ``url`` is ``nats://user:password@host:port``, ``nats://token@host:port``, or ``tls://``, which takes nothing but
    TLS; several servers of one NATS are separated by commas, and the first one's login is that of all who have none.
    Behind a ``?`` may come ``tls_ca=FILE``, the authorities to trust instead of the system's, ``tls_cert=FILE`` and
    ``tls_key=FILE``, what this node shows of itself, and ``storage`` and ``replicas``, which go before what
    ``settings`` say. These are the same on all nodes. Nothing is connected before the hub runs; each hub needs one of
    its own.

    Raises :class:`~relay.errors.UsageError` for a URL that cannot be meant, and for files that cannot be used.
    """

    def __init__(self, url: str, settings: NatsSettings | None = None) -> None:
        lane = Lane(Address(url, settings))
        self.directory = NatsDirectory(url, settings, lane=lane)
        self.broker = _Both(url, settings, lane=lane, directory=self.directory)


class _Both(NatsBroker):
    """The hub closes its broker last: with it goes the directory."""

    def __init__(self, url: str, settings: NatsSettings | None, *, lane: Lane, directory: NatsDirectory) -> None:
        super().__init__(url, settings, lane=lane)
        self._directory = directory

    async def close(self) -> None:
        await self._directory.close()
        await super().close()
