"""Broker and directory over one Redis, for one hub."""

from __future__ import annotations

from relay.cluster.redis.address import Place, locate
from relay.cluster.redis.broker import RedisBroker
from relay.cluster.redis.directory import RedisDirectory
from relay.cluster.redis.lanes import Lanes
from relay.cluster.redis.settings import RedisSettings


class RedisCluster:
    """Make a hub one node of a cluster that meets at one Redis or Valkey: ``Hub(app, cluster=RedisCluster(url))``.

    ``url`` is ``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix:///path``;
    ``redis+sentinel://host:port,host:port/service/db`` for the master that Sentinels know; or
    ``redis+cluster://host:port`` for a Redis Cluster. ``settings`` are the same on all nodes. Nothing is connected
    before the hub runs; each hub needs one of its own.

    Raises :class:`~relay.errors.UsageError` for a URL that cannot be meant.
    """

    def __init__(self, url: str, settings: RedisSettings | None = None) -> None:
        settings = settings or RedisSettings()
        place = locate(url, settings.patience)
        lanes = Lanes(place, settings)
        self.directory = RedisDirectory(url, settings, at=place, lanes=lanes)
        self.broker = _Both(url, settings, place=place, lanes=lanes, directory=self.directory)


class _Both(RedisBroker):
    """The hub closes its broker last: with it goes the directory."""

    def __init__(
        self, url: str, settings: RedisSettings, *, directory: RedisDirectory, place: Place, lanes: Lanes
    ) -> None:
        super().__init__(url, settings, place=place, lanes=lanes)
        self._directory = directory

    async def close(self) -> None:
        await self._directory.close()
        await super().close()
