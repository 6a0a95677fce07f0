"""Relay as one node of several: the hub in an aiohttp application, with a Redis between it and the others."""

# Requires: uvloop aiohttp msgspec anyio redis
from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from benchmarks.harness.telling import Nowhere
from benchmarks.peers.relay_hub import Relay
from benchmarks.peers.serving import main, payload
from relay import Connection, Hub, Member
from relay.cluster.redis import RedisCluster


class RelayNode(Relay):
    """A node that can be told what others cannot. Options: the URL of the Redis, and what Relay takes.

    The orders, each with what it does::

    {"do": "publishes", "events": n, "at_once": m, "channel": c, "channels": k}  to c-0 ... c-(k-1) in turn
    {"do": "joins", "joins": n, "at_once": m, "channel": c, "members": k}        k join each of c-0, c-1, ...
    {"do": "joins", ..., "again": true}                                          the same clients, somewhere else
    {"do": "leave"}                                                              all who joined go
    """

    title = "Relay, one of several nodes"

    def __init__(self, redis: str = "", **options: Any) -> None:
        super().__init__(**options)
        if redis:
            self.hub = Hub(*self.hub.apps, cluster=RedisCluster(redis))
        self._joined: list[Connection] = []

    async def end(self) -> None:
        """At once: a hub that is cancelled takes its time, and each of its clients says that Redis is gone."""
        os._exit(0)

    def orders(self) -> Mapping[str, Callable[[dict[str, Any]], Awaitable[dict[str, float]]]]:
        """Of a node alone."""
        return {"publishes": self.publishes, "joins": self.joins, "leave": self.leave}

    async def publishes(self, order: dict[str, Any]) -> dict[str, float]:
        """As fast as Redis takes them, so many under way at once."""
        names = [f"{order['channel']}-{number}" for number in range(order["channels"])]

        async def one(number: int) -> None:
            await self.hub.trigger(names[number % len(names)], "tick", payload())

        return await _timed(one, order["events"], order["at_once"])

    async def joins(self, order: dict[str, Any]) -> dict[str, float]:
        """Clients without a socket subscribe; connecting and signing come before the clock runs."""
        before = self.hub.stats().subscriptions
        if not order.get("again"):
            self._joined = [await self.hub.connect("key", Nowhere()) for _ in range(order["joins"])]
        frames = [self._subscribe(number, one, order) for number, one in enumerate(self._joined)]

        async def one(number: int) -> None:
            await self._joined[number].receive(frames[number])

        used = await _timed(one, order["joins"], order["at_once"])
        subscriptions = self.hub.stats().subscriptions - before
        if subscriptions < order["joins"]:
            raise RuntimeError(f"{subscriptions} of {order['joins']} joins were acknowledged")
        return used

    def _subscribe(self, number: int, connection: Connection, order: dict[str, Any]) -> str:
        channel = f"{order['channel']}-{number // order['members']}"
        data: dict[str, object] = {"channel": channel}
        if channel.startswith("presence-"):
            member = Member(f"u{number}", {"name": f"User {number}"})
            data |= self.hub.authorize_channel(connection.socket_id, channel, member)
        return json.dumps({"event": "pusher:subscribe", "data": data})

    async def leave(self, _: dict[str, Any]) -> dict[str, float]:
        """Returns when the other nodes were told."""
        begun, used = time.monotonic(), time.process_time()
        for connection in self._joined:
            connection.disconnected()
        self._joined = []
        await self.hub.settle()
        return {"wall": time.monotonic() - begun, "cpu": time.process_time() - used}


async def _timed(one: Callable[[int], Awaitable[None]], times: int, at_once: int) -> dict[str, float]:
    """Do ``one`` so many times, ``at_once`` of them under way."""
    numbers: Iterator[int] = iter(range(times))

    async def some() -> None:
        for number in numbers:
            await one(number)

    begun, used = time.monotonic(), time.process_time()
    await asyncio.gather(*(some() for _ in range(at_once)))
    return {"wall": time.monotonic() - begun, "cpu": time.process_time() - used}


if __name__ == "__main__":
    main(RelayNode)
