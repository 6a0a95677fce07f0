"""Taking out of NATS what dead nodes left, a portion at a time: no beat waits long for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from typing import Final, cast

from relay.cluster.directory import Abandoned, Left
from relay.cluster.nats import subjects
from relay.cluster.nats.bucket import Bucket
from relay.cluster.nats.place import Sweep
from relay.cluster.nats.turns import Turns
from relay.cluster.portion import Portion
from relay.errors import BrokerError, BrokerUnavailable

_AT_ONCE: Final = 50


class _Grave:
    """What is known of one dead node.

    ``rest`` are the keys, with their Apps, of channels that it may have somebody in; None, they have to be listed.
    ``good`` is whether all that was on its way from it had arrived by then, and ``clean`` whether it owned nothing in
    Apps that are not ours. ``again`` is when to look once more: for what another node took out since then.
    """

    __slots__ = ("again", "apps", "clean", "good", "rest")

    def __init__(self) -> None:
        self.rest: list[tuple[str, str]] | None = None
        self.apps = frozenset[str]()
        self.good = self.clean = False
        self.again = 0.0


class Sweeper:
    """The dead, as one node knows them. ``lease`` is in microseconds; where a dead node still owns something in an App
    that this node does not serve, it looks again every ``patience`` seconds.
    """

    def __init__(self, bucket: Bucket, turns: Turns, lease: int, patience: float) -> None:
        self._bucket, self._turns = bucket, turns
        self._lease, self._patience = lease, patience
        self._graves: dict[str, _Grave] = {}

    def clean(self) -> list[str]:
        """Of whom nothing is left, and nothing can come any more."""
        return [name for name, grave in self._graves.items() if grave.good and grave.clean and grave.rest == []]

    async def sweep(self, apps: Collection[str], dead: Mapping[str, int], now: int, portion: Portion) -> bool:
        """Take out of ``apps`` what the dead left, who died last first; whether there is more. When this raises
        :class:`BrokerError`, ``portion`` has what was taken out nevertheless.

        It is done once more after two leases, when all that was on its way from them arrived.
        """
        self._graves = {name: grave for name, grave in self._graves.items() if name in dead}
        wanted, more = frozenset(apps), False
        refused: BrokerError | None = None
        for name, since in sorted(dead.items(), key=lambda one: -one[1]):
            grave = self._graves.setdefault(name, _Grave())
            try:
                more = not await self._is_swept(name, grave, wanted, portion, good=now - since > 2 * self._lease)
            except BrokerUnavailable:
                raise
            except BrokerError as error:  # of one there may be something that is not ours
                refused = error
            if more:
                break
        if refused is not None:
            raise refused
        return more

    async def _is_swept(self, name: str, grave: _Grave, apps: frozenset[str], portion: Portion, *, good: bool) -> bool:
        time = asyncio.get_running_loop().time()
        overdue = grave.good and not grave.clean and grave.again <= time
        if grave.rest is None or grave.apps != apps or grave.good < good or overdue:
            if portion.over:
                return False
            portion.asked = True
            keys = await self._bucket.keys(subjects.owned(name))
            random.shuffle(keys)  # others look too: it is less work when each begins elsewhere
            ours = {subjects.token(app): app for app in apps}
            found = [(ours.get(subjects.app_token(key)), key) for key in keys]
            grave.rest = [(app, key) for app, key in found if app is not None]
            grave.clean = len(grave.rest) == len(found)
            grave.apps, grave.good, grave.again = apps, good, time + self._patience
        return await self._is_rest_swept(name, grave, portion)

    async def _is_rest_swept(self, name: str, grave: _Grave, portion: Portion) -> bool:
        """Try each of them once, in as far as there is time. Raises what was refused, when the others are done."""
        assert grave.rest is not None
        refused: BrokerError | None = None
        due = len(grave.rest)
        while due and not portion.over:
            portion.asked = True
            some = grave.rest[: min(due, _AT_ONCE)]
            due -= len(some)
            swept = await asyncio.gather(*(self._tried(name, grave, *one, portion) for one in some))
            left = [one for one, done in zip(some, swept, strict=True) if done is not True]
            grave.rest = grave.rest[len(some) :] + left
            for one in swept:
                if isinstance(one, BrokerUnavailable):
                    raise one
                if isinstance(one, BrokerError):
                    refused = one
        if refused is not None:
            raise refused
        return not grave.rest

    async def _tried(self, name: str, grave: _Grave, app: str, key: str, portion: Portion) -> bool | BrokerError:
        """Or why it cannot be: what is found elsewhere meanwhile is not to be lost."""
        try:
            return await self._sweep_place(name, app, key, portion, good=grave.good)
        except BrokerError as error:
            return error

    async def _sweep_place(self, name: str, app: str, key: str, portion: Portion, *, good: bool) -> bool:
        channel = subjects.last(key)
        while channel is not None:
            answer = await self._turns.ask(app, channel, Sweep(name))
            found = cast("list[tuple[str, str | None, Left]]", answer)
            if not found:
                break
            portion.gone += [Abandoned(app, channel, socket_id, user, left) for socket_id, user, left in found]
            if portion.over:
                return False
        if good:
            await self._bucket.purge(key)
        return True
