"""What the nodes of one Redis agreed on: a hash under one key."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any, Final

from relay.cluster.agreement import Agreement
from relay.cluster.packing import VERSION
from relay.cluster.redis import answers
from relay.cluster.redis.keys import Keys
from relay.cluster.redis.lanes import Lanes
from relay.cluster.redis.settings import RedisSettings

FORMAT: Final = 1
"""Of what the script keeps in Redis. Nodes that would misread each other must not have the same."""


class Agreed:
    """One node's look at the hash, which it writes where nobody has kept it up for a lease."""

    def __init__(self, lanes: Lanes, keys: Keys, settings: RedisSettings) -> None:
        self._lanes, self._keys = lanes, keys
        self._forget, self._lasts = math.ceil(settings.forget), math.ceil(settings.lease * 1000)
        terms = {"lease": settings.lease, "forget": settings.forget, "shards": keys.shards}
        self._ours = Agreement(settings.prefix, settings.lease, {"format": f"{VERSION}.{FORMAT}", **terms})

    async def keep(self) -> None:
        """Compare, and keep it up. Raises :class:`SettingsDiffer`, and what the engine does."""
        flat = list(chain.from_iterable(self._ours.terms.items()))
        answer: Any = await self._lanes.script(
            self._keys.agreed, "agree", self._forget, self._ours.since, self._lasts, flat
        )
        self._ours.take_part(*answers.agreed(answer))
