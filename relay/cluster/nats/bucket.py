"""A JetStream key-value bucket: keys whose values have revisions, each write under the condition of the last one."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from relay.cluster.nats.lane import Lane
from relay.cluster.nats.link import Delivery, Link, answered
from relay.cluster.nats.settings import NatsSettings
from relay.errors import BrokerError

STEPS: Final = 100
"""So many steps may be taken in one revision."""

COUNTS: Final = "Relay-Counts"
DELETED: Final[Mapping[str, str]] = {"KV-Operation": "DEL"}
_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
_EPOCH: Final = "epoch"
_MISSING: Final = 404
_ANOTHER_WROTE: Final = (10071, 10164)
_OTHER_SETTINGS: Final = 10058
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Entry(msgspec.Struct, frozen=True):
    """What a key has: ``revision`` is 0 where there is none. ``time`` is when it was written, in microseconds, by
    NATS's own clock.
    """

    data: bytes = b""
    revision: int = 0
    time: int = 0


def config(name: str, settings: NatsSettings, **limits: object) -> dict[str, Any]:
    """The stream under a bucket, as JetStream's own clients make it."""
    return {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        "max_msgs_per_subject": 1,
        "max_age": round(settings.forget * 1e9),
        "retention": "limits",
        "discard": "old",
        "storage": settings.storage,
        "num_replicas": settings.replicas,
        "duplicate_window": 100_000_000,
        "allow_rollup_hdrs": True,
    } | limits


class Bucket:
    """Who is where, as NATS keeps it.

    A *step* is made of the revision that JetStream gave, counted from the bucket's epoch: the time at which it was
    filled first, in microseconds. So steps rise, also when JetStream lost everything. ``lost`` is called when it did.
    """

    def __init__(self, name: str, settings: NatsSettings, lane: Lane, lost: Callable[[], None]) -> None:
        self._name, self._settings, self._lane, self._lost = name, settings, lane, lost
        self._stream = f"KV_{name}"
        self._learning = asyncio.Lock()
        self._known: Link | None = None
        self.epoch = 0

    def doubt(self) -> None:
        """Look at the bucket again before it is used."""
        self._known = None

    def steps(self, revision: int) -> range:
        """The steps of one revision."""
        first = self.epoch + revision * STEPS
        return range(first, first + STEPS)

    async def ready(self) -> Link:
        """The connection, to a bucket that is there. Raises :class:`BrokerUnavailable`."""
        link = await self._lane.reach()
        if link is not self._known:
            async with self._learning:
                if link is not self._known:
                    await self._learn(link)
                    self._known = link
        return link

    async def read(self, key: str) -> Entry:
        """What that key has now."""
        return await self._read(await self.ready(), key)

    async def write(self, key: str, data: bytes, last: int | None, headers: Mapping[str, str] | None = None) -> int:
        """The new revision; 0 if the key's was not ``last`` (when that is None, it may have any)."""
        return await (await self.begin(key, data, last, headers))

    async def begin(
        self, key: str, data: bytes, last: int | None, headers: Mapping[str, str] | None = None
    ) -> Writing:
        """Write; when this returns the write has its place in the order, and what it returns is the revision."""
        return await self._begin(await self.ready(), key, data, last, headers)

    async def erase(self, revision: int) -> None:
        """Take that revision away, unless the key has another meanwhile. Nobody waits for it, or minds if it fails."""
        if revision:
            with contextlib.suppress(BrokerError):
                link = await self.ready()
                await link.send(f"$JS.API.STREAM.MSG.DELETE.{self._stream}", b'{"seq":%d,"no_erase":true}' % revision)

    async def purge(self, key: str) -> None:
        """Take away whatever that key has."""
        asked = msgspec.json.encode({"filter": self._subject(key)})
        await _asked(await self.ready(), f"STREAM.PURGE.{self._stream}", asked)

    async def keys(self, pattern: str) -> list[str]:
        """The keys that match, whose tokens may be ``*``."""
        link, found, total = await self.ready(), list[str](), 1
        while len(found) < total:
            asked = {"subjects_filter": self._subject(pattern), "offset": len(found)}
            info = await _asked(link, f"STREAM.INFO.{self._stream}", msgspec.json.encode(asked))
            some = list(info["state"].get("subjects") or ())
            total = info.get("total", len(some)) if some else 0
            found += some
        return [subject[len(self._subject("")) :] for subject in found]

    async def counts(self, pattern: str) -> dict[str, str]:
        """The counts that were written to keys that match."""
        link = await self.ready()
        found: dict[str, str] = {}
        news = asyncio.Event()
        done = False

        def arrived(delivery: Delivery) -> None:
            nonlocal done
            counts = _header(delivery.headers, COUNTS)
            if counts:
                found[delivery.subject[len(self._subject("")) :]] = counts
            done = delivery.reply.rpartition(".")[2] == "0"  # of all that were to come, so many are left
            news.set()

        subject, end = await link.take(arrived)
        try:
            listing = _listing(subject, self._subject(pattern))
            asked = {"stream_name": self._stream, "config": listing}
            made = await _asked(link, f"CONSUMER.CREATE.{self._stream}", msgspec.json.encode(asked))
            while made["num_pending"] and not done:
                async with asyncio.timeout(self._settings.patience):
                    await news.wait()
                news.clear()
            await link.send(f"$JS.API.CONSUMER.DELETE.{self._stream}.{made['name']}")
        except TimeoutError:
            raise BrokerError("JetStream did not list everything") from None
        finally:
            await end()
        return found

    async def touch(self) -> None:
        """Keep the epoch from being forgotten."""
        await self.write(_EPOCH, b"%d" % self.epoch, None)

    async def _learn(self, link: Link) -> None:
        """Have a bucket, and know its epoch."""
        wanted = config(self._name, self._settings)
        await _asked(link, f"STREAM.CREATE.{self._stream}", msgspec.json.encode(wanted), fine=_OTHER_SETTINGS)
        entry = await self._read(link, _EPOCH)
        while not entry.revision:  # of those who find none, one is first
            await (await self._begin(link, _EPOCH, b"", 0, None))
            entry = await self._read(link, _EPOCH)
        epoch = int(entry.data) if entry.data else entry.time
        before, self.epoch = self.epoch, epoch
        if before and before != epoch:
            self._lost()

    async def _read(self, link: Link, key: str) -> Entry:
        asked = msgspec.json.encode({"last_by_subj": self._subject(key)})
        found = await _asked(link, f"STREAM.MSG.GET.{self._stream}", asked, fine=_MISSING)
        message = found.get("message")
        if message is None:
            return Entry()
        return Entry(b64decode(message.get("data", "")), message["seq"], microseconds(message["time"]))

    async def _begin(
        self, link: Link, key: str, data: bytes, last: int | None, headers: Mapping[str, str] | None
    ) -> Writing:
        conditions = {} if last is None else {_LAST: str(last)}
        return Writing(await link.send(self._subject(key), data, {**conditions, **(headers or {})} or None))

    def _subject(self, key: str) -> str:
        return f"$KV.{self._name}.{key}"


class Writing:
    """A write that is under way."""

    __slots__ = ("_answer",)

    def __init__(self, answer: asyncio.Future[Delivery]) -> None:
        self._answer = answer

    def __await__(self) -> Any:
        return self._revision().__await__()

    async def _revision(self) -> int:
        """The revision; 0 if the condition did not hold. Raises :class:`BrokerError`."""
        answer = _decode(answered(await self._answer))
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") in _ANOTHER_WROTE:
            return 0
        raise BrokerError(f"JetStream refuses: {error.get('description')}")


async def _asked(link: Link, api: str, asked: bytes, *, fine: int = 0) -> dict[str, Any]:
    answer = _decode(await link.ask(f"$JS.API.{api}", asked))
    error = answer.get("error")
    if error is not None and fine not in (error.get("code"), error.get("err_code")):
        raise BrokerError(f"JetStream refuses: {error.get('description')}")
    return answer


def _listing(deliver: str, subject: str) -> dict[str, Any]:
    """A consumer that gets the headers of all that match, once."""
    return {
        "deliver_subject": deliver,
        "deliver_policy": "last_per_subject",
        "ack_policy": "none",
        "replay_policy": "instant",
        "filter_subject": subject,
        "headers_only": True,
        "mem_storage": True,
        "inactive_threshold": 5_000_000_000,
    }


def _header(lines: bytes, name: str) -> str:
    for line in lines.decode(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


def microseconds(text: str) -> int:
    """One of NATS's times, since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return round(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
