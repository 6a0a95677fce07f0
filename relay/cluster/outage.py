"""What the log says of a node that does not hear the others: once, then now and then, and when it is over."""

from __future__ import annotations

import logging
import math
from typing import Final

_EVERY: Final = 60.0


class Outage:
    """Notes of one node's outages, ``log``ged as they begin, each minute while they last, and as they end."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told = -math.inf
        self._since: float | None = None

    def goes_on(self, error: str, now: float, *, strange: BaseException | None = None) -> None:
        """It does not hear, for that reason. ``now`` is in seconds of any clock that only rises; ``strange`` is an
        error that nobody expected.
        """
        if self._since is None:
            self._since, self._told = now, -math.inf
        if now - self._told >= _EVERY:
            self._told = now
            self._log.warning("this node does not hear the others", extra={"error": error}, exc_info=strange)

    def over(self, now: float) -> None:
        """It hears. Nothing is said where nothing was."""
        if self._since is not None:
            self._log.info("this node hears the others again", extra={"seconds": round(now - self._since, 1)})
            self._since = None
