"""Whether a node may be sent clients, and why not."""

from __future__ import annotations

import msgspec


class Readiness(msgspec.Struct, frozen=True):
    """Whether this node wants new clients: it runs, is not about to end, and other nodes hear it and are heard."""

    running: bool
    draining: bool
    broker: str
    """``alone`` where there is no other node; ``proven`` while messages come back through the broker, else ``lost``."""

    @property
    def ready(self) -> bool:
        """Whether all is well."""
        return self.running and not self.draining and self.broker != "lost"
