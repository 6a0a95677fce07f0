"""What load balancers and Prometheus ask, over real sockets."""

import asyncio

import pytest
from aiohttp import web

import relay.prometheus  # noqa: F401 - what an import reads is not read in the loop
from relay import Hub
from relay.errors import UsageError
from relay.testing import ManualClock
from relay_transports.aiohttp import add_health, add_metrics, setup
from relay_transports.aiohttp.lag import LoopLag
from tests.integration.serving import running
from tests.unit.client import APP
from tests.unit.test_broken_engines import BreakableBroker
from tests.unit.test_directory_readiness import Keeping

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_crashes")]
WELL = {"running": True, "draining": False, "broker": "alone", "directory": "alone"}


def application(hub: Hub, *, prefix: str = "", max_lag: float = 30.0) -> web.Application:
    app = web.Application()
    lag = add_health(app, hub, prefix=prefix, max_lag=max_lag)
    add_metrics(app, hub, prefix=prefix, lag=lag)
    setup(app, hub, prefix=prefix, drain_over=1.0)
    return app


async def test_a_hub_that_runs_is_alive_and_ready():
    hub = Hub(APP)
    async with running(application(hub), hub) as served:
        alive, ready = await served.http("GET", "/healthz"), await served.http("GET", "/readyz")
        assert (alive.status, alive.json) == (200, {"alive": True})
        assert ready.status == 200
        assert ready.json | {"loop_lag_seconds": 0} == {
            "ready": True,
            **WELL,
            "loop_lag_seconds": 0,
            "max_loop_lag_seconds": 30.0,
        }


async def test_one_that_drains_is_alive_and_not_ready():
    hub = Hub(APP, clock=ManualClock())
    async with running(application(hub), hub) as served:
        await hub.drain()
        ready = await served.http("GET", "/readyz")
        assert (ready.status, ready.json["ready"], ready.json["draining"]) == (503, False, True)
        assert (await served.http("GET", "/healthz")).status == 200


async def test_one_whom_the_directory_refuses_is_alive_and_not_ready():
    directory, clock = Keeping(), ManualClock()
    hub = Hub(APP, broker=BreakableBroker(), directory=directory, clock=clock)
    async with running(application(hub), hub) as served:
        assert (await served.http("GET", "/readyz")).json["directory"] == "known"
        directory.broken = {"beat"}
        await clock.advance(2)
        ready = await served.http("GET", "/readyz")
        assert (ready.status, ready.json["broker"], ready.json["directory"]) == (503, "proven", "lost")
        assert (await served.http("GET", "/healthz")).status == 200
        assert b"relay_directory_up 0.0" in (await served.http("GET", "/metrics")).body


async def test_one_whose_loop_is_late_is_not_ready():
    hub = Hub(APP)
    async with running(application(hub, max_lag=1e-9), hub) as served:
        async with asyncio.timeout(10):
            while (await served.http("GET", "/readyz")).status == 200:  # until the loop was looked at once
                pass
        found = (await served.http("GET", "/readyz")).json
        assert (found["ready"], found["running"]) == (False, True)
        assert found["loop_lag_seconds"] >= 0


async def test_numbers_are_served_below_the_prefix():
    hub = Hub(APP)
    async with running(application(hub, prefix="/realtime"), hub) as served:
        async with served.websocket("/realtime/app/app-key?protocol=7") as client:
            await client.event()
            found = await served.http("GET", "/realtime/metrics")
        assert found.status == 200
        assert b'relay_connections{app="1001"} 1.0' in found.body
        assert b"relay_loop_lag_seconds" in found.body
        assert (await served.http("GET", "/metrics")).status == 404


async def test_clients_are_drained_when_the_application_ends():
    hub = Hub(APP)
    async with running(application(hub), hub) as served, served.websocket("/app/app-key?protocol=7") as client:
        await client.event()
        ending = asyncio.ensure_future(served.runner.cleanup())
        assert (await client.closed()).code == 4200
        await ending


def test_a_bound_that_nothing_can_keep_is_refused():
    with pytest.raises(UsageError, match="max_lag should be a number of seconds above 0, got 0"):
        add_health(web.Application(), Hub(APP), max_lag=0)


def test_a_loop_that_was_not_looked_at_is_not_late():
    assert LoopLag().seconds() == 0


@pytest.mark.parametrize("over", [-1, float("nan")])
def test_a_window_that_is_none_is_refused(over):
    with pytest.raises(UsageError, match="drain_over should be a number of seconds from 0 on, got"):
        setup(web.Application(), Hub(APP), drain_over=over)
