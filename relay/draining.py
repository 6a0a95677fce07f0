"""Emptying a hub for a restart: clients are sent away a few at a time, so that they do not all come back at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import anyio

from relay.errors import CloseCode

if TYPE_CHECKING:
    from relay.connection import Connection
    from relay.node import Node

_STEP: Final = 0.05
"""Seconds between two groups of clients that are sent away."""
_SLOWEST: Final = 100.0
"""Clients sent away in a second at least: a few do not take the whole window."""


async def drain(node: Node, over: float) -> None:
    """Close every client with 4200, evenly over at most ``over`` seconds of the hub's clock, and return when all are
    gone and nothing is under way. Nobody new may be let in meanwhile; who is in is served until it is its turn.
    """
    connections = [one for tenant in node.tenants for one in tenant.connections.values()]
    done = anyio.Event()
    _send_away(node, connections, schedule(len(connections), over), done, node.clock.now())
    await done.wait()
    await node.settle()


def schedule(count: int, over: float) -> list[int]:
    """How many of ``count`` clients go in each step of 50 ms, when they go evenly over at most ``over`` seconds."""
    seconds = min(over, count / _SLOWEST)
    steps = max(1, math.floor(seconds / _STEP))
    ends = [count * step // steps for step in range(steps + 1)]
    return [after - before for before, after in itertools.pairwise(ends)]


def _send_away(node: Node, connections: Sequence[Connection], sizes: list[int], done: anyio.Event, due: float) -> None:
    """Close the first group now, which was ``due`` then; the others one step after the other. A loop that is late at
    one step is no later at the next, so that the window holds.
    """
    here, rest = connections[: sizes[0]], connections[sizes[0] :]
    for connection in here:
        connection.close(CloseCode.RECONNECT, "Please reconnect immediately")
    if not rest:
        done.set()
        return
    due += _STEP
    again: Callable[[], None] = lambda: _send_away(node, rest, sizes[1:], done, due)  # noqa: E731
    node.call_at(due, again)
