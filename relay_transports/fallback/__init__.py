"""HTTP fallback transports of pusher-js (protocol 9), without I/O: the line protocol, and one client's session."""

from __future__ import annotations

from relay_transports.fallback.session import ENDING, POLL, SCRIPT, STREAM, FallbackSession, Manner, Receiver

__all__ = ["ENDING", "POLL", "SCRIPT", "STREAM", "FallbackSession", "Manner", "Receiver"]
