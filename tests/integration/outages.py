"""Waiting for nodes to say that something was lost, and that all is well again."""

import anyio

from relay import Hub
from relay.facts import BrokerLost, DirectoryLost
from tests.integration.redis_nodes import until

RED_WITHIN = 5.0
"""Seconds in which a node with the default settings knows, as is promised."""
GREEN_WITHIN = 10.0


def red(hub: Hub) -> anyio.Event:
    """Set in the moment in which the hub says that something was lost."""
    lost = anyio.Event()
    hub.on(BrokerLost, lambda _: lost.set())
    hub.on(DirectoryLost, lambda _: lost.set())
    return lost


async def until_red(*lost: anyio.Event) -> None:
    """Return when all have said so; fails when that takes longer than is promised."""
    with anyio.fail_after(RED_WITHIN):
        for one in lost:
            await one.wait()


async def until_green(hubs: list[Hub]) -> None:
    """Return when all are ready."""
    await until(lambda: all(hub.readiness().ready for hub in hubs), GREEN_WITHIN)
