"""The server under test: a hub of our own, with everything switched on, or any Pusher-compatible server."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import trustme

from relay import App
from tests.conformance.reference import MASTER_KEY, Credentials

PATIENCE = 20.0
_APP = Credentials("1001", "conformance-key", "conformance-secret")
_FLAGS = [
    *("--client-events", "--watchlists", "--subscription-counts", "--user-authentication"),
    *("--encryption-master-key", MASTER_KEY, "--offline-grace", "0.2", "--drain", "0", "--no-metrics"),
]


@dataclass(frozen=True)
class Address:
    """Where a server listens; ``authority`` is a file with the certificate to trust, for one that is not public."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""
    authority: Path | None = None

    @property
    def url(self) -> str:
        """The start of every HTTP address."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}{self.prefix}"

    @property
    def trust(self) -> ssl.SSLContext | None:
        """What a client of ours trusts, None without TLS."""
        return ssl.create_default_context(cafile=self.authority) if self.tls else None


class Target(Protocol):
    """A server and what the run can do with it."""

    app: Credentials
    ours: bool

    @property
    def address(self) -> Address:
        """Where clients go."""

    def with_tls(self) -> Address | None:
        """Where clients go with TLS; None when there is no such place."""

    def restart(self) -> None:
        """End the server and start it again at the same place; only ``ours`` can."""


class Remote:
    """Somebody's server, by the URL of its App."""

    ours = False

    def __init__(self, url: str) -> None:
        App.from_url(url)  # says in its own words what is wrong with it
        parts = urlsplit(url)
        head, _, identity = parts.path.rstrip("/").rpartition("/")
        tls = parts.scheme == "https"
        self.app = Credentials(identity, unquote(parts.username or ""), unquote(parts.password or ""))
        prefix = head.removesuffix("/apps")
        self.address = Address(parts.hostname or "", parts.port or (443 if tls else 80), tls, prefix)

    def with_tls(self) -> Address | None:
        return self.address if self.address.tls else None

    def restart(self) -> None:
        raise NotImplementedError("another's server")


class Local:
    """``relay serve`` on this machine; one more with TLS is started when it is asked for."""

    ours = True
    app = _APP

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs: list[subprocess.Popen[str]] = []
        self._tls: Address | None = None
        self.address = Address("127.0.0.1", self._start())

    def with_tls(self) -> Address:
        if self._tls is None:
            authority = trustme.CA()
            certificate = authority.issue_cert("127.0.0.1")
            names = {name: self._folder / f"{name}.pem" for name in ("authority", "cert", "key")}
            authority.cert_pem.write_to_path(names["authority"])
            certificate.private_key_pem.write_to_path(names["key"])
            for part in certificate.cert_chain_pems:
                part.write_to_path(names["cert"], append=True)
            port = self._start("--tls-cert", str(names["cert"]), "--tls-key", str(names["key"]))
            self._tls = Address("127.0.0.1", port, tls=True, authority=names["authority"])
        return self._tls

    def restart(self) -> None:
        self._end(self._programs.pop(0))
        self._start(port=self.address.port)

    def stop(self) -> None:
        """End what was started."""
        while self._programs:
            self._end(self._programs.pop())

    def _start(self, *flags: str, port: int = 0) -> int:
        """One more server; returns its port."""
        credentials = ["--app-id", self.app.id, "--key", self.app.key, "--secret", self.app.secret]
        command = [sys.executable, "-m", "relay", "serve", "--port", str(port), *credentials, *_FLAGS, *flags]
        with (self._folder / "relay.log").open("a") as log:
            program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line:
            program.wait(PATIENCE)
            raise RuntimeError(f"relay serve did not start: {(self._folder / 'relay.log').read_text()[-500:]}")
        self._programs.insert(0 if port or not self._programs else len(self._programs), program)
        return urlsplit(line.split()[3]).port or 0

    @staticmethod
    def _end(program: subprocess.Popen[str]) -> None:
        program.terminate()
        try:
            program.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(PATIENCE)
        assert program.stdout is not None
        program.stdout.close()


@contextmanager
def local(folder: Path) -> Iterator[Local]:
    """A hub of our own, until the block ends."""
    with ExitStack() as ending:
        target = Local(folder)
        ending.callback(target.stop)
        yield target
