"""Taking out of Redis what dead nodes left, a portion at a time: no beat waits long for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Final

import msgspec

from relay.cluster.portion import Portion
from relay.cluster.redis import answers
from relay.cluster.redis.keys import Keys
from relay.errors import BrokerError, BrokerUnavailable

NAMES_AT_ONCE: Final = 1000
_ENTRIES_AT_ONCE: Final = 100

Script = Callable[..., Awaitable[Any]]


class _Grave:
    """What is known of one dead node: in which shards it is ``clean``, and in which nothing is left of it in ``apps``.
    ``again`` is when to look once more: for what another node took out since then.
    """

    __slots__ = ("again", "apps", "clean", "swept")

    def __init__(self) -> None:
        self.clean: set[int] = set()
        self.swept: set[int] = set()
        self.apps = frozenset[str]()
        self.again = 0.0


class Sweeper:
    """The dead, as one node knows them. ``script`` runs the script; where a dead node still owns something in an App
    that this node does not serve, it looks again every ``patience`` seconds.
    """

    def __init__(self, script: Script, keys: Keys, patience: float) -> None:
        self._script, self._keys, self._patience = script, keys, patience
        self._graves: dict[str, _Grave] = {}

    async def sweep(self, apps: Collection[str], page: list[msgspec.Raw], portion: Portion) -> bool:
        """Take out of ``apps`` what the dead left, who died last first; whether there is more. ``page`` names the first
        of them. When this raises :class:`BrokerError`, ``portion`` has what was taken out nevertheless.
        """
        wanted, known, more = frozenset(apps), set[str](), False
        refused: BrokerError | None = None
        async for name in self._names(page):
            known.add(name)
            try:
                more = not await self._is_swept(name, wanted, portion)
            except BrokerUnavailable:
                raise
            except BrokerError as error:  # of one there may be something that is not ours
                refused = error
            if more:
                break
        else:
            self._graves = {name: grave for name, grave in self._graves.items() if name in known}
        await self._bury()
        if refused is not None:
            raise refused
        return more

    async def _names(self, page: list[msgspec.Raw]) -> AsyncIterator[str]:
        at = len(page)
        while page:
            for name in answers.nodes(page):
                yield name
            if len(page) < NAMES_AT_ONCE:
                break
            page = answers.names(await self._script(self._keys.nodes, "dead", at, NAMES_AT_ONCE))
            at += len(page)

    async def _is_swept(self, name: str, apps: frozenset[str], portion: Portion) -> bool:
        grave = self._graves.setdefault(name, _Grave())
        now = asyncio.get_running_loop().time()
        if grave.apps != apps or grave.again <= now:
            grave.apps, grave.again, grave.swept = apps, now + self._patience, set(grave.clean)
        for shard in range(self._keys.shards):
            while shard not in grave.swept:
                if portion.over:
                    return False
                portion.asked = True
                some = await self._script(self._keys.numbered(shard), "sweep", name, list(apps), _ENTRIES_AT_ONCE)
                swept = answers.swept(some)
                portion.gone += swept.abandoned()
                if not swept.more:
                    grave.swept.add(shard)
                if swept.clean:
                    grave.clean.add(shard)
        return True

    async def _bury(self) -> None:
        """Have those forgotten of whom nothing is left anywhere, and nothing can be any more."""
        clean = [name for name, grave in self._graves.items() if len(grave.clean) == self._keys.shards]
        if clean:
            await self._script(self._keys.nodes, "clean", clean)
            for name in clean:
                del self._graves[name]
