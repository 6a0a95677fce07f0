"""Fixtures for testing realtime code; loaded by pytest wherever Relay is installed.

It imports nothing of weight until a fixture is used, adds no options and does nothing by itself. The fixtures are
plain functions, so they work under anyio's plugin, pytest-asyncio and pytest-aiohttp alike.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from relay.app import App
    from relay.testing.kit import Kit
    from relay.testing.server import Server

_kits = pytest.StashKey["list[Kit]"]()


@pytest.fixture
def relay_app() -> App:
    """The App that ``relay`` and ``relay_server`` serve; override it for other limits and switches."""
    from relay.testing.kit import DEFAULT_APP

    return DEFAULT_APP


@pytest.fixture
def relay_factory(request: pytest.FixtureRequest) -> Iterator[Callable[..., Kit]]:
    """Makes a kit for any number of Apps: ``relay_factory(App(...), App(...))``."""
    from relay.testing.kit import Kit

    kits: list[Kit] = []
    request.node.stash[_kits] = kits

    def make(*apps: App, seed: int = 0) -> Kit:
        kit = Kit(*apps, seed=seed)
        kits.append(kit)
        return kit

    yield make
    with ExitStack() as stack:  # all of them, whatever one raises
        for kit in kits:
            stack.callback(kit.close)


@pytest.fixture
def relay(relay_factory: Callable[..., Kit], relay_app: App) -> Kit:
    """A hub, a clock that stands still, and clients that assert: see :class:`relay.testing.Kit`."""
    return relay_factory(relay_app)


@pytest.fixture
def relay_server(relay_server_factory: Callable[..., Server], relay_app: App) -> Server:
    """A hub on a real port, for code that speaks HTTP: see :class:`relay.testing.server.Server`."""
    return relay_server_factory(relay_app)


@pytest.fixture
def relay_server_factory() -> Iterator[Callable[..., Server]]:
    """Makes servers for any number of Apps: ``relay_server_factory(App(...), App(...))``."""
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        pytest.fail("relay_server needs the aiohttp extra: pip install 'relay-hub[aiohttp]'", pytrace=False)
    from relay.testing.server import Server

    servers: list[Server] = []

    def make(*apps: App) -> Server:
        servers.append(Server(*apps).start())
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test in which a client's callback failed and no assertion told so."""
    yield
    none: list[Kit] = []
    for kit in item.stash.get(_kits, none):
        kit.raise_failures()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the transcript of a test that failed."""
    report = yield
    if report.failed:
        none: list[Kit] = []
        kits: list[Kit] = item.stash.get(_kits, none)
        for number, kit in enumerate(kits, start=1):
            name = "relay transcript" if number == 1 else f"relay transcript {number}"
            report.sections.append((name, str(kit.transcript)))
    return report
