"""The engine that a URL names, to link this hub to other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relay.errors import UsageError

if TYPE_CHECKING:
    from relay.cluster.cluster import Cluster

_REDIS: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
"""Also with ``+sentinel`` or ``+cluster`` behind them."""
_NATS: Final = ("nats", "tls")


def cluster_of(url: str) -> Cluster:
    """One node's share of the cluster that meets at ``url``.

    Raises :class:`UsageError`, which tells nothing of the URL but its scheme: there may be a password in it.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    try:
        if scheme.partition("+")[0] in _REDIS:
            from relay.cluster.redis import RedisCluster

            return RedisCluster(url)
        if scheme in _NATS:
            from relay.cluster.nats import NatsCluster

            return NatsCluster(url)
    except ImportError as error:
        extra = "nats" if scheme in _NATS else "redis"
        raise UsageError(
            f"--cluster {scheme}://... needs an extra: pip install 'relay-hub[{extra}]' ({error})"
        ) from None
    shown = f"got {scheme}://..." if scheme else "got something that is no URL"
    raise UsageError(f"--cluster is redis://HOST:PORT or nats://HOST:PORT, {shown}")
