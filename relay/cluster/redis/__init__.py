"""Redis or Valkey between nodes: ``Hub(app, cluster=RedisCluster("redis://..."))``. Needs the extra ``redis``."""

from relay.cluster.redis.broker import RedisBroker
from relay.cluster.redis.cluster import RedisCluster
from relay.cluster.redis.directory import RedisDirectory
from relay.cluster.redis.settings import RedisSettings

__all__ = ["RedisBroker", "RedisCluster", "RedisDirectory", "RedisSettings"]
