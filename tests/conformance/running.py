"""One client against one server, check by check."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from relay import __version__
from tests.conformance.features import Feature, Kind
from tests.conformance.programs import Program, Session
from tests.conformance.reference import Rest
from tests.conformance.results import Outcome, Result
from tests.conformance.site import Site
from tests.conformance.target import Address, Target


class Pages(Protocol):
    """Where clients that need a browser run."""

    def open(self, url: str) -> Session:
        """A page with a client in it."""


@dataclass(frozen=True)
class Start:
    """What a client is started with."""

    address: Address
    key: str
    site: Site
    user: str = "ada"
    transport: str = "ws"
    impatient: bool = False
    """Whether it should ping as soon as it can."""
    secret: str = ""

    def environment(self) -> dict[str, str]:
        """Variables that let programs trust the server's certificate, each library its own."""
        if self.address.authority is None:
            return {}
        names = ["AUTHORITY", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE"]
        return dict.fromkeys(names, str(self.address.authority))


class Runtime(Protocol):
    """What is installed: Pythons, Node with its packages, a browser."""

    node_modules: Path
    """The folder that has ``node_modules``."""
    pages: Pages | None

    def python(self, environment: str) -> Path:
        """The interpreter of an environment; an empty name is the one that has Relay."""


@dataclass(frozen=True)
class Client:
    """One client in one version.

    ``lacks`` names the features it does not have, each with the reason; all others of its kind must work.
    ``environment`` is the Python environment it needs; ``package`` is its name at npm, or there at PyPI.
    """

    name: str
    kind: Kind
    runs_in: str
    start: Callable[[Runtime, Start], Session]
    lacks: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""
    package: str = ""
    browser: bool = False
    official: bool = True

    def missing(self, runtime: Runtime) -> str | None:
        """Why it cannot run here, None when it can."""
        if self.environment and not runtime.python(self.environment).exists():
            return f"Python environment {self.environment} is not there"
        if self.package and not self.environment and not self._manifest(runtime).is_file():
            return f"npm package {self.package} is not installed"
        return "there is no Chromium" if self.browser and runtime.pages is None else None

    def version(self, runtime: Runtime) -> str:
        """Of what is installed."""
        if not self.package:
            return __version__
        if not self.environment:
            return str(json.loads(self._manifest(runtime).read_bytes())["version"])
        packages = [str(path) for path in runtime.python(self.environment).parents[1].glob("lib/python*/site-packages")]
        [found] = metadata.distributions(name=self.package, path=packages)
        return found.version

    def _manifest(self, runtime: Runtime) -> Path:
        return runtime.node_modules / "node_modules" / self.package / "package.json"


class World:
    """What one check has: the server, the client, the application beside the server, somebody who listens."""

    def __init__(self, target: Target, site: Site, client: Client, runtime: Runtime, listener: Client) -> None:
        self.target, self.site = target, site
        self._client, self._runtime, self._listener = client, runtime, listener
        self._ending = ExitStack()

    def close(self) -> None:
        """End every client, and let the application do as always again."""
        self._ending.close()
        self.site.sign, self.site.publish = self.site.reference_sign, lambda *_: None
        self.site.watchlists.clear()

    @staticmethod
    def channel(prefix: str = "") -> str:
        """A name nobody has used before."""
        return f"{prefix}conformance-{secrets.token_hex(4)}"

    @staticmethod
    def user() -> str:
        """A user nobody has been before."""
        return f"user-{secrets.token_hex(4)}"

    def start(
        self,
        *,
        user: str = "ada",
        key: str | None = None,
        address: Address | None = None,
        transport: str = "ws",
        impatient: bool = False,
    ) -> Session:
        """The client, which connects."""
        start = Start(address or self.target.address, key or self.target.app.key, self.site, user, transport, impatient)
        return self._started(self._client, start)

    def connect(self, **how: Any) -> Session:
        """The client, connected."""
        session = self.start(**how)
        session.wait_for(told="state", state="connected")
        return session

    def subscribed(self, *channels: str, **how: Any) -> Session:
        """The client, subscribed."""
        session = self.connect(**how)
        _subscribe(session, channels)
        return session

    def listener(self, *channels: str, user: str = "listener", address: Address | None = None) -> Session:
        """Somebody else who is subscribed, to see what a server SDK does."""
        start = Start(address or self.target.address, self.target.app.key, self.site, user)
        session = self._started(self._listener, start)
        session.wait_for(told="state", state="connected")
        _subscribe(session, channels)
        return session

    def sdk(self, *, secret: str | None = None, address: Address | None = None) -> Program:
        """The server SDK, with the right secret unless another is given."""
        app = self.target.app
        start = Start(address or self.target.address, app.key, self.site, secret=secret or app.secret)
        session = self._started(self._client, start)
        assert isinstance(session, Program)
        return session

    def rest(self, address: Address | None = None) -> Rest:
        """The HTTP API."""
        where = address or self.target.address
        return Rest(self.target.app, where.url, where.trust)

    def publish(
        self, channel: str, event: str, data: object, socket_id: str | None = None, *, address: Address | None = None
    ) -> None:
        """Publish as the application would."""
        self.rest(address).publish(channel, event, data, socket_id)

    def until_vacated(self, channel: str) -> None:
        """Return when nobody is subscribed to ``channel``; asked again and again, since no answer tells."""
        deadline = time.monotonic() + 10
        while self.rest().call("GET", f"/channels/{channel}")["occupied"]:
            assert time.monotonic() < deadline, "the server still counts it as subscribed"
            time.sleep(0.02)

    @staticmethod
    def members(client: Session, channel: str, wanted: Mapping[str, object]) -> None:
        """Hold the members that ``client`` sees to those ``wanted``."""
        client.do("members", channel)
        told = client.wait_for(told="members")
        assert told["members"] == wanted, f"{channel} has {json.dumps(told['members'])}"
        assert told["count"] == len(wanted)

    def _started(self, client: Client, start: Start) -> Session:
        session = client.start(self._runtime, start)
        self._ending.callback(session.stop)
        return session


def _subscribe(session: Session, channels: Iterable[str]) -> None:
    for channel in channels:
        session.do("subscribe", channel)
        session.wait_for(channel=channel, event="pusher:subscription_succeeded")


def check(feature: Feature, world: World, skip: Mapping[str, str]) -> Result:
    """The result of one feature for one client; never raises for what client or server did."""
    began = time.monotonic()
    reason = skip.get(feature.name, "")
    if not reason and feature.restarts and not world.target.ours:
        reason = "this run did not start the server, so it does not restart it"
    if not reason and feature.tls and world.target.with_tls() is None:
        reason = "the server was named without TLS"
    if reason:
        return Result(feature.name, Outcome.SKIPPED, reason)
    try:
        feature.check(world)
    except Exception as error:  # noqa: BLE001 - it is the result
        lines = str(error).splitlines() or [""]
        told = lines[0] if isinstance(error, AssertionError) else f"{type(error).__name__}: {lines[0]}"
        return Result(feature.name, Outcome.FAILED, told or "an assertion", time.monotonic() - began)
    finally:
        world.close()
    return Result(feature.name, Outcome.PASSED, "", time.monotonic() - began)
