"""What the nodes of one NATS agreed on: a document under one key."""

from __future__ import annotations

from typing import Final

import msgspec

from relay.cluster.agreement import Agreement
from relay.cluster.nats.bucket import Bucket
from relay.cluster.nats.settings import NatsSettings
from relay.cluster.packing import VERSION
from relay.errors import BrokerError, BrokerUnavailable

FORMAT: Final = 1
"""Of what nodes keep in NATS. Nodes that would misread each other must not have the same."""
KEY: Final = "agreed"
_TRIES: Final = 50
_MICROSECONDS: Final = 1_000_000


class _Document(msgspec.Struct, array_like=True, frozen=True):
    since: int
    """0: since this was written."""
    terms: dict[str, str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Document).decode


class Agreed:
    """One node's look at the document, which it writes where nobody has kept it up for a lease."""

    def __init__(self, bucket: Bucket, settings: NatsSettings) -> None:
        self._bucket = bucket
        self._lease = round(settings.lease * _MICROSECONDS)
        terms = {name: getattr(settings, name) for name in ("lease", "forget", "storage", "replicas")}
        self._ours = Agreement(settings.prefix, settings.lease, {"format": f"{VERSION}.{FORMAT}", **terms})

    async def keep(self, now: int) -> None:
        """Compare, and keep it up; ``now`` is NATS's time in microseconds. Raises :class:`SettingsDiffer`."""
        ours = self._ours
        for _ in range(_TRIES):
            entry = await self._bucket.read(KEY)
            since, theirs = _read(entry.data, entry.time)
            age = now - entry.time
            if not entry.revision or age > self._lease or 0 < ours.since < since:
                await self._bucket.write(KEY, _encode(_Document(ours.since, ours.terms)), entry.revision)
                continue  # to see who was first
            ours.take_part(since, theirs)
            terms = ours.terms | theirs
            if terms != theirs or age > self._lease // 4:  # if it is written by another meanwhile, it is kept up too
                await self._bucket.write(KEY, _encode(_Document(since, terms)), entry.revision)
            return
        raise BrokerUnavailable(f"other nodes changed what was agreed on {_TRIES} times meanwhile")


def _read(data: bytes, written: int) -> tuple[int, dict[str, str]]:
    """Since when, and what; nothing of nothing."""
    if not data:
        return 0, {}
    try:
        document = _decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BrokerError(f"what the nodes agreed on in NATS is not ours: {type(error).__name__}") from None
    return document.since or written, document.terms
