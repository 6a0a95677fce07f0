"""Programs that serve a hub in each of the ways aiohttp has; run with `python -m`, or by gunicorn. They say a port."""

from __future__ import annotations

import asyncio
import signal
import sys

from aiohttp import web

from relay import App, Hub
from relay_transports.aiohttp import add_health, setup


def build() -> web.Application:
    """An application with a hub in it, as a program would make it."""
    app = web.Application()
    hub = Hub(App(id="1001", key="app-key", secret="app-secret"))
    setup(app, hub, drain_over=1.0)
    add_health(app, hub, max_lag=30)
    return app


async def gunicorn() -> web.Application:
    """What gunicorn is told to serve, in each of its workers."""
    return build()


async def run_by_hand() -> None:
    """With a runner of one's own, which ends on SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runner = web.AppRunner(build())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[2])).start()
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    if sys.argv[1] == "run_app":
        web.run_app(build(), host="127.0.0.1", port=int(sys.argv[2]), print=None)
    else:
        asyncio.run(run_by_hand())
