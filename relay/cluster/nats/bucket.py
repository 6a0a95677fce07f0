"""A JetStream key-value bucket: keys whose values have revisions, each write under the condition of the last one."""

from __future__ import annotations

import asyncio
import contextlib
import re
from base64 import b64decode
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from relay.cluster.nats.lane import Lane
from relay.cluster.nats.link import Delivery, Link, answered
from relay.cluster.nats.settings import NatsSettings
from relay.cluster.nats.single_file import SingleFile
from relay.errors import BrokerError, BrokerUnavailable

STEPS: Final = 100
"""So many steps may be taken in one revision."""

COUNTS: Final = "Relay-Counts"
DELETED: Final[Mapping[str, str]] = {"KV-Operation": "DEL"}
_COUNTED: Final = re.compile(rb"\r\nRelay-Counts: (\d{1,15}) (\d{1,15})\r\n")
_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
_NEVER: Final = str(2**53)
_EPOCH: Final = "epoch"
_MISSING: Final = 404
_NO_STREAM: Final = 10059
_ANOTHER_WROTE: Final = (10071, 10164)
_OTHER_SETTINGS: Final = 10058
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.1
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Entry(msgspec.Struct, frozen=True):
    """What a key has: ``revision`` is 0 where there is none. ``time`` is when it was written, in microseconds, by
    NATS's own clock.
    """

    data: bytes = b""
    revision: int = 0
    time: int = 0


def decoded(answer: bytes) -> dict[str, Any]:
    """What JetStream answers. Raises :class:`BrokerError` for what it cannot have said."""
    try:
        return _decode(answer)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise not_ours("the answer", error) from None


def not_ours(what: str, error: Exception) -> BrokerError:
    """For what somebody else put into NATS."""
    return BrokerError(f"{what} in NATS is not ours: {type(error).__name__}")


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
        self._learning = SingleFile()
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
            async with self._learning.turn():
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

    async def begin(self, key: str, data: bytes, last: int | None, headers: Mapping[str, str] | None = None) -> Writing:
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

    async def counts(self, pattern: str) -> dict[str, tuple[int, int]]:
        """The counts that were written to keys that match."""
        link = await self.ready()
        found: dict[str, tuple[int, int]] = {}
        arrived = 0

        def arrive(delivery: Delivery) -> None:
            nonlocal arrived
            arrived += 1
            counts = _COUNTED.search(delivery.headers)
            if counts is not None:
                found[delivery.subject[len(self._subject("")) :]] = (int(counts[1]), int(counts[2]))

        subject, end = await link.take(arrive)
        try:
            asked = {"stream_name": self._stream, "config": _listing(subject, self._subject(pattern))}
            state = await _asked(link, f"CONSUMER.CREATE.{self._stream}", msgspec.json.encode(asked), once=True)
            name, total, pause = state["name"], state["num_pending"], _FIRST_PAUSE
            while arrived < total and (state["num_pending"] or arrived < state["delivered"]["consumer_seq"]):
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                # What is erased before it is sent never arrives, so only JetStream knows when that was all.
                state = await _asked(link, f"CONSUMER.INFO.{self._stream}.{name}", b"")
            await link.send(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}")
        finally:
            await end()
        return found

    async def touch(self) -> None:
        """Keep the epoch from being forgotten."""
        self.doubt()
        await self.ready()

    async def _learn(self, link: Link) -> None:
        """Have a bucket, and know its epoch."""
        wanted = config(self._name, self._settings)
        await _asked(link, f"STREAM.CREATE.{self._stream}", msgspec.json.encode(wanted), fine=_OTHER_SETTINGS)
        await taken(link, self._subject(_EPOCH), self._settings.patience)
        entry = await self._read(link, _EPOCH)
        while not entry.revision:  # of those who find none, one is first
            await (await self._begin(link, _EPOCH, b"", 0, None))
            entry = await self._read(link, _EPOCH)
        try:
            epoch = int(entry.data) if entry.data else entry.time
        except ValueError as error:
            raise not_ours("the epoch", error) from None
        await (await self._begin(link, _EPOCH, b"%d" % epoch, entry.revision, None))  # it is not to be forgotten
        before, self.epoch = self.epoch, epoch
        if before and before != epoch:
            self._lost()

    async def _read(self, link: Link, key: str) -> Entry:
        asked = msgspec.json.encode({"last_by_subj": self._subject(key)})
        found = await _asked(link, f"STREAM.MSG.GET.{self._stream}", asked, fine=_MISSING)
        if found.get("error", {}).get("err_code") == _NO_STREAM:
            self.doubt()
            raise BrokerUnavailable("JetStream lost its stream")
        message = found.get("message")
        if message is None:
            return Entry()
        return Entry(b64decode(message.get("data", "")), message["seq"], microseconds(message["time"]))

    async def _begin(
        self, link: Link, key: str, data: bytes, last: int | None, headers: Mapping[str, str] | None
    ) -> Writing:
        conditions = {} if last is None else {_LAST: str(last)}
        answer = await link.send(self._subject(key), data, {**conditions, **(headers or {})} or None)
        return Writing(answer, self.doubt)

    def _subject(self, key: str) -> str:
        return f"$KV.{self._name}.{key}"


class Writing:
    """A write that is under way. Wait for it to get the revision; 0 if the condition did not hold.

    Raises :class:`BrokerError`: then it may or may not have been done.
    """

    __slots__ = ("_answer", "_doubt")

    def __init__(self, answer: asyncio.Future[Delivery], doubt: Callable[[], None]) -> None:
        self._answer, self._doubt = answer, doubt

    def __await__(self) -> Generator[Any, None, int]:
        return self._revision().__await__()

    async def _revision(self) -> int:
        try:
            answer = decoded(answered(await self._answer))
        except BrokerUnavailable:  # perhaps the stream is gone
            self._doubt()
            raise
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") in _ANOTHER_WROTE:
            return 0
        raise BrokerError(f"JetStream refuses: {error.get('description')}")


async def taken(link: Link, subject: str, patience: float) -> None:
    """Return when JetStream takes what is written there, which of several servers one knows later than another, after a
    bucket was made. Nothing is written. Raises :class:`BrokerUnavailable`.
    """
    loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
    until = loop.time() + patience
    while True:
        try:
            answered(await (await link.send(subject, headers={_LAST: _NEVER})))  # a condition that does not hold
        except BrokerUnavailable:
            if not link.open or loop.time() > until:
                raise
        else:
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _asked(link: Link, api: str, asked: bytes, *, fine: int = 0, once: bool = False) -> dict[str, Any]:
    subject = f"$JS.API.{api}"
    answer = decoded(answered(await (await link.send(subject, asked))) if once else await link.ask(subject, asked))
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


def microseconds(text: str) -> int:
    """One of NATS's times, since 1970."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return round(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
