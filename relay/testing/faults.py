"""Things that go wrong between a client and its hub, on purpose, seeded and replayable."""

from __future__ import annotations

from random import Random

from relay.errors import UsageError


class Faults:
    """What goes wrong for one client; give it to ``relay.connect(faults=...)`` and change it as the test goes.

    ``drop_after`` cuts the connection after that many frames have reached the client, once. ``duplicate`` is the
    chance (0 to 1) of a frame to come twice. ``delay`` holds every frame back that many seconds of the test's clock,
    in order. The same ``seed`` gives the same faults.
    """

    def __init__(
        self, *, seed: int = 0, drop_after: int | None = None, duplicate: float = 0.0, delay: float = 0.0
    ) -> None:
        if drop_after is not None and drop_after < 1:
            raise UsageError(f"drop_after counts frames from 1, got {drop_after}")
        if not 0 <= duplicate <= 1:
            raise UsageError(f"duplicate is a chance from 0 to 1, got {duplicate}")
        if delay < 0:
            raise UsageError(f"delay is 0 or more seconds, got {delay}")
        self.delay = delay
        self.stalled = False
        self.refusal: str | None = None
        self._drop_after = drop_after
        self._duplicate = duplicate
        self._random = Random(seed) if duplicate else None  # noqa: S311 - chance, not secrets

    def stall(self) -> None:
        """Stop reading: what is sent to the client piles up until the hub gives it up."""
        self.stalled = True

    def resume(self) -> None:
        """Read again."""
        self.stalled = False

    def drop_after(self, frames: int) -> None:
        """Cut the connection after ``frames`` more frames."""
        self._drop_after = frames

    def refuse_next_subscribe(self, message: str = "refused by the test") -> None:
        """Answer the next subscribe with pusher:error instead of asking the hub."""
        self.refusal = message

    def copies(self) -> int:
        """How often the next frame comes."""
        return 2 if self._random is not None and self._random.random() < self._duplicate else 1

    def cuts_now(self) -> bool:
        """Count a frame that reached the client; whether the connection breaks after it."""
        if self._drop_after is None:
            return False
        self._drop_after -= 1
        if self._drop_after > 0:
            return False
        self._drop_after = None
        return True
