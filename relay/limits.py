"""How often something may happen. Time is passed in, so tests and virtual clocks decide what a second is."""

from __future__ import annotations


class TokenBucket:
    """Allows ``rate`` things a second, and ``burst`` at once after a rest.

    ``take(now)`` says whether one more may happen at ``now`` (seconds, any monotonic origin).
    """

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, now: float) -> bool:
        """Spend one token if there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give(self) -> None:
        """Put back a token that was taken and is not to count."""
        self._tokens = min(self._burst, self._tokens + 1)
