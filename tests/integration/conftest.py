"""What the integration tests share: a served hub, and the promise that nothing crashes behind a polite answer."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from relay import Hub
from relay.testing import ManualClock
from tests.integration.bad_frames import APP
from tests.integration.serving import Served, Tls, own_tls, serving


@pytest.fixture
def nothing_crashes(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No handler may end in an exception: aiohttp would log it, whatever the client was told. For `usefixtures`."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Serve the tests of a module that says ``BOTH_DOORS = True`` plainly, and through TLS that ends in the server."""
    if "tls" in metafunc.fixturenames and getattr(metafunc.module, "BOTH_DOORS", False):
        metafunc.parametrize("tls", [False, True], ids=["plain", "tls"], indirect=True)


@pytest.fixture
def tls(request: pytest.FixtureRequest) -> Tls | None:
    """How to serve: a client gets a socket of its own, or is served through aiohttp's response behind TLS."""
    return own_tls() if getattr(request, "param", False) else None


@pytest.fixture
async def served(tls: Tls | None) -> AsyncIterator[Served]:
    """A hub for ``APP`` behind aiohttp, on a clock that stands still at 1,760,000,000."""
    async with serving(Hub(APP, clock=ManualClock()), tls=tls) as served:
        yield served
