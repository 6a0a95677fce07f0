"""`examples/nodes/app.py`, run twice as its readers would."""

import importlib.util
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from relay_transports.aiohttp import HUB
from relay_transports.inprocess import connect
from tests.redis_server import INSTALL, running

EXAMPLE = Path(__file__).parents[2] / "examples" / "nodes" / "app.py"


def build(url: str) -> web.Application:
    spec = importlib.util.spec_from_file_location("nodes_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: web.Application = module.build(url)
    return app


async def test_what_one_node_is_told_the_clients_of_another_hear(require):
    with running(require("redis-server", INSTALL)) as redis:
        apps = [build(redis.url), build(redis.url)]
        async with (
            TestClient(TestServer(apps[0])) as here,
            TestClient(TestServer(apps[1])),
            connect(apps[0][HUB]) as near,
            connect(apps[1][HUB]) as far,
        ):
            heard = [await near.subscribe("news"), await far.subscribe("news")]
            answer = await here.post("/notify", data="hello")
            assert await answer.json() == {"here": 1, "other nodes": "sent"}
            assert [(await anext(one)).data for one in heard] == [{"text": "hello"}] * 2
