"""When a client that lost its connection may try again (protocol 1.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from random import Random


class Backoff(msgspec.Struct, frozen=True):
    """Exponential backoff with jitter: attempt n, from 1, waits between ``first`` and ``first * 2**n`` seconds,
    ``most`` at the most. So clients that lost the same server do not come back all at once.
    """

    first: float = 1.0
    most: float = 30.0

    def delay(self, code: int, attempt: int, random: Random) -> float | None:
        """Seconds before attempt number ``attempt`` (from 0) after a close with ``code``; None: never.

        4000-4099 never, 4200-4299 at once the first time, everything else with backoff.
        """
        if 4000 <= code <= 4099:
            return None
        if 4200 <= code <= 4299 and attempt == 0:
            return 0.0
        ceiling = min(self.most, self.first * 2.0 ** min(attempt + 1, 32))
        return self.first + random.random() * (ceiling - self.first) if ceiling > self.first else ceiling
