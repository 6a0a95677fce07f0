"""Publishing that does not hold up the caller: in process, and with the asyncio backend of the PyPI SDK.

The subscriber is a stopped process while its events are published, so that nothing can depend on its reading.
"""

import signal

import pytest
from pusher import Pusher
from pusher.aiohttp import AsyncIOBackend

from .application import APP, HOST

STEPS = range(100)


@pytest.fixture
def frozen(subscribe):
    """pusher-js in Node, subscribed to orders and stopped."""
    subscriber = subscribe("orders")
    subscriber.signal(signal.SIGSTOP)
    return subscriber


def steps_of(subscriber):
    subscriber.signal(signal.SIGCONT)
    return [subscriber.wait_for(event="step")["data"]["n"] for _ in STEPS]


def test_in_process_trigger_returns_its_receipt_before_anybody_reads(site, frozen):
    async def publish():
        return [await site.hub.trigger("orders", "step", {"n": n}) for n in STEPS]

    assert [receipt.delivered for receipt in site.run(publish)] == [1 for _ in STEPS]
    assert steps_of(frozen) == list(STEPS)


def test_sdk_with_asyncio_backend_leaves_the_loop_to_others(site, frozen):
    async def publish():  # on the very loop that has to answer it
        pusher = Pusher(APP.id, APP.key, APP.secret, ssl=False, host=HOST, port=site.port, backend=AsyncIOBackend)
        return [await pusher.trigger("orders", "step", {"n": n}) for n in STEPS]

    assert site.run(publish) == [{} for _ in STEPS]
    assert steps_of(frozen) == list(STEPS)
