"""Who is where, kept in JetStream: every step one write that another write cannot cross, every node on a lease."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
from collections.abc import Collection, Mapping
from typing import Final, cast

from relay.cluster.directory import Beat, Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.cluster.leasing import LOOKS_AGAIN, away_after
from relay.cluster.nats import leases, subjects
from relay.cluster.nats.address import Address
from relay.cluster.nats.agreed import Agreed
from relay.cluster.nats.bucket import Bucket, Entry
from relay.cluster.nats.events import Events
from relay.cluster.nats.lane import Lane
from relay.cluster.nats.leases import Leases
from relay.cluster.nats.link import TooLong
from relay.cluster.nats.place import Act, Join, Leave, Place, Touch
from relay.cluster.nats.settings import NatsSettings
from relay.cluster.nats.single_file import SingleFile
from relay.cluster.nats.subjects import Subjects
from relay.cluster.nats.sweeper import Sweeper
from relay.cluster.nats.turns import Turns
from relay.cluster.portion import Portion
from relay.errors import BrokerError, BrokerUnavailable
from relay.protocol.messages import Identity

_TRIES: Final = 50
_AT_ONCE: Final = 50
_MICROSECONDS: Final = 1_000_000
_log = logging.getLogger(__name__)


class NatsDirectory:
    """Who is where on the nodes of one NATS; see :class:`relay.cluster.directory.Directory` for what it promises.

    Each channel is one document in a key-value bucket, written anew at each step on the condition that no other node
    wrote meanwhile; steps that one node asks for at the same time are one write. So a channel's connections have to
    fit into one message of NATS (``max_payload``: 1 MB, unless configured, takes some 40,000; with users, fewer).

    What a node puts there it owns under a name, on a lease that ``beat`` renews. Where another node found the lease to
    be over, JetStream lost the name, or a step failed that may or may not have been done, the node goes on under
    another name, and is told by ``Beat.lapsed`` to join again everybody it has. What is still owned under the old name
    is swept: by each node for the Apps that it serves, each connection by whichever is first.
    """

    def __init__(self, url: str, settings: NatsSettings | None = None, *, lane: Lane | None = None) -> None:
        self._lane = lane or Lane(Address(url, settings))
        self._settings = settings = self._lane.address.settings
        names = Subjects(settings.prefix)
        self._bucket = Bucket(names.bucket, settings, self._lane, self._lost)
        self._events = Events(names, settings, self._bucket)
        self._turns = Turns(self._bucket, settings.in_flight, self._leased, lambda: self._name)
        self._lease, self._forget, self._away = (
            round(span * _MICROSECONDS) for span in (settings.lease, settings.forget, away_after(settings))
        )
        self._agreed = Agreed(self._bucket, settings)
        self._name = _new_name()
        self._known = False
        """Whether the name has a lease."""
        self._before = ""
        """The name just given up, to be kept alive for one lease: not everybody has joined again yet."""
        self._introducing = SingleFile()
        self._lapsed = self._astray = False
        self._sweeper = Sweeper(self._bucket, self._turns, self._lease, settings.lease * LOOKS_AGAIN)
        self._beaten = -math.inf
        self._touched = -math.inf
        self._to_touch: list[tuple[str, str]] = []
        """Apps and channels."""

    async def join(
        self, app: str, channel: str, socket_id: str, member: Identity | None, *, max_members: int
    ) -> Joined | Full:
        """Put a connection into a channel; doing it twice changes nothing but whose it is."""
        return cast("Joined | Full", await self._change(app, channel, Join(socket_id, member, max_members)))

    async def leave(self, app: str, channel: str, socket_id: str) -> Left:
        """Take a connection out; unknown is a no-op."""
        return cast("Left", await self._change(app, channel, Leave(socket_id)))

    async def occupied(self, app: str, prefix: str) -> Mapping[str, Occupancy]:
        """The occupied channels whose names begin with ``prefix``: each with its counts of one moment, the list
        not of one moment when it is long.
        """
        found: dict[str, Occupancy] = {}
        for key, counts in (await self._bucket.counts(subjects.places(app))).items():
            channel = subjects.last(key)
            if channel is not None and channel.startswith(prefix):
                found[channel] = Occupancy(*counts)
        return found

    async def occupancy(self, app: str, channel: str) -> Occupancy:
        """One channel's counts."""
        place = await self._place(app, channel)
        return Occupancy(place.count, place.users)

    async def roster(self, app: str, channel: str) -> Roster:
        """The users of a presence channel."""
        return (await self._place(app, channel)).roster()

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        """Keep the last event of a cache channel; of the bounds JetStream counts a message's overhead too."""
        return await self._events.remember(app, channel, text, now, retention)

    async def recall(self, app: str, channel: str, *, now: float) -> Remembered | None:
        """The last event of a cache channel."""
        return await self._events.recall(app, channel, now)

    async def beat(self, apps: Collection[str]) -> Beat:
        """Renew this node's lease, and sweep some of what dead nodes left in ``apps``."""
        if self._astray:
            self._rename(keep=True)
        known = await self._renewed()
        await self._agreed.keep(known.time)
        portion, more = Portion(self._settings.beat, asyncio.get_running_loop().time), False
        if apps:
            try:
                dead, now = await self._bury(known)
                more = await self._sweeper.sweep(apps, dead, now, portion)
                await self._touch(portion)
            except BrokerError as error:  # what was swept has to be told all the same
                _log.warning("dead nodes could not be swept", extra={"error": str(error)})
        lapsed, self._lapsed = self._lapsed, False
        return Beat(portion.gone, lapsed, self._settings.beat, more)

    async def close(self) -> None:
        """Let go of NATS; what is still owned by this node is for the others to sweep, at once."""
        nowhere = not self._astray and not self._turns.known()
        await self._turns.close()
        if self._known and self._lane.down is None:
            try:
                await self._retire(clean=nowhere and await self._is_clean())
            except BrokerError as error:
                _log.info("NATS was not told that this node ends", extra={"error": str(error)})
        self._name, self._known, self._before = _new_name(), False, ""
        self._lapsed = self._astray = False
        await self._lane.close()

    async def _change(self, app: str, channel: str, act: Act) -> object:
        """A step that must not be half known: where it fails, everything is put right at the next beat."""
        try:
            return await self._turns.ask(app, channel, act)
        except BaseException as error:
            # Who does not fit in will not next time: for that one nobody else has to join again.
            self._astray |= not (isinstance(error, TooLong) and isinstance(act, Join))
            raise

    async def _place(self, app: str, channel: str) -> Place:
        return Place.load((await self._bucket.read(subjects.place(app, channel))).data)

    async def _leased(self) -> str:
        """The name to act under."""
        if self._stale():
            async with self._introducing.turn():
                if self._stale():
                    await self._renewed()
        return self._name

    def _stale(self) -> bool:
        """Whether the name has no lease, or one that is over: a process that was paused looks before it acts."""
        return not self._known or asyncio.get_running_loop().time() - self._beaten > self._settings.lease

    async def _renewed(self) -> Entry:
        """Beat, and take another name where this one was buried; returns the leases as they are now, or later."""
        for _ in range(_TRIES):
            begun = asyncio.get_running_loop().time()
            entry = await self._bucket.read(subjects.NODES)
            now = leases.load(entry.data).at(entry.time, self._lease, self._away)
            if self._name in now.dead or (self._known and self._name not in now.living):
                self._bucket.doubt()
                self._rename()
            name, keep = self._name, self._before
            beaten = now.beaten(name, entry.time, keep=keep, clean=self._sweeper.clean())
            if await self._bucket.write(subjects.NODES, leases.dump(beaten), entry.revision):
                if name == self._name:
                    self._known, self._before = True, ""
                self._beaten = begun
                return await self._bucket.read(subjects.NODES)
            await asyncio.sleep(random.uniform(0, 0.01))  # noqa: S311 - who waits for how long is no secret
        raise BrokerUnavailable(f"other nodes changed the leases {_TRIES} times meanwhile")

    async def _bury(self, entry: Entry) -> tuple[Mapping[str, int], int]:
        """Find out who is dead, and when that was asked; this node is alive."""
        known = leases.load(entry.data).at(entry.time, self._lease, self._away)
        overdue = [name for name in known.overdue(entry.time, self._lease) if name != self._name]
        if overdue:
            buried = known.buried(overdue, self._name, entry.time, self._forget)
            if await self._bucket.write(subjects.NODES, leases.dump(buried), entry.revision):
                return buried.dead, entry.time
        return known.dead, entry.time

    async def _is_clean(self) -> bool:
        """Whether nothing says that this node owns anything."""
        try:
            return not await self._bucket.keys(subjects.owned(self._name))
        except BrokerError:
            return False

    async def _retire(self, *, clean: bool) -> None:
        for _ in range(_TRIES):
            entry = await self._bucket.read(subjects.NODES)
            known: Leases = leases.load(entry.data).at(entry.time, self._lease, self._away)
            if self._name not in known.living:
                return
            buried = known.buried([self._name], self._name, entry.time, self._forget)
            ended = known.ended(self._name, entry.time) if clean else buried
            if await self._bucket.write(subjects.NODES, leases.dump(ended), entry.revision):
                return

    def _rename(self, *, keep: bool = False) -> None:
        """Go on under another name. ``keep`` the old one for a lease."""
        self._before = self._name if keep else ""
        self._name, self._known = _new_name(), False
        self._lapsed, self._astray = True, False
        self._turns.forget()

    def _lost(self) -> None:
        """JetStream lost everything."""
        self._rename()

    async def _touch(self, portion: Portion) -> None:
        """Keep what this node owns from being forgotten, four times as often as needed."""
        now = asyncio.get_running_loop().time()
        if self._touched == -math.inf:
            self._touched = now
        if not self._to_touch and now - self._touched >= self._settings.forget / 4:
            self._touched = now
            await self._bucket.touch()
            self._to_touch = self._turns.known()
        while self._to_touch:
            some = self._to_touch[-_AT_ONCE:]
            await asyncio.gather(*(self._touch_place(*one) for one in some))
            del self._to_touch[-len(some) :]
            portion.asked = True
            if portion.over:
                break

    async def _touch_place(self, app: str, channel: str) -> None:
        if await self._turns.ask(app, channel, Touch()):
            await self._bucket.write(subjects.own(self._name, app, channel), b"", None)


def _new_name() -> str:
    return secrets.token_hex(8)
