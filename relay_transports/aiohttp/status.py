"""What operators and load balancers ask: alive, ready, and all the numbers."""

from __future__ import annotations

import msgspec
from aiohttp import web

from relay.errors import UsageError
from relay.hub import Hub
from relay_transports.aiohttp.embed import check_prefix
from relay_transports.aiohttp.lag import LoopLag

MAX_LAG = 1.0
"""Seconds that the event loop may be late before the node counts as not ready."""
_NOT_CACHED = {"Cache-Control": "no-store"}


def add_health(app: web.Application, hub: Hub, *, prefix: str = "", max_lag: float = MAX_LAG) -> LoopLag:
    """Serve ``{prefix}/healthz`` and ``{prefix}/readyz`` from ``app``, for load balancers and orchestrators.

    ``/healthz`` answers 200 as long as the process answers at all. ``/readyz`` answers 200 while this node wants
    clients, else 503: it must run, not be draining, be heard through its broker, have everybody in the
    directory whom it has, and its loop must not have been late by ``max_lag`` seconds in the last ten. Both answer JSON
    that says which of these it is. Returns what measures the loop.
    """
    check_prefix(prefix)
    if not max_lag > 0:
        raise UsageError(f"max_lag should be a number of seconds above 0, got {max_lag!r}")
    lag = LoopLag()

    async def alive(_: web.Request) -> web.Response:
        return _json({"alive": True})

    async def ready(_: web.Request) -> web.Response:
        state, late = hub.readiness(), lag.seconds()
        well = state.ready and late < max_lag
        checks = {
            "running": state.running,
            "draining": state.draining,
            "broker": state.broker,
            "directory": state.directory,
            "loop_lag_seconds": round(late, 4),
            "max_loop_lag_seconds": max_lag,
        }
        return _json({"ready": well, **checks}, 200 if well else 503)

    app.router.add_get(f"{prefix}/healthz", alive)
    app.router.add_get(f"{prefix}/readyz", ready)
    app.cleanup_ctx.append(lag.watch)
    return lag


def add_metrics(app: web.Application, hub: Hub, *, prefix: str = "", lag: LoopLag | None = None) -> None:
    """Serve ``{prefix}/metrics`` from ``app``, for Prometheus. ``lag`` is what :func:`add_health` returned.

    Everybody who reaches the path can read the numbers; they name Apps by id, and no channel or user. Needs the
    ``prometheus`` extra, and raises :class:`UsageError` without it.
    """
    try:
        from relay.prometheus import HubCollector, exposition  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(str(error)) from None
    collector = HubCollector(hub, lag=None if lag is None else lag.seconds)

    async def scrape(request: web.Request) -> web.Response:
        body, content_type = exposition(collector, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, **_NOT_CACHED})

    app.router.add_get(f"{prefix}/metrics", scrape)


def _json(value: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json", headers=_NOT_CACHED
    )
