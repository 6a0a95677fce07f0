"""The engine that a URL names, to link this hub to other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from relay.app import check_keys
from relay.cluster.scheme import NATS, REDIS, scheme_of, shown
from relay.errors import UsageError

if TYPE_CHECKING:
    from relay.cluster.cluster import Cluster

S = TypeVar("S", bound=msgspec.Struct)


def cluster_of(url: str, settings: Mapping[str, object] | None = None) -> Cluster:
    """One node's share of the cluster that meets at ``url``, with ``settings`` by the names that the engine's have.

    Raises :class:`UsageError`, which tells nothing of the URL but its scheme: there may be a password in it.
    """
    scheme = scheme_of(url)
    try:
        if scheme.partition("+")[0] in REDIS:
            from relay.cluster.redis import RedisCluster, RedisSettings

            return RedisCluster(url, _converted(settings, RedisSettings))
        if scheme in NATS:
            from relay.cluster.nats import NatsCluster, NatsSettings

            return NatsCluster(url, _converted(settings, NatsSettings))
    except ImportError as error:
        extra = "nats" if scheme in NATS else "redis"
        raise UsageError(
            f"--cluster {scheme}://... needs an extra: pip install 'relay-hub[{extra}]' ({error})"
        ) from None
    raise UsageError(f"--cluster is redis://HOST:PORT or nats://HOST:PORT, got {shown(url)}")


def _converted(settings: Mapping[str, object] | None, kind: type[S]) -> S:
    """``settings`` as what the engine takes."""
    given = settings or {}
    check_keys(given, kind.__struct_fields__, "cluster: ")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"cluster: {error}") from None
