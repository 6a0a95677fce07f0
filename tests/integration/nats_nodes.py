"""Hubs over a NATS of the test's own, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from relay import App, Hub
from relay.cluster.nats import NatsCluster, NatsSettings
from tests.unit.client import APP

QUICK = NatsSettings(lease=1.0, beat=0.2, patience=0.5, proof=0.1)


@asynccontextmanager
async def nodes(
    url: str, count: int = 2, *apps: App, settings: NatsSettings = QUICK, hold: int = 0
) -> AsyncIterator[list[Hub]]:
    """Running hubs, each with connections of its own to the NATS at `url`."""
    async with AsyncExitStack() as stack:
        hubs = [Hub(*(apps or (APP,)), cluster=NatsCluster(url, settings), hold=hold) for _ in range(count)]
        for hub in hubs:
            await stack.enter_async_context(hub)
        yield hubs
