"""Cache channels whose emptiness was told already: it is told once (protocol 2.5)."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 10_000


class Misses:
    """Channels that were missed, until an event is published to them, or for ``ttl`` seconds.

    The bound in time is for events that only another node saw: such an event is kept for ``ttl`` seconds, so a channel
    that is missed later than that is empty once more.
    """

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._told: dict[str, float] = {}

    def is_news(self, channel: str, now: float) -> bool:
        """Whether that ``channel`` is empty has to be told ``now``; it counts as told then."""
        told = self._told.get(channel)
        if told is not None and now < told + self._ttl:
            return False
        self._told.pop(channel, None)
        self._told[channel] = now
        if len(self._told) > _MOST:
            del self._told[next(iter(self._told))]
        return True

    def filled(self, channels: Iterable[str]) -> None:
        """Something was published to ``channels``."""
        if self._told:
            for channel in channels:
                self._told.pop(channel, None)
