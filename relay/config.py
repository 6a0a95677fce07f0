"""What ``relay serve`` is told by flags, environment and ``relay.toml``, as one checked value."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import msgspec

from relay.app import App, check_keys
from relay.cluster.scheme import shown
from relay.errors import UsageError


class ServerConfig(msgspec.Struct, frozen=True):
    """Where to listen, and to whom. File names count from the folder the program runs in."""

    host: str | None = None
    """Address to listen on; 127.0.0.1 when none is given."""
    port: int | None = None
    """Port to listen on, 0 for any free one; 6001 when none is given."""
    prefix: str = ""
    """What comes before ``/app`` and ``/apps``."""
    unix: str | None = None
    """Unix socket to listen on: instead of an address, or beside it where ``host`` or ``port`` is given too."""
    tls_cert: str | None = None
    """PEM file with the certificate and its chain: the address is served with TLS then. A Unix socket never is."""
    tls_key: str | None = None
    """PEM file with the certificate's private key."""
    fallbacks: bool | None = None
    """Whether clients that cannot use WebSockets are served over HTTP, below ``/pusher`` (protocol 9); None: by one
    process. A session is known to the process that began it, and workers share their requests as the kernel likes.
    """
    max_fallback_sessions: int = 10_000
    """Such clients at once in each process; one more is closed with 4100."""
    debug: bool = False
    """Whether refusals say why exactly. What they say helps an attacker too: never in production."""
    workers: int = 1
    """Processes that share the address; more than one needs a ``cluster``."""
    cluster: str | None = None
    """URL of the engine that links this hub to other nodes: ``redis://HOST:PORT`` or ``nats://HOST:PORT``."""
    hold: int = 0
    """Events that wait in each process, for a minute at most, while the engine is away; 0: none does."""
    metrics: bool | None = None
    """Whether ``/metrics`` is served, for Prometheus; None: where the ``prometheus`` extra is installed."""
    console_token: str | None = None
    """What opens ``/console``; None: there is no console. ``RELAY_CONSOLE_TOKEN`` in the environment is read too."""
    drain: float = 10.0
    """Seconds over which clients are sent away when the server ends, so that they do not all come back at once."""
    forwarded_from: tuple[str, ...] = ()
    """Proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` count: addresses, networks, or ``unix``."""
    max_connections_per_address: int | None = None
    """Connections at once from one remote address; one more is closed with 4004. None: no bound."""

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        values["console_token"] = None if self.console_token is None else "***"
        values["cluster"] = None if self.cluster is None else shown(self.cluster)
        return f"ServerConfig({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port to listen on, or None where there is only a Unix socket."""
        if self.unix is not None and self.host is None and self.port is None:
            return None
        return "127.0.0.1" if self.host is None else self.host, 6001 if self.port is None else self.port

    def check_port(self) -> None:
        """Raise :class:`UsageError` for a port that there is not."""
        if self.port is not None and not 0 <= self.port <= 65535:
            raise UsageError(f"server: port is a number from 0 to 65535, got {self.port}")

    def check(self) -> None:
        """Raise :class:`UsageError` for what cannot go together."""
        self.check_port()
        if self.unix == "":
            raise UsageError("the path of the Unix socket must not be empty")
        if (self.tls_cert is None) is not (self.tls_key is None):
            given, missing = ("certificate", "tls_key") if self.tls_key is None else ("key", "tls_cert")
            flag = missing.replace("_", "-")
            raise UsageError(f"TLS needs a certificate and its key, and only the {given} is given: add --{flag}")
        if not 0 <= self.drain <= 3600:
            raise UsageError(f"server: drain is a number of seconds from 0 to 3600, got {self.drain}")
        if self.hold < 0:
            raise UsageError(f"server: hold is a number of events from 0 on, got {self.hold}")
        self._check_workers()
        if self.tls_cert is not None and self.address is None:
            raise UsageError("a Unix socket is served without TLS: add --port to serve an address too")

    def _check_workers(self) -> None:
        """Workers must know of each other's clients, and share an address."""
        if self.workers < 1:
            raise UsageError(f"server: workers is a whole number above 0, got {self.workers}")
        if self.workers > 1 and self.cluster is None:
            raise UsageError(
                f"{self.workers} workers would each know only their own clients, and events would not reach the others:"
                " add --cluster redis://HOST:PORT, or leave --workers at 1"
            )
        if self.workers > 1 and self.fallbacks:
            raise UsageError(
                "a client over HTTP is known to one process, and workers that share an address cannot tell its requests"
                " apart: leave out --fallbacks, or run the processes on addresses of their own behind a proxy"
            )
        if self.workers > 1 and self.unix is not None:
            raise UsageError("workers share an address and cannot share a Unix socket: leave out --unix, or --workers")


class Config(msgspec.Struct, frozen=True):
    """One server with its Apps; ``cluster`` has the settings of the engine at ``server.cluster``, by their names."""

    server: ServerConfig
    apps: tuple[App, ...]
    cluster: Mapping[str, object] = {}


def parse_config(text: str) -> Config:
    """The configuration in a TOML text: optional ``[server]`` and ``[cluster]`` tables, and ``[[apps]]`` tables.

    The settings in ``[cluster]`` are checked by whoever knows the engine.

    Raises :class:`UsageError` naming the nearest valid key for one that is unknown.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}") from None
    check_keys(document, ("server", "cluster", "apps"), "")
    server, cluster = _table(document, "server"), _table(document, "cluster")
    check_keys(server, ServerConfig.__struct_fields__, "server: ")
    try:
        where = msgspec.convert(server, ServerConfig)
    except msgspec.ValidationError as error:
        raise UsageError(f"server: {error}") from None
    where.check_port()
    if (url := cluster.pop("url", None)) is not None:
        if not isinstance(url, str):
            raise UsageError(f"cluster: url should be text, got {type(url).__name__}")
        if where.cluster is not None:
            raise UsageError("the URL of the engine is told twice: leave out cluster of [server], or url of [cluster]")
        where = msgspec.structs.replace(where, cluster=url)
    return Config(where, App.from_tables(document.get("apps")), cluster)


def _table(document: Mapping[str, object], name: str) -> dict[str, object]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{name}: should be a table, got {type(table).__name__}")
    return dict(table)
