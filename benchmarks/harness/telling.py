"""What it costs that every publish is told as a fact, beside the fan-out it tells of; for a budget."""

from __future__ import annotations

import time
from collections.abc import Callable

from relay import App, ChannelReceipt, Hub, Receipt
from relay.backlog import Bounds
from relay.facts import Published
from relay.fanout import Batch

APP = App(id="1", key="key", secret="secret")
SUBSCRIBE = '{"event":"pusher:subscribe","data":{"channel":"bench"}}'
EVENT = {"n": 1, "pad": "x" * 70}
TRIGGERS = 200
FACTS = 20_000


class Text:
    """Frames as they are, one for each subscriber: the fan-out that costs the hub most and the sockets nothing."""

    ping = None
    shares = False

    def frame(self, text: bytes) -> bytes:
        return text

    def text(self, frame: bytes) -> bytes | None:
        return frame


TEXT = Text()


class Nowhere:
    """A transport that writes nothing: what is measured is the hub alone."""

    framing = TEXT
    backlog = 0

    def bound(self, bounds: Bounds, overflow: Callable[[], None], lost: Callable[[int], None]) -> None:
        """Nothing waits."""

    def send(self, frame: bytes) -> None:
        """Nowhere to send it."""

    def share(self, batch: Batch) -> bool:
        return False

    def close(self, code: int, reason: str = "") -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""


async def measure(subscribers: int) -> dict[str, float]:
    """CPU seconds of a trigger to so many subscribers, its fact included, and of such a fact alone."""
    async with Hub(APP) as hub:
        for _ in range(subscribers):
            await (await hub.connect(APP.key, Nowhere())).receive(SUBSCRIBE)
        begun = time.process_time()
        for _ in range(TRIGGERS):
            await hub.trigger("bench", "tick", EVENT)
        triggered = time.process_time()
        receipt = Receipt({"bench": ChannelReceipt("bench", subscribers, subscribers)})
        for _ in range(FACTS):
            hub.journal.record(Published(app=APP.id, time=hub.clock.time(), event="tick", receipt=receipt))
        told = time.process_time()
    return {"trigger": (triggered - begun) / TRIGGERS, "relay_hub": (told - triggered) / FACTS}
