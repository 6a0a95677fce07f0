"""REST calls above an App's rate: 429 for that App until a second is over, and for nobody else (protocol 6.5)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from relay import App, Hub
from relay.errors import RateLimited
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient
from tests.integration.raw import connect
from tests.integration.serving import Served, serving
from tests.integration.signer import KEY, NOW, SECRET, authentic, escaped, raw, signature, target
from tests.integration.wire import Answer, http

pytestmark = pytest.mark.usefixtures("nothing_crashes")

APP = App(id="1001", key=KEY, secret=SECRET, rest_rate=3)
OTHER = App(id="1002", key="other-key", secret="other-secret")
CHANNELS, EVENTS = "/apps/1001/channels", "/apps/1001/events"
REFUSAL = b"Over the rate limit: this app may make 3 calls a second\n"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(unix=NOW)


@pytest.fixture
async def served(clock: ManualClock) -> AsyncIterator[Served]:
    async with serving(Hub(APP, OTHER, clock=clock)) as served:
        yield served


async def ask(served: Served) -> Answer:
    return await http(served.port, "GET", target("GET", CHANNELS))


async def exhaust(served: Served) -> None:
    assert [(await ask(served)).status for _ in range(4)] == [200, 200, 200, 429]


async def test_one_call_more_than_allowed_is_refused_in_plain_text_that_says_when_to_come_back(served):
    await exhaust(served)
    refused = await ask(served)
    assert (refused.status, refused.body) == (429, REFUSAL)
    assert refused.headers["content-type"] == "text/plain; charset=utf-8"
    assert refused.headers["retry-after"] == "1"


async def test_after_a_second_of_the_hubs_clock_as_many_may_be_made_again(served, clock):
    await exhaust(served)
    await clock.advance(1 / 3)
    assert [(await ask(served)).status for _ in range(2)] == [200, 429]
    await clock.advance(60)
    await exhaust(served)


async def test_a_refused_event_reaches_nobody(served):
    body = json.dumps({"name": "paid", "channel": "orders", "data": ""}).encode()
    async with connect(served.hub, KEY) as reader:
        await reader.subscribe("orders")
        await reader.received()
        await exhaust(served)
        assert (await http(served.port, "POST", target("POST", EVENTS, body), body)).status == 429
        assert await reader.received() == []


async def test_calls_that_prove_nothing_cost_their_supposed_sender_nothing(served):
    forged = f"{CHANNELS}?{raw(authentic())}&auth_signature=forged"
    old = target("GET", CHANNELS, now=NOW - 600)
    for url in (forged, old) * 10:
        assert (await http(served.port, "GET", url)).status == 401
    await exhaust(served)


async def test_calls_that_are_refused_for_what_they_ask_count_all_the_same(served):
    for _ in range(3):
        assert (await http(served.port, "POST", target("POST", EVENTS, b"nonsense"), b"nonsense")).status == 400
    assert (await ask(served)).status == 429


async def test_a_batch_is_one_call(served):
    event = {"name": "paid", "channel": "orders", "data": ""}
    body = json.dumps({"batch": [event] * 10}).encode()
    path = "/apps/1001/batch_events"
    statuses = [(await http(served.port, "POST", target("POST", path, body), body)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


async def test_other_apps_are_not_concerned(served):
    await exhaust(served)
    path, query = "/apps/1002/channels", authentic(key=OTHER.key)
    url = f"{path}?{escaped(query)}&auth_signature={signature('GET', path, query, OTHER.secret)}"
    assert [(await http(served.port, "GET", url)).status for _ in range(20)] == [200] * 20


async def test_the_hubs_own_verbs_are_not_concerned(served):
    await exhaust(served)
    assert await served.hub.channels(app=APP) == {}


async def test_our_client_raises_what_says_when_to_come_back():
    app = msgspec.structs.replace(APP, rest_rate=1)
    async with serving(Hub(app, clock=ManualClock(unix=time.time()))) as served:
        host = f"http://{KEY}:{SECRET}@127.0.0.1:{served.port}/apps/1001"
        async with RestClient.from_url(host, retries=0) as client:
            await client.channels()
            with pytest.raises(RateLimited) as refused:
                await client.channels()
    assert refused.value.retry_after == 1
