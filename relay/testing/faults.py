"""Things that go wrong between a client and its hub, on purpose, seeded and replayable."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from relay.errors import UsageError

_ANSWERS = (
    b'{"event":"pusher:connection_established"',
    b'{"event":"pusher:error"',
    b'{"event":"pusher:signin_success"',
    b'{"event":"pusher:subscription_error"',
    b'{"event":"pusher_internal:subscription_succeeded"',
)
"""How frames begin that somebody waits for: with those held back a test would wait for itself."""


class Fate(NamedTuple):
    """What becomes of one frame on its way: decided when the hub sends it, whenever the client takes it in."""

    due: float
    copies: int
    breaks: bool
    unread: bool


_FINE = Fate(due=0.0, copies=1, breaks=False, unread=False)


class Faults:
    """What goes wrong for one client; give it to ``relay.connect(faults=...)`` and change it as the test goes.

    ``drop_after`` cuts the connection after that many frames, once; the greeting and acknowledgements count.
    ``duplicate`` is the chance (0 to 1) of an event to come twice. ``delay`` holds events, pings and news of members
    back that many seconds of the test's clock, in order; greeting, acknowledgements and errors come at once. Each
    holds for what is sent from then on. The same ``seed`` gives the same faults.
    """

    def __init__(
        self, *, seed: int = 0, drop_after: int | None = None, duplicate: float = 0.0, delay: float = 0.0
    ) -> None:
        if not 0 <= duplicate <= 1:
            raise UsageError(f"duplicate is a chance from 0 to 1, got {duplicate}")
        if delay < 0:
            raise UsageError(f"delay is 0 or more seconds, got {delay}")
        self.delay = delay
        self.stalled = False
        self.refusal: str | None = None
        self._drop_after: int | None = None
        self._duplicate = duplicate
        self._random = Random(seed) if duplicate else None  # noqa: S311 - chance, not secrets
        if drop_after is not None:
            self.drop_after(drop_after)

    def stall(self) -> None:
        """Stop reading: what is sent to the client piles up until the hub gives it up."""
        self.stalled = True

    def resume(self) -> None:
        """Read again."""
        self.stalled = False

    def drop_after(self, frames: int) -> None:
        """Cut the connection after ``frames`` more frames."""
        if frames < 1:
            raise UsageError(f"drop_after counts frames from 1, got {frames}")
        self._drop_after = frames

    def refuse_next_subscribe(self, message: str = "refused by the test") -> None:
        """Answer the next subscribe with a refusal instead of asking the hub."""
        self.refusal = message

    def fate(self, frame: bytes, now: float) -> Fate:
        """What becomes of a frame that the hub sends ``now``."""
        if not self.delay and not self.stalled and self._drop_after is None and self._random is None:
            return _FINE
        if frame.startswith(_ANSWERS):
            return Fate(now, 1, self._breaks(), self.stalled)
        twice = self._random is not None and self._random.random() < self._duplicate
        return Fate(now + self.delay, 1 + twice, self._breaks(), self.stalled)

    def _breaks(self) -> bool:
        if self._drop_after is None:
            return False
        self._drop_after -= 1
        if self._drop_after > 0:
            return False
        self._drop_after = None
        return True
