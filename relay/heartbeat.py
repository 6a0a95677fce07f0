"""What a node does to be known as alive, and what follows: telling of those whom a dead node left behind, joining
again whom the directory lost, and asking who is in where news may have been lost.

All of it goes on beside everything else; a node alone does none of it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import anyio

from relay import counting, facts, users
from relay.cluster.broker import Envelope, Proving
from relay.cluster.directory import Abandoned, Beat, Joined
from relay.errors import BrokerError
from relay.membership import see, tell_joined, tell_left
from relay.publishing import send_on

if TYPE_CHECKING:
    from relay.channels import Channel
    from relay.connection import Connection
    from relay.node import Node, Tenant

_FIRST_AGAIN: Final = 1.0
"""Seconds between beats until the directory said how often."""
_NEARLY: Final = 0.9
_AT_ONCE: Final = 100
_MOST_UNLEFT: Final = 100_000
_ANYBODY: Final = 2**31
"""Members that a channel may have when they were let in already."""
_log = logging.getLogger(__name__)


class Heartbeat:
    """The signs of life of one node, as often as its directory wants them, by the hub's clock."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._every: float | None = _FIRST_AGAIN
        self._unset: Callable[[], None] = lambda: None
        self._turn = anyio.Lock()
        self._failing = ""
        """Why the last beat failed."""
        self.known = True
        """Whether the directory answers, and has everybody whom this node has."""
        self._doubtful = -math.inf
        """Until when other nodes may not know that the directory lost something."""
        self._burying = False
        """Whether some of those whom dead nodes left are being told of: the next of them wait for it, no beat does."""
        self._lapses = 0
        self._rejoined: anyio.Event | None = None
        """Set when everybody has joined again; None while nobody has to."""
        self._doubted: dict[tuple[str, str], float] = {}
        """Channels whose members may not be those that were told, and from when on to ask."""
        self._unsaid: dict[tuple[str, str], None] = {}
        """Channels whose news the other nodes did not get."""
        self._unleft: dict[tuple[str, str, str], Callable[[], bool]] = {}
        """Who left without the directory knowing, and whether they have come back."""

    async def check(self) -> None:
        """Give a first sign of life, which finds nothing. Raises :class:`BrokerError` when the directory refuses it."""
        self.known, self._failing = True, ""
        if not self._node.at_once:
            await self._node.directory.beat(())

    def start(self) -> None:
        """Begin, now that the node has tasks."""
        node = self._node
        if node.at_once:
            return
        self._every, self._turn = _FIRST_AGAIN, anyio.Lock()
        if isinstance(node.broker, Proving):
            node.broker.watch(self._lost, self._restored)
        self._beat_soon()

    def stop(self) -> None:
        """End: what is under way may finish."""
        self._every = None
        self._unset()

    def unsaid(self, app: str, channel: str) -> None:
        """News of that channel's members did not get to the other nodes: have them ask, when they can be reached."""
        self._unsaid[app, channel] = None

    def unleft(self, app: str, channel: str, socket_id: str, still: Callable[[], bool]) -> None:
        """The directory could not be told of a leave: tell it when it can be, unless that socket is ``still`` there,
        having come back. Too many of them are left to the sweep of what this node no longer owns.
        """
        if len(self._unleft) < _MOST_UNLEFT:
            self._unleft[app, channel, socket_id] = still

    def doubt(self, tenant: Tenant, name: str) -> None:
        """What this node's subscribers were told of that channel's members, or their number, may be wrong: ask soon.

        Not at once: where one node has to join again, all may have to, and until they have, few seem to be in.
        """
        channel = tenant.channels.get(name)
        if (channel is not None and _is_told_of(tenant, channel)) or users.watched_in(tenant, name):
            due = self._node.clock.now() + 2 * (self._every or 0)
            self._doubted.setdefault((tenant.app.id, name), due)

    def _lost(self) -> None:
        self._node.journal.record(facts.BrokerLost(app="", time=self._node.clock.time()))

    async def _restored(self) -> None:
        """Hear again: put right what may be wrong, before anybody is told that all is well."""
        with self._node.in_flight:
            await self._beat()
            while self._rejoined is not None:
                await self._rejoined.wait()
            if not self.known:
                self._doubtful = -math.inf  # where all lost it they are not ready either, as deaf as this one was
                await self._beat()
            for tenant in self._node.tenants:
                for channel in tenant.channels:
                    self.doubt(tenant, channel.name)
                for name in users.watched_places(tenant):
                    self.doubt(tenant, name)
            self._node.terminations.restored()
            if self._node.holding is not None:
                self._node.holding.restored()
            self._node.journal.record(facts.BrokerRestored(app="", time=self._node.clock.time()))

    def _beat_soon(self) -> None:
        if self._node.tasks is not None and self._every is not None:
            self._node.start_soon(self._beat)

    async def _beat(self) -> None:
        """One sign of life, and all that follows."""
        async with self._turn:
            beat = await self._asked()
            buries = bool(beat.abandoned) or beat.more
            self._burying |= buries
            if self._every is not None:
                self._every = beat.again
                self._unset()
                if beat.again is not None:
                    self._unset = self._node.call_at(self._node.clock.now() + beat.again, self._beat_soon)
        if beat.again is not None:
            self._judge(beat)
        if beat.lapsed:
            self._lapses += 1
            if self._rejoined is None:
                self._rejoined = anyio.Event()
                self._node.start_soon(self._rejoin)
        if buries:
            await self._bury_all(beat)
        if not self._failing:
            unsaid, self._unsaid = self._unsaid, {}
            await self._side_by_side(partial(self._hint, *one) for one in unsaid)
            await self._ask_again()

    async def _asked(self) -> Beat:
        """What the directory says. One that is away, or is wrong, is logged, never raised."""
        serves = () if self._burying else self._node.by_id
        try:
            beat = await self._node.directory.beat([app for known in serves for app in (known, users.namespace(known))])
        except Exception as error:  # noqa: BLE001 - an engine's mistake is not the end of the hub
            if not self._failing:
                strange = None if isinstance(error, BrokerError) else error
                why = {"error": str(error)}
                _log.warning("the directory does not hear that this node lives", extra=why, exc_info=strange)
            self._failing = str(error) or type(error).__name__
            return Beat(again=self._every)
        if self._failing:
            _log.info("the directory hears again that this node lives")
        self._failing = ""
        return beat

    def _judge(self, beat: Beat) -> None:
        """Tell when the directory does not have everybody any more, and when it does again.

        That takes one beat more, a beat's time later: what it lost, it lost for the other nodes too, and they know by
        then, since they beat as often.
        """
        time, now = self._node.clock.time(), self._node.clock.now()
        if beat.lapsed and beat.again is not None:
            self._doubtful = now + _NEARLY * beat.again
        if self._failing or beat.lapsed:
            if self.known:
                self.known = False
                why = self._failing or "it took this node for dead, or does not have all that it was told"
                self._node.journal.record(facts.DirectoryLost(app="", time=time, reason=why))
        elif not self.known and self._rejoined is None and now >= self._doubtful:
            self.known = True
            self._node.journal.record(facts.DirectoryRestored(app="", time=time))

    async def _bury_all(self, beat: Beat) -> None:
        """Tell of those whom dead nodes left behind, and have the next of them found at once."""
        try:
            await self._side_by_side(partial(self._bury, one) for one in beat.abandoned)
        finally:
            self._burying = False
        if beat.more:
            self._beat_soon()

    async def _bury(self, gone: Abandoned) -> None:
        """Tell of one connection that a dead node left behind."""
        tenant = self._node.by_id.get(gone.app)
        if tenant is not None:
            await tell_left(self._node, tenant, gone.channel, gone.user_id, gone.left)
            return
        for known in self._node.tenants:
            if users.namespace(known.app.id) == gone.app:
                await users.swept(self._node, known, gone)

    async def _rejoin(self) -> None:
        """Let everybody join again: as often as it was to be done, one round after the other."""
        done = 0
        while done < self._lapses:
            done = self._lapses
            unleft, self._unleft = self._unleft, {}
            await self._side_by_side(partial(self._leave_after_all, *one, still) for one, still in unleft.items())
            for tenant in self._node.tenants:
                channels = [channel for channel in tenant.channels if _is_told_of(tenant, channel)]
                await self._side_by_side(
                    partial(self._join_again, tenant, channel.name, connection)
                    for channel in list(tenant.channels)
                    for connection in list(channel.transports.values())
                )
                await self._side_by_side(users.again(self._node, tenant))
                await self._side_by_side(partial(self._hint, tenant.app.id, channel.name) for channel in channels)
                for channel in channels:
                    self.doubt(tenant, channel.name)
        rejoined, self._rejoined, self._lapses = self._rejoined, None, 0
        if rejoined is not None:
            rejoined.set()

    async def _leave_after_all(self, app: str, channel: str, socket_id: str, still: Callable[[], bool]) -> None:
        """What had to be told of it was told, as far as this node knew."""
        if still():
            return
        try:
            await self._node.directory.leave(app, channel, socket_id)
        except BrokerError:
            self.unleft(app, channel, socket_id, still)

    async def _join_again(self, tenant: Tenant, name: str, connection: Connection) -> Joined | None:
        """Have a subscriber in the directory; changes nothing if it is there."""
        subscription = connection.session.subscriptions.get(name)
        if subscription is None or subscription.joining or connection.closed:
            return None
        try:
            joined = await self._node.directory.join(
                tenant.app.id, name, connection.socket_id, subscription.member, max_members=_ANYBODY
            )
        except BrokerError:  # the next beat brings it up again
            return None
        assert isinstance(joined, Joined)  # nobody is too many
        await tell_joined(self._node, tenant, name, subscription.member, joined)
        return joined

    async def _hint(self, app: str, channel: str) -> None:
        """Have the other nodes ask who is in."""
        if await send_on(self._node, Envelope(app=app, channel=channel, kind="roster")) == "unavailable":
            self.unsaid(app, channel)

    async def _ask_again(self) -> None:
        """Ask who is in where that is in doubt, and tell what is new."""
        now = self._node.clock.now()
        due = [place for place, when in self._doubted.items() if when <= now]
        for place in due:
            del self._doubted[place]
        await self._side_by_side(partial(self._look, *place) for place in due)

    async def _look(self, app: str, name: str) -> None:
        tenant = self._node.by_id[app]
        if users.watched_in(tenant, name):
            if not await users.look(self._node, tenant, name):
                self.doubt(tenant, name)
            return
        channel = tenant.channels.get(name)
        for connection in _members(channel):  # any of them will do: its roster is that of all
            joined = await self._join_again(tenant, name, connection)
            if joined is not None:
                see(tenant, name, joined)
                counting.joined(self._node, tenant, name, joined)
                return
            self.doubt(tenant, name)

    async def _side_by_side(self, works: Iterable[Callable[[], Awaitable[object]]]) -> None:
        """Do all of it, some of it at once. What fails is logged, and the rest done all the same."""
        rest = iter(works)
        while some := list(islice(rest, _AT_ONCE)):
            async with anyio.create_task_group() as tasks:
                for work in some:
                    tasks.start_soon(_logged, work)


async def _logged(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except Exception:  # noqa: BLE001 - an engine's mistake about one client is not the end of all others
        _log.exception("a client could not be put right with the other nodes")


def _is_told_of(tenant: Tenant, channel: Channel[Connection]) -> bool:
    """Whether the subscribers of a channel are told who, or how many, they are."""
    return channel.told is not None or counting.counts_of(tenant, channel.name) is not None


def _members(channel: Channel[Connection] | None) -> Sequence[Connection]:
    return [] if channel is None else list(channel.transports.values())
