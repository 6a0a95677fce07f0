"""Ten thousand clients over HTTP that begin and never come back: bounded in number and bytes, and gone in time."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest
from aiohttp.test_utils import make_mocked_request

from relay import App, Hub
from relay.testing import ManualClock
from relay_transports.aiohttp.fallbacks import FallbackEndpoint
from relay_transports.aiohttp.live import Owner
from relay_transports.aiohttp.peers import Peers
from relay_transports.fallback import POLL

APP = App(id="1001", key="app-key", secret="app-secret")
MOST, MORE = 10_000, 500
MOST_BYTES = 4 << 10
"""Of one session whose client did not say yet which App it wants."""
REQUEST = make_mocked_request("POST", "/pusher/123/abcdefgh/xhr")
OVER_CAPACITY = (
    b'o\na["{\\"event\\":\\"pusher:error\\",\\"data\\":{\\"code\\":4100,\\"message\\":\\"Over capacity\\"}}"]\n'
    b'c[4100,"Over capacity"]\n'
)


def half_open(endpoint: FallbackEndpoint, clock: ManualClock, number: int) -> bytes:
    """One more client, whose first request is answered and which then stays away; what it was told."""
    live = endpoint.open(REQUEST, "", f"1/client{number:06}", Owner(f"192.0.2.{number % 256}", None))
    receiver = live.session.attach(POLL, _nothing, clock.now())
    told = live.session.take(receiver, clock.now())
    live.session.detach(receiver, clock.now())
    live.heed()
    return told


def _nothing() -> None:
    """The answer is taken at once."""


def bytes_of(make: Callable[[], object]) -> int:
    """How much of what ``make`` allocates stays."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    make()
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def test_ten_thousand_half_open_sessions_are_bounded_and_gone_in_time():
    async with Hub(APP, clock=(clock := ManualClock())) as hub:
        endpoint = FallbackEndpoint(hub, None, Peers(()), None, most=MOST)
        told = [half_open(endpoint, clock, number) for number in range(MOST + MORE)]
        assert told == [b"o\n"] * MOST + [OVER_CAPACITY] * MORE
        assert (len(endpoint.sessions), endpoint.sessions.full) == (MOST, True)
        await clock.advance(9.9)
        assert len(endpoint.sessions) == MOST
        await clock.advance(0.2)
        assert len(endpoint.sessions) == 0
        assert half_open(endpoint, clock, 0) == b"o\n"
        assert (hub.stats().connections, hub.check()) == (0, [])


async def test_half_open_session_costs_little_and_leaves_nothing(traced):
    async with Hub(APP, clock=(clock := ManualClock())) as hub:
        endpoint = FallbackEndpoint(hub, None, Peers(()), None, most=MOST)
        start = tracemalloc.get_traced_memory()[0]
        kept = bytes_of(lambda: [half_open(endpoint, clock, number) for number in range(MOST)] and None)
        refused = bytes_of(lambda: [half_open(endpoint, clock, MOST + number) for number in range(MORE)] and None)
        assert kept / MOST < MOST_BYTES
        assert refused / MORE < MOST_BYTES
        await clock.advance(20)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - start < kept / 10
