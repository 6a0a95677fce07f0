"""What the integration tests share: a served hub, and the promise that nothing crashes behind a polite answer."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from relay import Hub
from relay.testing import ManualClock
from tests.integration.bad_frames import APP
from tests.integration.serving import Served, serving


@pytest.fixture
def nothing_crashes(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No handler may end in an exception: aiohttp would log it, whatever the client was told. For `usefixtures`."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A hub for ``APP`` behind aiohttp, on a clock that stands still at 1,760,000,000."""
    async with serving(Hub(APP, clock=ManualClock())) as served:
        yield served
