"""Whether a hub is sound: its registries fit each other, and what it counts fits what happened."""

from __future__ import annotations

from collections.abc import Iterator

from relay import Hub
from relay.metrics import Stats


def problems_of(hub: Hub) -> Iterator[str]:
    """What does not fit, in words."""
    yield from hub.check()
    for app in hub.apps:
        stats, totals = hub.stats(app=app), hub.totals(app=app)
        gone = sum(totals.closed.values())
        if totals.connected - gone != stats.connections:
            yield f"app {app.id}: {totals.connected} came, {gone} went, and {stats.connections} are here"
        if totals.lost > stats.lost:  # what application code missed is no client's loss, and not told as one
            yield f"app {app.id}: {totals.lost} events were told as lost, {stats.lost} were"
        if not hub.running and stats != Stats(lost=stats.lost):
            yield f"app {app.id}: the hub does not run, and holds {stats}"
    if hub.stats() != sum((hub.stats(app=app) for app in hub.apps), Stats()):
        yield "the sum is not the sum of its Apps"
