"""Whether a node may be sent clients, and why not."""

from __future__ import annotations

import msgspec


class Readiness(msgspec.Struct, frozen=True):
    """Whether this node wants new clients: it runs, is not about to end, hears the other nodes, and they can know
    who is on it.
    """

    running: bool
    draining: bool
    broker: str
    """``alone`` where there is no other node; ``proven`` while messages come back through the broker, else ``lost``."""
    directory: str = "alone"
    """``alone`` where there is no other node; ``known`` while they can know who is on this one, else ``lost``: the
    directory refuses, or lost what it was told, and not everybody has joined again.
    """

    @property
    def ready(self) -> bool:
        """Whether all is well."""
        return self.running and not self.draining and "lost" not in (self.broker, self.directory)
