"""One node of several: start it as often as you like, on any number of machines, with the same Redis."""

import os

from aiohttp import web

from relay import App, Hub
from relay.cluster.redis import RedisCluster
from relay_transports.aiohttp import HUB, setup


async def notify(request: web.Request) -> web.Response:
    receipt = await request.app[HUB].trigger("news", "message", {"text": await request.text()})
    return web.json_response({"here": receipt.delivered, "other nodes": receipt.remote})


def build(redis: str) -> web.Application:
    hub = Hub(App(id="1001", key="app-key", secret="app-secret"), cluster=RedisCluster(redis))
    app = web.Application()
    app.router.add_post("/notify", notify)
    setup(app, hub)
    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "6001"))
    web.run_app(build(os.environ["REDIS_URL"]), host="127.0.0.1", port=port)
