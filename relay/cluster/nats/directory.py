"""Who is where, kept in JetStream: every step one write that another write cannot cross, every node on a lease."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
from collections.abc import Collection, Iterable, Mapping
from typing import Final, cast

from relay.cluster.directory import Abandoned, Beat, Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.cluster.nats import leases, subjects
from relay.cluster.nats.bucket import Bucket, Entry
from relay.cluster.nats.events import Events
from relay.cluster.nats.lane import Lane
from relay.cluster.nats.leases import Leases
from relay.cluster.nats.link import servers_of
from relay.cluster.nats.place import Act, Join, Leave, Place, Sweep, Touch
from relay.cluster.nats.settings import NatsSettings
from relay.cluster.nats.subjects import Subjects
from relay.cluster.nats.turns import Turns
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
        self._settings = settings = settings or NatsSettings()
        self._lane = lane or Lane(servers_of(url), settings)
        names = Subjects(settings.prefix)
        self._bucket = Bucket(names.bucket, settings, self._lane, self._lost)
        self._events = Events(names, settings, self._bucket)
        self._turns = Turns(self._bucket, settings.in_flight, self._leased, lambda: self._name)
        self._lease, self._forget = (round(span * _MICROSECONDS) for span in (settings.lease, settings.forget))
        self._name = _new_name()
        self._known = False
        """Whether the name has a lease."""
        self._before = ""
        """The name just given up, to be kept alive for one lease: not everybody has joined again yet."""
        self._introducing = asyncio.Lock()
        self._lapsed = self._astray = False
        self._swept: dict[tuple[str, str], bool] = {}
        """The dead whose traces in an App are gone, and whether that is for good."""
        self._beaten = -math.inf
        self._touched = -math.inf

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
        """Renew this node's lease, and sweep what dead nodes left in ``apps``."""
        if self._astray:
            self._rename(keep=True)
        known = await self._renewed()
        gone: list[Abandoned] = []
        try:
            dead, now = await self._bury(known)
            await self._sweep(apps, dead, now, gone)
            await self._touch()
        except BrokerError as error:  # what was swept has to be told all the same
            _log.warning("dead nodes could not be swept", extra={"error": str(error)})
        lapsed, self._lapsed = self._lapsed, False
        return Beat(gone, lapsed=lapsed, again=self._settings.beat)

    async def close(self) -> None:
        """Let go of NATS; what is still owned by this node is for the others to sweep, at once."""
        await self._turns.close()
        if self._known and self._lane.down is None:
            try:
                await self._retire()
            except BrokerError as error:
                _log.info("NATS was not told that this node ends", extra={"error": str(error)})
        self._name, self._known, self._before = _new_name(), False, ""
        self._lapsed = self._astray = False
        await self._lane.close()

    async def _change(self, app: str, channel: str, act: Act) -> object:
        """A step that must not be half known: where it fails, everything is put right at the next beat."""
        try:
            return await self._turns.ask(app, channel, act)
        except BaseException:
            self._astray = True
            raise

    async def _place(self, app: str, channel: str) -> Place:
        return Place.load((await self._bucket.read(subjects.place(app, channel))).data)

    async def _leased(self) -> str:
        """The name to act under."""
        if self._stale():
            async with self._introducing:
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
            now = leases.load(entry.data).at(entry.time, self._lease)
            if self._known and self._name not in now.living:
                self._bucket.doubt()
                self._rename()
            name, keep = self._name, self._before
            beaten = now.beaten(name, entry.time, keep=keep)
            if await self._bucket.write(subjects.NODES, leases.dump(beaten), entry.revision):
                if name == self._name:
                    self._known, self._before = True, ""
                self._beaten = begun
                return await self._bucket.read(subjects.NODES)
            await asyncio.sleep(random.uniform(0, 0.01))  # noqa: S311 - who waits for how long is no secret
        raise BrokerUnavailable(f"other nodes changed the leases {_TRIES} times meanwhile")

    async def _bury(self, entry: Entry) -> tuple[Mapping[str, int], int]:
        """Find out who is dead, and when that was asked; this node is alive."""
        known = leases.load(entry.data).at(entry.time, self._lease)
        overdue = [name for name in known.overdue(entry.time, self._lease) if name != self._name]
        if overdue:
            buried = known.buried(overdue, self._name, entry.time, self._forget)
            if await self._bucket.write(subjects.NODES, leases.dump(buried), entry.revision):
                return buried.dead, entry.time
        return known.dead, entry.time

    async def _retire(self) -> None:
        for _ in range(_TRIES):
            entry = await self._bucket.read(subjects.NODES)
            known: Leases = leases.load(entry.data).at(entry.time, self._lease)
            if self._name not in known.living:
                return
            buried = known.buried([self._name], self._name, entry.time, self._forget)
            if await self._bucket.write(subjects.NODES, leases.dump(buried), entry.revision):
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

    async def _sweep(self, apps: Iterable[str], dead: Mapping[str, int], now: int, gone: list[Abandoned]) -> None:
        """Take out what the dead left; once more after two leases, when all that was on its way from them arrived."""
        for name, since in dead.items():
            good = now - since > 2 * self._lease
            for app in apps:
                swept = self._swept.get((name, app))
                if swept is None or swept < good:
                    keys = await self._bucket.keys(subjects.owned(name, app))
                    random.shuffle(keys)  # others look too: it is less work when each begins elsewhere
                    for start in range(0, len(keys), _AT_ONCE):
                        some = keys[start : start + _AT_ONCE]
                        await asyncio.gather(*(self._sweep_place(name, app, key, gone, good=good) for key in some))
                    self._swept[name, app] = good
        self._swept = {known: good for known, good in self._swept.items() if known[0] in dead}

    async def _sweep_place(self, name: str, app: str, key: str, gone: list[Abandoned], *, good: bool) -> None:
        channel = subjects.last(key)
        while channel is not None:
            answer = await self._turns.ask(app, channel, Sweep(name))
            found = cast("list[tuple[str, str | None, Left]]", answer)
            if not found:
                break
            gone += [Abandoned(app, channel, socket_id, user, left) for socket_id, user, left in found]
        if good:
            await self._bucket.purge(key)

    async def _touch(self) -> None:
        """Keep what this node owns from being forgotten, four times as often as needed."""
        now = asyncio.get_running_loop().time()
        if self._touched == -math.inf:
            self._touched = now
        if now - self._touched < self._settings.forget / 4:
            return
        self._touched = now
        await self._bucket.touch()
        for app, channel in self._turns.known():
            if await self._turns.ask(app, channel, Touch()):
                await self._bucket.write(subjects.own(self._name, app, channel), b"", None)


def _new_name() -> str:
    return secrets.token_hex(8)
