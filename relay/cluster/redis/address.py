"""From a URL to connections to the Redis that is meant: one server, the master that Sentinels name, or a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from inspect import signature
from typing import Any, Protocol

from redis.asyncio import Connection, ConnectionPool, RedisCluster, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from relay.cluster.redis.target import Target

_NAMING = "driver_info" if "driver_info" in signature(AbstractConnection.__init__).parameters else "lib_name"
"""With which redis-py reads files about its own version for each connection, unless told not to."""

Argument = bytes | str | int


class Line(Protocol):
    """What is used of one of redis-py's connections."""

    async def connect(self) -> None:
        """Connect, and say who we are."""

    async def disconnect(self, nowait: bool = ...) -> None:  # noqa: FBT001 - redis-py's own
        """Let go."""

    def pack_commands(self, commands: Iterable[Sequence[Argument]]) -> list[bytes]:
        """Commands as they are sent."""

    async def send_packed_command(self, command: list[bytes], check_health: bool = ...) -> None:  # noqa: FBT001
        """Send what was packed."""

    async def send_command(self, *args: Argument, check_health: bool = ...) -> None:
        """Send one command."""

    async def read_response(self, *, timeout: float | None = ...) -> object:  # noqa: ASYNC109 - redis-py's own
        """The next answer or message; ``math.inf`` waits for ever. Raises an error that Redis answers."""


class Place(Protocol):
    """Where connections come from."""

    @property
    def clustered(self) -> bool:
        """Whether what one key needs may be elsewhere than what another needs."""

    @property
    def database(self) -> int:
        """The number of the db that keys are in. Pub/sub knows none: it is the same for all of them."""

    async def learn(self) -> None:
        """Find out where everything is now."""

    def owner(self, key: bytes) -> str:
        """A name for the server that ``key`` belongs to, as far as that was learnt."""

    async def connect(self, key: bytes) -> Line:
        """A connection to where ``key`` belongs now. Raises what redis-py does."""

    async def close(self) -> None:
        """Give up what was kept to find it out."""


def locate(url: str, patience: float) -> Place:
    """What ``url`` means. Raises :class:`UsageError` that quotes no password.

    - ``redis://user:password@host:port/db``, ``rediss://`` over TLS, ``unix:///path?db=0``; ``valkey://`` is the same;
    - ``redis+sentinel://user:password@host:port,host:port/service/db`` asks the Sentinels where the master is;
    - ``redis+cluster://user:password@host:port`` is a Redis Cluster, to which that server belongs.

    Schemes are the same in upper case. Behind a ``?`` may come what redis-py knows there: ``username``, ``password``,
    ``db``, ``client_name``, ``socket_keepalive`` and, for TLS, ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``,
    ``ssl_cert_reqs`` and ``ssl_check_hostname``. Nothing is tried again by itself: whoever uses a connection decides
    what its loss means.
    """
    target = Target(url)
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
        "retry": Retry(NoBackoff(), 0),
        _NAMING: None,
    }
    if target.kind == "sentinel":
        return _master(target, options)
    return _Clustered(target, options) if target.kind else _server(target, options)


class _Pooled:
    """One server, whichever that is when a connection is made."""

    clustered = False

    def __init__(self, pool: Any, database: int) -> None:
        self._pool = pool
        self.database = database

    async def learn(self) -> None:
        pass

    def owner(self, key: bytes) -> str:
        return ""

    async def connect(self, key: bytes) -> Line:
        return await _connected(self._pool.make_connection())

    async def close(self) -> None:
        await self._pool.disconnect()


def _server(target: Target, options: dict[str, Any]) -> Place:
    known = options | target.options
    if target.path:
        return _Pooled(ConnectionPool(UnixDomainSocketConnection, path=target.path, **known), target.database)
    [(host, port)] = target.hosts
    kind = SSLConnection if target.secured else Connection
    return _Pooled(ConnectionPool(kind, host=host, port=port, **known), target.database)


class _Master(_Pooled):
    """The master of one service, as its Sentinels know it at the moment of connecting."""

    def __init__(self, sentinel: Any, service: str, database: int) -> None:
        super().__init__(sentinel.master_for(service).connection_pool, database)
        self._sentinel = sentinel

    async def close(self) -> None:
        await super().close()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


def _master(target: Target, options: dict[str, Any]) -> Place:
    make: Any = Sentinel
    secured = {"ssl": True} if target.secured else {}
    sentinel = make(target.hosts, sentinel_kwargs=options, **options | secured | target.options)
    return _Master(sentinel, target.service, target.database)


class _Clustered:
    """A Redis Cluster, of which the URL names one server."""

    clustered = True
    database = 0

    def __init__(self, target: Target, options: dict[str, Any]) -> None:
        known = signature(RedisCluster.__init__).parameters
        wanted = options | target.options | {"ssl": target.secured}
        [(host, port)] = target.hosts
        self._make = partial(
            RedisCluster, host=host, port=port, **{name: wanted[name] for name in wanted if name in known}
        )
        self._client: Any = None

    async def learn(self) -> None:
        if self._client is None:
            self._client = self._make()
            await self._client.initialize()
        else:
            await self._client.nodes_manager.initialize()

    def owner(self, key: bytes) -> str:
        name: str = self._client.get_node_from_key(key).name
        return name

    async def connect(self, key: bytes) -> Line:
        await self.learn()
        node = self._client.get_node_from_key(key)
        return await _connected(node.connection_class(**node.connection_kwargs))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def _connected(line: Line) -> Line:
    try:
        await line.connect()
    except BaseException:
        await line.disconnect(nowait=True)
        raise
    return line
