"""For tests of code that uses Relay: time that only moves when told to."""

from relay.testing.clock import ManualClock

__all__ = ["ManualClock"]
