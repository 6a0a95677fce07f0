"""From a URL to the NATS that is meant: its servers, how to log in there, whom to trust, and how it keeps things."""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from relay.cluster.nats.settings import NatsSettings
from relay.cluster.scheme import NATS, scheme_of, shown
from relay.errors import UsageError

_PORT: Final = 4222
_FILES: Final = ("tls_ca", "tls_cert", "tls_key")
_ESCAPES: Final = "in a login / is %2F, ? is %3F, # is %23, @ is %40, , is %2C and % is %25"
_KEPT: Final = ("storage", "replicas")


class Server:
    """One server; ``login`` is what nats-py is told of who we are."""

    __slots__ = ("login", "place")

    def __init__(self, parts: SplitResult, first: SplitResult) -> None:
        host = parts.hostname or ""
        self.place = f"{f'[{host}]' if ':' in host else host}:{parts.port or _PORT}"
        self.login = _login(first if parts.username is None else parts)


class Address:
    """Where NATS is, of which any of ``servers`` will do, and the ``settings`` with what ``url`` says about it.

    - ``nats://user:password@host:port`` or ``nats://token@host:port``, each part percent-encoded where it has to be;
    - ``tls://`` takes nothing but TLS;
    - ``nats://host:port,host:port`` are several servers of one NATS: the first one's login is that of all without one;
    - ``?tls_ca=FILE`` has the authorities to trust instead of the system's, ``tls_cert=FILE&tls_key=FILE`` what this
      node shows of itself, all of them PEM; ``storage=file`` and ``replicas=3`` go before what the settings say.

    Raises :class:`UsageError` that quotes no password, also for files that cannot be used.
    """

    def __init__(self, url: str, settings: NatsSettings | None = None) -> None:
        named, _, query = url.partition("?")
        scheme, seen = scheme_of(named), shown(url)
        if scheme not in NATS:
            raise UsageError(f"no NATS URL: {' or '.join(NATS)} is what it begins with, got {seen}")
        servers = [_parts(one if "://" in one else f"{scheme}://{one}") for one in named.split(",")]
        if any(parts is None or parts.scheme != scheme for parts in servers):
            raise UsageError(f"no NATS URL: nats://host:port, several separated by commas ({_ESCAPES}), got {seen}")
        known = [parts for parts in servers if parts is not None]
        if known[0].username is None and any(parts.username is not None for parts in known):
            raise UsageError(f"no NATS URL: a login belongs to the first server, or to each of them; got {seen}")
        self.servers = [Server(parts, known[0]) for parts in known]
        options = _options(query)
        self.secured = scheme == "tls"
        self.settings = _kept(settings or NatsSettings(), options)
        self._files = {name: options[name] for name in _FILES if name in options}
        if self._files and not self.secured:
            raise UsageError(f"no NATS URL: {', '.join(self._files)} is for tls://, got {seen}")
        if ("tls_cert" in self._files) != ("tls_key" in self._files):
            raise UsageError("no NATS URL: tls_cert and tls_key go together")
        self._check()

    def context(self) -> ssl.SSLContext | None:
        """What to connect with over TLS; the files are read again, so that new ones hold from the next connection on.
        None leaves to the server whether there is TLS.

        Raises :class:`OSError` for files that cannot be used.
        """
        if not self.secured:
            return None
        files = self._files
        context = ssl.create_default_context(cafile=files.get("tls_ca"))
        if "tls_cert" in files:
            context.load_cert_chain(files["tls_cert"], files["tls_key"], _no_passphrase)
        return context

    def _check(self) -> None:
        try:
            self.context()
        except OSError as error:
            named = ", ".join(f"{name}={path}" for name, path in self._files.items())
            told = getattr(error, "reason", None) or error.strerror or "not valid PEM"
            raise UsageError(f"the files in the NATS URL cannot be used: {told}; got {named}") from None


def _parts(server: str) -> SplitResult | None:
    """One server's URL; None if that cannot be meant."""
    try:
        parts = urlsplit(server)
        fine = bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"} and not parts.fragment
    except ValueError:
        return None
    return parts if fine else None


def _login(parts: SplitResult) -> dict[str, Any]:
    if parts.username is None:
        return {}
    if parts.password is None:
        return {"token": unquote(parts.username)}
    return {"user": unquote(parts.username), "password": unquote(parts.password)}


def _options(query: str) -> dict[str, str]:
    """What stands behind the ``?``."""
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if set(options) <= {*_FILES, *_KEPT} and all(options.values()) and len(options) == len(pairs):
        return options
    # Neither names nor values are shown: a password with a question mark in it looks like this.
    raise UsageError(f"no NATS URL: behind ? come {', '.join((*_FILES, *_KEPT))}, each once, as name=value")


def _kept(settings: NatsSettings, options: dict[str, str]) -> NatsSettings:
    said: dict[str, Any] = {name: options[name] for name in _KEPT if name in options}
    if "replicas" in said:
        if not (said["replicas"].isascii() and said["replicas"].isdigit()):
            raise UsageError("replicas is from 1 to 5, got something that is no number")
        said["replicas"] = int(said["replicas"][:3])
    return msgspec.structs.replace(settings, **said)


def _no_passphrase() -> str:
    raise OSError(0, "the key is encrypted with a passphrase, and there is nobody to ask for it")
