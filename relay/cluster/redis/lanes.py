"""The ways to everything that Redis keeps: one, or one for each shard of a Redis Cluster."""

from __future__ import annotations

import asyncio

import msgspec

from relay.cluster.redis.address import Argument, Place
from relay.cluster.redis.lane import Lane
from relay.cluster.redis.scripts import SHA
from relay.cluster.redis.settings import RedisSettings

_pack = msgspec.msgpack.Encoder().encode


class Lanes:
    """Commands by the key they are about. About one shard they take effect in the order in which they are given."""

    def __init__(self, place: Place, settings: RedisSettings) -> None:
        self._place = place
        self._settings = settings
        self._lanes: dict[bytes, Lane] = {}

    def send(self, key: bytes, *command: Argument) -> asyncio.Future[object]:
        """Redis's answer to ``command``; see :meth:`Lane.send`."""
        return self._lane(key).send(*command)

    def script(self, key: bytes, *arguments: str | int | list[str]) -> asyncio.Future[object]:
        """Run the script with one key."""
        return self._lane(key).send(b"EVALSHA", SHA, b"1", key, _pack(arguments))

    def down(self, key: bytes) -> str | None:
        """Why that cannot be asked for now, or None."""
        return self._lane(key).down

    async def close(self) -> None:
        """Let go of Redis; what is under way fails. The next command begins anew."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            await lane.close()

    def _lane(self, key: bytes) -> Lane:
        tag = key[key.index(b"{") : key.index(b"}")] if self._place.clustered else b""
        lane = self._lanes.get(tag)
        if lane is None:
            lane = self._lanes[tag] = Lane(self._place, key, self._settings)
        return lane
