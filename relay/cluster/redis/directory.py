"""Who is where, kept in Redis: every step one script, every node on a lease."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Collection, Mapping
from typing import Any, Final

from relay.cluster.directory import Beat, Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.cluster.leasing import LOOKS_AGAIN, away_after
from relay.cluster.portion import Portion
from relay.cluster.redis import answers
from relay.cluster.redis.address import Place, locate
from relay.cluster.redis.agreed import Agreed
from relay.cluster.redis.keys import Keys, place
from relay.cluster.redis.lanes import Lanes
from relay.cluster.redis.settings import RedisSettings
from relay.cluster.redis.sweeper import NAMES_AT_ONCE, Sweeper
from relay.errors import BrokerError
from relay.protocol.messages import Identity

_CHANNELS_AT_ONCE: Final = 1000
_MOST_BEFORE: Final = 100
_MICROSECONDS: Final = 1_000_000
_log = logging.getLogger(__name__)


class RedisDirectory:
    """Who is where on the nodes of one Redis; see :class:`relay.cluster.directory.Directory` for what it promises.

    What a node puts into Redis it owns under a name, on a lease that ``beat`` renews. Where the lease ran out, Redis
    lost the name, or a command failed that may or may not have been done, the node goes on under another name, and is
    told by ``Beat.lapsed`` to join again everybody it has. What is still owned under the old name when its lease is
    over is swept: by whichever node is first, and no node can add to it any more.
    """

    def __init__(
        self, url: str, settings: RedisSettings | None = None, *, at: Place | None = None, lanes: Lanes | None = None
    ) -> None:
        self._settings = settings = settings or RedisSettings()
        self._place = at or locate(url, settings.patience)
        self._lanes = lanes or Lanes(self._place, settings)
        self._keys = Keys(settings.prefix, settings.shards_in(clustered=self._place.clustered))
        self._agreed = Agreed(self._lanes, self._keys, settings)
        self._name = _new_name()
        self._known = False
        """Whether Redis was told of the name."""
        self._before: list[str] = []
        """Names given up, to be kept alive until all was well for a lease: not everybody may have joined again yet, and
        where a shard is away the first of them owns what is there.
        """
        self._lapsed_at = -math.inf
        self._lapsed = self._astray = False
        self._sweeper = Sweeper(self._script, self._keys, settings.lease * LOOKS_AGAIN)
        self._used: set[bytes] = set()
        """The shards in which this node may own something."""
        self._touched = -math.inf
        self._to_touch: list[tuple[str, int, str]] = []
        """Apps and shards, and from where on."""

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        """Put a connection into a channel; doing it twice changes nothing but whose it is."""
        info = "" if member is None or member.info is None else bytes(member.info).decode()
        who = ("0", "", "") if member is None else ("1", member.user_id, info)
        shard = self._shard(app, channel)
        while True:
            if not self._known:
                self._introduce()
            name = self._name
            self._used.add(shard)
            answer = answers.entered(
                await self._change(shard, "join", app, channel, socket_id, name, *who, max_members)
            )
            if answer.said != "dead":
                break
            self._rename(name)
        if answer.said == "in" and name != self._name:  # it was taken for dead meanwhile: what it owns will be swept
            again = answers.entered(
                await self._change(shard, "join", app, channel, socket_id, self._name, *who, max_members)
            )
            if again.said == "in":
                return again.joined(answer)
        return answer.joined()

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        """Take a connection out; unknown is a no-op."""
        return answers.gone(await self._change(self._shard(app, channel), "leave", app, channel, socket_id)).left()

    async def occupied(self, app: str, prefix: str) -> Mapping[str, Occupancy]:
        """The occupied channels whose names begin with ``prefix``: each with its counts of one moment, the list
        not of one moment when it is long.
        """
        found: dict[str, Occupancy] = {}
        for shard in range(self._keys.shards):
            low = f"[{prefix}"
            while True:
                some = answers.found(
                    await self._script(self._keys.numbered(shard), "occupied", app, prefix, low, _CHANNELS_AT_ONCE)
                )
                found.update((one.channel, Occupancy(one.subscriptions, one.users)) for one in some)
                if len(some) < _CHANNELS_AT_ONCE:
                    break
                low = f"({some[-1].channel}"
        return found

    async def occupancy(self, app: str, channel: str) -> Occupancy:
        """One channel's counts."""
        return answers.occupancy(await self._script(self._shard(app, channel), "occupancy", app, channel))

    async def roster(self, app: str, channel: str) -> Roster:
        """The users of a presence channel."""
        return answers.roster(await self._script(self._shard(app, channel), "roster", app, channel))

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        """Keep the last event of a cache channel; the bounds are for each shard where there are several."""
        shards = self._keys.shards
        answer = await self._script(
            self._shard(app, channel),
            "remember",
            app,
            channel,
            text.decode(),
            repr(now),
            repr(now + retention.ttl),
            math.ceil(retention.ttl) + 60,
            -(-retention.max_channels // shards),
            -(-retention.max_bytes // shards),
        )
        return answers.number(answer)

    async def recall(self, app: str, channel: str, *, now: float) -> Remembered | None:
        """The last event of a cache channel."""
        key = b"%bc:%b" % (self._shard(app, channel), app.encode())
        kept: Any = await self._lanes.send(key, b"HGET", key, channel)
        remembered = None if kept is None else answers.remembered(kept)
        return remembered if remembered is not None and remembered.until > now else None

    async def beat(self, apps: Collection[str]) -> Beat:
        """Renew this node's lease, and sweep some of what dead nodes left in ``apps``."""
        await self._agreed.keep()
        if self._astray:
            self._rename(self._name, keep=True)
        name = self._name
        answer = answers.lease(await self._script(self._keys.nodes, *self._beating(name)))
        if answer.lost:
            self._rename(name)
            answer = answers.lease(await self._script(self._keys.nodes, *self._beating(self._name)))
        self._known = True
        lapsed, self._lapsed = self._lapsed, False
        now = asyncio.get_running_loop().time()
        if lapsed:
            self._lapsed_at = now
        elif now - self._lapsed_at > self._settings.lease:
            self._before = []
        portion, more = Portion(self._settings.beat, asyncio.get_running_loop().time), False
        if apps:
            try:
                more = await self._sweeper.sweep(apps, answer.dead, portion)
                await self._touch(apps, portion)
            except BrokerError as error:  # what was swept has to be told all the same
                _log.warning("dead nodes could not be swept", extra={"error": str(error)})
        return Beat(portion.gone, lapsed, self._settings.beat, more)

    async def close(self) -> None:
        """Let go of Redis; what is still owned by this node is for the others to sweep, at once."""
        if self._known and self._lanes.down(self._keys.nodes) is None:
            try:
                await self._script(self._keys.nodes, "retire", self._name, int(await self._is_clean()))
            except BrokerError as error:
                _log.info("Redis was not told that this node ends", extra={"error": str(error)})
        self._name, self._known, self._before = _new_name(), False, []
        self._lapsed = self._astray = False
        self._used.clear()
        await self._lanes.close()
        await self._place.close()

    def _introduce(self) -> None:
        """Take a lease, ahead of what is asked next."""
        answer = self._script(self._keys.nodes, *self._beating(self._name))
        answer.add_done_callback(self._introduced)
        self._known = True

    def _introduced(self, answer: asyncio.Future[object]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            self._known = False

    def _beating(self, name: str) -> tuple[str, str, int, int, int, list[str], int]:
        lease, away = self._settings.lease, away_after(self._settings)
        spans = round(lease * _MICROSECONDS), round(away * _MICROSECONDS)
        return "beat", name, int(self._known), *spans, self._before, NAMES_AT_ONCE

    def _rename(self, name: str, *, keep: bool = False) -> None:
        """Go on under another name, unless that was done meanwhile. ``keep`` the old one for a lease."""
        if name == self._name:
            self._before = [*self._before, name][:_MOST_BEFORE] if keep else []
            self._name, self._known = _new_name(), False
            self._lapsed, self._astray = True, False

    async def _is_clean(self) -> bool:
        """Whether this node, which ends, owns nothing, and never will."""
        try:
            for shard in self._used:
                if not answers.swept(await self._script(shard, "sweep", self._name, [], 0)).clean:
                    return False
        except BrokerError:
            return False
        return True

    async def _touch(self, apps: Collection[str], portion: Portion) -> None:
        """Keep what this node owns from being forgotten, four times as often as needed."""
        now = asyncio.get_running_loop().time()
        if not self._to_touch and now - self._touched >= self._settings.forget / 4:
            self._touched = now
            self._to_touch = [(app, shard, "0") for app in apps for shard in range(self._keys.shards)]
        while self._to_touch:
            app, shard, cursor = self._to_touch[-1]
            cursor = answers.text(await self._script(self._keys.numbered(shard), "touch", self._name, app, cursor))
            self._to_touch[-1:] = [] if cursor == "0" else [(app, shard, cursor)]
            portion.asked = True
            if portion.over:
                break

    def _shard(self, app: str, channel: str) -> bytes:
        return self._keys.shard(place(app, channel))

    async def _change(self, shard: bytes, operation: str, *arguments: str | int) -> bytes:
        """A step that must not be half known: where it fails, everything is put right at the next beat."""
        try:
            answer: bytes = await self._script(shard, operation, *arguments)
        except BaseException:
            self._astray = True
            raise
        return answer

    def _script(self, key: bytes, operation: str, *arguments: str | int | list[str]) -> asyncio.Future[Any]:
        return self._lanes.script(key, operation, math.ceil(self._settings.forget), *arguments)


def _new_name() -> str:
    return secrets.token_hex(8)
