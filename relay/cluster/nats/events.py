"""The last events of cache channels: for each App a bucket of its own, which JetStream itself keeps within bounds."""

from __future__ import annotations

import math
from base64 import b64decode
from typing import Any, Final

import msgspec

from relay.cluster.directory import Remembered, Retention
from relay.cluster.nats.bucket import DELETED, STEPS, Bucket, config, decoded, microseconds, not_ours, taken
from relay.cluster.nats.link import Link, answered
from relay.cluster.nats.settings import NatsSettings
from relay.cluster.nats.single_file import SingleFile
from relay.cluster.nats.subjects import Subjects, token
from relay.errors import BrokerError, BrokerUnavailable

_OTHER_BOUNDS: Final = 10058
_MISSING: Final = 404


class _Kept:
    """What is known of one App's bucket: by which connection, within which bounds, and since when it is there."""

    __slots__ = ("created", "link", "retention", "seen", "turns")

    def __init__(self) -> None:
        self.link: Link | None = None
        self.retention: Retention | None = None
        self.created = 0
        self.seen: Link | None = None
        """By which connection that was learnt last."""
        self.turns = SingleFile()


class Events:
    """Remembers and recalls, see :class:`relay.cluster.directory.Directory`.

    The bounds are JetStream's: of a message it counts the subject and some bytes more, so it keeps a little less.
    """

    def __init__(self, names: Subjects, settings: NatsSettings, places: Bucket) -> None:
        self._names, self._settings, self._places = names, settings, places
        self._kept: dict[str, _Kept] = {}

    async def remember(self, app: str, channel: str, text: bytes, now: float, retention: Retention) -> int:
        """Keep ``text``, and return its step."""
        kept = self._kept.setdefault(app, _Kept())
        subject = self._subject(app, channel)
        fits = len(channel.encode()) + len(text) <= retention.max_bytes
        async with kept.turns.turn():  # first come, first served
            link = await self._ready(app, kept, retention)
            data = b"%r " % (now + retention.ttl) + text if fits else b""
            answer = await link.send(subject, data, None if fits else dict(DELETED))
            gone = None if fits else await link.send(f"$JS.API.STREAM.PURGE.{self._stream(app)}", _filter(subject))
        try:
            written = decoded(answered(await answer))
        except BrokerUnavailable:  # perhaps the stream is gone
            kept.link = None
            raise
        if "error" in written:
            raise BrokerError(f"JetStream does not keep an event: {written['error'].get('description')}")
        if gone is not None:
            await gone
        return max(kept.created, self._places.epoch) + int(written["seq"]) * STEPS

    async def recall(self, app: str, channel: str, now: float) -> Remembered | None:
        """The last event, if it holds."""
        link = await self._places.ready()
        asked = msgspec.json.encode({"last_by_subj": self._subject(app, channel)})
        found = decoded(await link.ask(f"$JS.API.STREAM.MSG.GET.{self._stream(app)}", asked))
        error = found.get("error")
        if error is not None and error.get("code") != _MISSING:
            raise BrokerError(f"JetStream refuses: {error.get('description')}")
        if error is not None or not found["message"].get("data"):
            return None
        kept = self._kept.setdefault(app, _Kept())
        if kept.seen is not link:
            info = decoded(await link.ask(f"$JS.API.STREAM.INFO.{self._stream(app)}"))
            if "created" not in info:
                return None
            kept.created, kept.seen = microseconds(info["created"]), link
        step = max(kept.created, self._places.epoch) + int(found["message"]["seq"]) * STEPS
        try:
            until, text = b64decode(found["message"]["data"]).split(b" ", 1)
            remembered = Remembered(text, step, float(until))
        except ValueError as wrong:
            raise not_ours("an event", wrong) from None
        return remembered if remembered.until > now else None

    async def _ready(self, app: str, kept: _Kept, retention: Retention) -> Link:
        """The connection, to a bucket that is there and has these bounds."""
        link = await self._places.ready()
        if kept.link is link and kept.retention == retention:
            return link
        wanted = config(
            self._names.events(app),
            self._settings,
            max_msgs=retention.max_channels,
            max_bytes=retention.max_bytes,
            max_age=round((math.ceil(retention.ttl) + 60) * 1e9),
        )
        made = await self._make(link, "CREATE", app, wanted)
        if made.get("error", {}).get("err_code") == _OTHER_BOUNDS:
            made = await self._make(link, "UPDATE", app, wanted)
        if "error" in made:
            raise BrokerError(f"JetStream keeps no events: {made['error'].get('description')}")
        await taken(link, self._subject(app, ""), self._settings.patience)
        kept.created = microseconds(made["created"])
        kept.link, kept.seen, kept.retention = link, link, retention
        return link

    async def _make(self, link: Link, what: str, app: str, wanted: dict[str, Any]) -> dict[str, Any]:
        return decoded(await link.ask(f"$JS.API.STREAM.{what}.{self._stream(app)}", msgspec.json.encode(wanted)))

    def _stream(self, app: str) -> str:
        return f"KV_{self._names.events(app)}"

    def _subject(self, app: str, channel: str) -> str:
        return f"$KV.{self._names.events(app)}.{token(channel)}"


def _filter(subject: str) -> bytes:
    return msgspec.json.encode({"filter": subject})
