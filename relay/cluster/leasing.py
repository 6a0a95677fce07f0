"""The rules by which nodes live on leases, the same for each engine that keeps them."""

from __future__ import annotations

import math
from typing import Final, Protocol

from relay.errors import UsageError

LOOKS_AGAIN: Final = 60
"""After so many leases a node looks once more for what a dead one owns in Apps that it does not serve itself."""


class Times(Protocol):
    """What is needed of an engine's settings, in seconds."""

    @property
    def lease(self) -> float:
        """How long a node that is not heard of counts as alive."""

    @property
    def beat(self) -> float:
        """How often it is heard of."""

    @property
    def forget(self) -> float:
        """How long anything is kept that nobody touches."""


def check_times(settings: Times) -> None:
    """Raise :class:`UsageError` for times that cannot be meant, patience and proof among them."""
    for name in ("lease", "beat", "patience", "proof", "forget"):
        if not 0 < getattr(settings, name) < math.inf:
            raise UsageError(f"{name} must be more than 0 seconds, got {getattr(settings, name)!r}")
    lease, beat = settings.lease, settings.beat
    if beat * 2 > lease:
        raise UsageError(f"a lease of {lease} s needs a beat of {lease / 2} s at most, got {beat}")
    if settings.forget < lease * 4:
        raise UsageError(f"forget must be at least four leases, {lease * 4} s, got {settings.forget}")


def away_after(settings: Times) -> float:
    """Seconds without any node's beat after which it was the engine that was away, and everybody has a lease more: who
    beat last before that would be overdue when it is back, or nearly so.
    """
    return max(settings.lease - 2 * settings.beat, 2 * settings.beat)
