"""What a Redis URL says, read strictly: what cannot be meant is refused, and nothing of it is quoted but the scheme."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from relay.cluster.scheme import REDIS, scheme_of, shown
from relay.errors import UsageError

KINDS: Final = ("", "sentinel", "cluster")
_SWITCHES: Final = ("socket_keepalive", "ssl_check_hostname")
_YES_OR_NO: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_CERTIFICATES: Final = ("none", "optional", "required")
_TLS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
OPTIONS: Final = ("username", "password", "db", "client_name", "socket_keepalive", *_TLS)
"""What may come behind the ``?``, with redis-py's names and meanings. Times are the settings' matter."""
_PORTS: Final = {"": 6379, "sentinel": 26379, "cluster": 6379}
_ESCAPES: Final = "in a name or password / is %2F, ? is %3F, # is %23, @ is %40, : is %3A and % is %25"


class Target:
    """The servers that ``url`` names, and the ``options`` of redis-py's connections to them: login, db, TLS.

    ``kind`` is ``"sentinel"``, ``"cluster"`` or nothing; ``hosts`` are those servers, or the Sentinels that know the
    master of ``service``; ``path`` is that of a Unix socket, which has no host.

    Raises :class:`UsageError`, which quotes the scheme and nothing else: where a password is not escaped, any part
    may belong to it.
    """

    __slots__ = ("database", "hosts", "kind", "options", "path", "secured", "service")

    def __init__(self, url: str) -> None:
        scheme, plus, self.kind = scheme_of(url).partition("+")
        unix = scheme == "unix"
        if scheme not in REDIS or self.kind not in KINDS or (plus and (unix or not self.kind)):
            known = ", ".join(REDIS)
            raise UsageError(f"no Redis URL: {known} (+sentinel, +cluster) is what it begins with, got {shown(url)}")
        self.secured = scheme in {"rediss", "valkeys"}
        problem = None
        try:
            self._read(_parts(url), unix=unix)
        except _Wrong as wrong:
            problem = str(wrong)
        if problem is not None:
            raise UsageError(f"no Redis URL: {problem} ({_ESCAPES}), got {shown(url)}")

    def _read(self, parts: SplitResult, *, unix: bool) -> None:
        if parts.fragment:
            raise _Wrong("there is a # in it")
        login, _, hosts = parts.netloc.rpartition("@")
        options = _options(parts.query, secured=self.secured)
        self.path, self.service = "", ""
        where = parts.path.removeprefix("/")
        if unix:
            if hosts or not where:
                raise _Wrong("a Unix socket is unix:///path, with three slashes")
            self.hosts, self.path, where = [], unquote(parts.path), ""
        else:
            self.hosts = [_host(host, _PORTS[self.kind]) for host in hosts.split(",")]
        if self.kind == "sentinel":
            self.service, _, where = where.partition("/")
            self.service = unquote(self.service)
            if not self.service:
                raise _Wrong("after the Sentinels comes /service")
        elif len(self.hosts) > 1:
            raise _Wrong("one server is enough, only Sentinels are several")
        self.database = self._database(where.removesuffix("/"), options.get("db"))
        user, _, password = login.partition(":")
        named = {"username": unquote(user), "password": unquote(password)}
        self.options: dict[str, Any] = options | {key: value for key, value in named.items() if value}
        self.options["db"] = self.database

    def _database(self, told: str, also: str | None) -> int:
        if told and also is not None:
            raise _Wrong("the db is told twice")
        number = told if also is None else also
        if not re.fullmatch(r"[0-9]{1,6}", number) and (number or also is not None):
            raise _Wrong("the db is a whole number from 0 on")
        database = int(number or 0)
        if database and self.kind == "cluster":
            raise _Wrong("a Redis Cluster has only db 0")
        return database


class _Wrong(Exception):
    """The message says what could be meant, and quotes nothing."""


def _parts(url: str) -> SplitResult:
    if re.search(r"[\x00-\x20\x7f]", url):
        raise _Wrong("there is a space or a control character in it")
    parts = _split(url)
    if parts is None:
        raise _Wrong("its host cannot be read")
    return parts


def _split(url: str) -> SplitResult | None:
    """The parts; None where there are none. What urllib says of it quotes the URL, so that is not kept."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _host(host: str, usual: int) -> tuple[str, int]:
    parts, port = _split(f"//{host}"), None
    if parts is not None:
        try:
            port = parts.port
        except ValueError:
            parts = None
    if parts is None or port == 0:
        raise _Wrong("the port is a number from 1 to 65535")
    if not parts.hostname:
        raise _Wrong("a host is missing")
    return unquote(parts.hostname), port or usual


def _options(query: str, *, secured: bool) -> dict[str, Any]:
    """What stands behind the ``?``."""
    pairs = parse_qsl(query, keep_blank_values=True)
    options: dict[str, Any] = dict(pairs)
    if len(options) < len(pairs) or not set(options) <= set(OPTIONS) or (query and not pairs):
        raise _Wrong(f"behind ? come {', '.join(OPTIONS)}, each once, as name=value")
    if not secured and (strange := [name for name in _TLS if name in options]):
        raise _Wrong(f"{strange[0]} is for rediss://")
    if options.get("ssl_cert_reqs", "none") not in _CERTIFICATES:
        raise _Wrong("ssl_cert_reqs is none, optional or required")
    for name in _SWITCHES:
        if name in options:
            if options[name].lower() not in _YES_OR_NO:
                raise _Wrong(f"{name} is yes or no")
            options[name] = _YES_OR_NO[options[name].lower()]
    return options
