"""From a URL to connections to the Redis that is meant: one server, the master that Sentinels name, or a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from inspect import signature
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from relay.errors import UsageError

_NAMING = "driver_info" if "driver_info" in signature(AbstractConnection.__init__).parameters else "lib_name"
"""With which redis-py reads files about its own version for each connection, unless told not to."""

Argument = bytes | str | int
SCHEMES = ("redis", "rediss", "unix", "valkey", "valkeys")


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

    Nothing is tried again by itself: whoever uses a connection decides what its loss means.
    """
    scheme, _, kind = url.partition("://")[0].partition("+")
    if scheme not in SCHEMES or kind not in {"", "sentinel", "cluster"}:
        raise UsageError(
            f"no Redis URL: {', '.join(SCHEMES)} (+sentinel, +cluster) is what it begins with, got {_shown(url)}"
        )
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
        "retry": Retry(NoBackoff(), 0),
        _NAMING: None,
    }
    plain = urlsplit(url)._replace(scheme={"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme))
    try:
        if kind == "sentinel":
            return _master(plain, options)
        make = _Clustered if kind else _server
        return make(urlunsplit(plain), options)
    except (ValueError, TypeError) as error:
        raise UsageError(f"no Redis URL: {error}; got {_shown(url)}") from None


class _Pooled:
    """One server, whichever that is when a connection is made."""

    clustered = False

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def learn(self) -> None:
        pass

    def owner(self, key: bytes) -> str:
        return ""

    async def connect(self, key: bytes) -> Line:
        return await _connected(self._pool.make_connection())

    async def close(self) -> None:
        await self._pool.disconnect()


def _server(url: str, options: dict[str, Any]) -> Place:
    return _Pooled(Redis.from_url(url, **options).connection_pool)


class _Master(_Pooled):
    """The master of one service, as its Sentinels know it at the moment of connecting."""

    def __init__(self, sentinel: Any, service: str) -> None:
        super().__init__(sentinel.master_for(service).connection_pool)
        self._sentinel = sentinel

    async def close(self) -> None:
        await super().close()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


def _master(url: SplitResult, options: dict[str, Any]) -> Place:
    credentials, _, hosts = url.netloc.rpartition("@")
    service, _, database = unquote(url.path.strip("/")).partition("/")
    if not service:
        raise ValueError("after the Sentinels comes /service")
    at = f"{credentials}@" if credentials else ""
    query = f"?{url.query}" if url.query else ""
    known: dict[str, Any] = dict(parse_url(f"{url.scheme}://{at}master/{database}{query}"))
    for name in ("host", "port", "connection_class"):
        known.pop(name, None)
    make: Any = Sentinel
    sentinels = [_address(host) for host in hosts.split(",")]
    secured = {"ssl": True} if url.scheme == "rediss" else {}
    return _Master(make(sentinels, sentinel_kwargs=options, **options | secured | known), service)


class _Clustered:
    """A Redis Cluster, of which the URL names one server."""

    clustered = True

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        parse_url(url)
        known = signature(RedisCluster.__init__).parameters
        self._make = partial(RedisCluster.from_url, url, **{name: options[name] for name in options if name in known})
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


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if parts.hostname is None:
        raise ValueError("a Sentinel is host:port")
    return parts.hostname, parts.port or 26379


def _shown(url: str) -> str:
    """The URL without what is secret in it."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme[:20]}{separator}{rest.rpartition('@')[2].partition('?')[0][:100]}" if separator else "no scheme"
