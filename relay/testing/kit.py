"""A hub, a clock and clients for one test: what the ``relay`` fixture gives."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import TypeVar

import anyio
import msgspec

from relay.app import App
from relay.client.backoff import Backoff
from relay.client.client import Client
from relay.client.connecting import Connecting
from relay.client.settings import Settings
from relay.clock import Clock
from relay.cluster.cluster import Cluster
from relay.errors import UsageError
from relay.facts import Fact
from relay.hub import Hub
from relay.protocol import messages
from relay.protocol.events import CheckedEvent, readable
from relay.receipts import Receipt
from relay.testing.asserting import AssertingClient, let_others_run
from relay.testing.clock import ManualClock
from relay.testing.faults import Fate, Faults
from relay.testing.transcript import Transcript
from relay.testing.webhooks import WebhookRecorder
from relay_transports.inprocess.client import InProcessLink, connecting
from relay_transports.inprocess.raw import only_key
from relay_transports.inprocess.transport import InProcessTransport

T = TypeVar("T")
_LOOK_AGAIN = 0.005
_ASKING = (b'{"event":"pusher:subscribe"', b'{"event":"pusher:signin"')
DEFAULT_APP = App(
    id="1001",
    key="test-key",
    secret="test-secret",  # noqa: S106 - for tests
    encryption_master_key="dGVzdC1tYXN0ZXIta2V5LXRlc3QtbWFzdGVyLWtleSE=",
    client_events=True,
)


class PublishedEvent(msgspec.Struct, frozen=True):
    """One event that application code published, with what became of it."""

    channels: tuple[str, ...]
    event: str
    data: object
    socket_id: str | None
    receipt: Receipt
    app: str
    """The id of its App."""


class RecordingHub(Hub):
    """A hub that remembers what was published, decrypted where it can."""

    def __init__(
        self,
        *apps: App,
        clock: Clock,
        random: Random | None = None,
        cluster: Cluster | None = None,
        hold: int = 0,
    ) -> None:
        super().__init__(*apps, clock=clock, random=random, cluster=cluster, hold=hold)
        self.published: list[PublishedEvent] = []

    async def publish(self, events: Iterable[CheckedEvent], *, app: App | str | None = None) -> list[Receipt]:
        """See :meth:`relay.Hub.publish`."""
        events = list(events)
        receipts = await super().publish(events, app=app)
        app_id = self._find(app).app.id
        for event, receipt in zip(events, receipts, strict=True):
            data = messages.unwrapped(readable(self._find(app).app, event))
            self.published.append(PublishedEvent(event.channels, event.name, data, event.socket_id, receipt, app_id))
        return receipts

    def places(self) -> set[tuple[str, str, str]]:
        """Everybody who is in a channel here: App, channel, socket id."""
        return {
            (tenant.app.id, channel.name, connection.socket_id)
            for tenant in self._node.tenants
            for channel in tenant.channels
            for connection in channel.transports.values()
        }

    def published_to(
        self, channel: str | None, event: str | None, app: App | str | None = None
    ) -> list[PublishedEvent]:
        """What ``app`` published to ``channel`` under the name ``event``; None stands for any."""
        app_id = app.id if isinstance(app, App) else app
        return [
            published
            for published in self.published
            if (channel is None or channel in published.channels)
            and (event is None or event == published.event)
            and (app_id is None or app_id == published.app)
        ]


class Kit:
    """Everything a test of realtime code needs. Starts by itself, needs no port, no task and no cleaning up.

    ``hub`` is a :class:`relay.Publisher` to hand to the code under test, ``clock`` moves when told to, ``facts`` is
    what happened so far, ``transcript`` every frame. What a callback of a client raises fails the test: the next
    assertion, ``settle`` or ``close`` raises it. Works on asyncio, uvloop and trio, under any pytest plugin.
    """

    def __init__(
        self,
        *apps: App,
        seed: int = 0,
        clock: ManualClock | None = None,
        cluster: Cluster | None = None,
        hold: int = 0,
    ) -> None:
        self.clock = clock or ManualClock()
        self._numbers = itertools.count(1)
        self._jitter = Random(seed)  # noqa: S311 - of clients that come back; the same every time
        random = Random(seed)  # noqa: S311
        self.hub = RecordingHub(*(apps or (DEFAULT_APP,)), clock=self.clock, random=random, cluster=cluster, hold=hold)
        self.facts: list[Fact] = []
        self.transcript = Transcript(self.clock)
        self.failures: list[BaseException] = []
        """What callbacks raised and nobody was told yet."""
        self.clients: list[AssertingClient] = []
        self._links: list[FaultyLink] = []
        self._lost = False
        self.webhooks = WebhookRecorder(self.hub.apps)
        """What the Apps' webhooks told, without a network."""
        self.hub.on(Fact, self.facts.append)
        self.hub.send_webhooks(self.webhooks)
        if cluster is None:  # one of several nodes is run by whoever runs them all
            self.hub.step()

    def connect(
        self,
        key: str | None = None,
        *,
        answer_pings: bool = True,
        reconnect: Backoff | None = None,
        faults: Faults | None = None,
        settings: Settings | None = None,
    ) -> Connecting[AssertingClient]:
        """A client: ``await relay.connect()`` or ``async with relay.connect() as client``.

        It stays away once it lost its connection, unless ``reconnect=Backoff()`` says when to come back.
        ``settings`` replace ``answer_pings`` and ``reconnect``.
        """
        number = next(self._numbers)
        faults = faults or Faults()
        app = self.hub.app_of(only_key(self.hub) if key is None else key)

        def link(client: Client, hub: Hub, transport: InProcessTransport) -> InProcessLink:
            first = isinstance(client, AssertingClient) and not client.number
            if isinstance(client, AssertingClient) and first:
                client.kit, client.number, client.faults = self, number, faults
                client.app = None if app is None else app.id
                self.clients.append(client)
            new = FaultyLink(client, hub, transport, self, faults, first=first)
            self._links.append(new)
            return new

        return connecting(
            AssertingClient,
            self.hub,
            key,
            settings=settings or Settings(answer_pings=answer_pings, reconnect=reconnect),
            random=self._jitter,
            transport=lambda: InProcessTransport(partial(self.transcript.note, number)),
            link=link,
        )

    async def settle(self) -> None:
        """Return when nothing is under way in the hub and its clients."""
        __tracebackhide__ = True
        await self.hub.settle()
        self.raise_failures()

    async def quiet(self) -> None:
        """Return when nothing is under way in the hub, and every other task of the test waits for something."""
        __tracebackhide__ = True
        await let_others_run(self.hub.settle)
        for client in self.clients:
            client.pump()
        await self.hub.settle()
        self.raise_failures()

    def raise_failures(self) -> None:
        """Raise what a callback raised, the first if there are several."""
        __tracebackhide__ = True
        if self.failures:
            first, *others = self.failures
            self.failures.clear()
            if others:
                first.add_note(f"{len(others)} more callbacks failed after this one, the last with {others[-1]!r}")
            raise first

    async def eventually(
        self, look: Callable[[], T | None], within: float, *, hopeless: Callable[[], bool] = lambda: False
    ) -> T | None:
        """What ``look`` finds, now or when everything under way is done or, with ``within``, later.

        None when there is nothing then, or when it is ``hopeless``.
        """
        __tracebackhide__ = True
        found = look()
        self.raise_failures()
        if found is not None:
            return found
        await self.quiet()
        over = anyio.current_time() + within
        while (found := look()) is None and not hopeless() and anyio.current_time() < over:  # noqa: ASYNC110 - of others
            await anyio.sleep(_LOOK_AGAIN)
        self.raise_failures()
        return found

    def published(
        self, channel: str | None = None, event: str | None = None, *, app: App | str | None = None
    ) -> list[PublishedEvent]:
        """What application code published, oldest first; to ``channel``, under the name ``event``, for ``app`` if
        given.
        """
        return self.hub.published_to(channel, event, app)

    def lose_node(self) -> None:
        """Let the hub's machine die: every connection breaks, and new ones fail until ``restore_node``."""
        self._lost = True
        for link in list(self._links):
            link.cut()

    def restore_node(self) -> None:
        """Let clients in again."""
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the node is lost."""
        return self._lost

    def why_not(self, client: AssertingClient, channel: str, event: str) -> str:
        """Why ``client`` did not get an event, for the message of a failed ``expect``; empty if that is not known."""
        published = self.published(channel, event, app=client.app)
        if published:
            if any(publish.socket_id == client.connection.socket_id for publish in published):
                return f"; connection {client.number} was excluded by socket_id"
            return f"; connection {client.number} does not read: stall()" if client.faults.stalled else ""
        if event.startswith(("client-", "pusher")):
            return ""  # it does not come from a publisher
        if any_app := self.published(channel, event):
            of = ", ".join(sorted({publish.app for publish in any_app}))
            return f"; {event} was published for App {of}, connection {client.number} is of App {client.app}"
        elsewhere = sorted({to for publish in self.published(None, event, app=client.app) for to in publish.channels})
        return f"; {event} was published to {', '.join(elsewhere) or 'no channel'}"

    def close(self) -> None:
        """End; what the fixture does after the test. Raises what a callback raised, if nobody was told yet."""
        __tracebackhide__ = True
        self.hub.close()
        self.raise_failures()


def _channel_of(subscribe: bytes) -> str:
    return messages.read_data(messages.read(subscribe), messages.SubscribeData).channel


class FaultyLink(InProcessLink):
    """A link on which things go wrong when the test says so."""

    def __init__(
        self, client: Client, hub: Hub, transport: InProcessTransport, kit: Kit, faults: Faults, *, first: bool
    ) -> None:
        super().__init__(client, hub, transport)
        self._kit = kit
        self._faults = faults
        self._first = first
        self._fates: deque[Fate] = deque()
        self._last_due = 0.0

    async def open(self, key: str, protocol: str) -> None:
        """Connect, if the node is there. Raises :class:`UsageError` where the test waits and nobody reads."""
        if self._first and self._faults.stalled:
            raise UsageError("this client does not read, so it would wait for the greeting for ever: resume() first")
        if self._kit.lost:
            self._transport.close(1006, "the node is lost")
            self._transport.arrived = None
            return
        await super().open(key, protocol)

    async def send(self, text: bytes) -> None:
        """Send, unless the test refuses it. Raises :class:`UsageError` for what nobody would read the answer of."""
        if self._faults.stalled and text.startswith(_ASKING):
            raise UsageError("this client does not read, so it would wait for an answer for ever: resume() first")
        refusal = self._faults.refusal
        if refusal is not None and b'"pusher:subscribe"' in text:
            self._faults.refusal = None
            self._transport.send(messages.subscription_error(_channel_of(text), refusal))
            return
        await super().send(text)

    def pump(self) -> None:
        """Give the client what has reached it: not what it does not read or what is held back."""
        now = self._hub.clock.now()
        while self._fates and not (self._faults.stalled and self._fates[0].unread):
            fate = self._fates.popleft()
            frame = self._transport.take()
            if frame is None:  # the hub has cut the connection
                self._fates.clear()
            elif fate.due > now:
                self._last_due = max(self._last_due, fate.due)
                self._hub.call_at(self._last_due, partial(self._reach, frame, fate))
            else:
                self._reach(frame, fate)
        if self._transport.closed is not None and not self._faults.stalled:
            if self._last_due > now:
                self._hub.call_at(self._last_due, super().pump)
            else:
                super().pump()

    def cut(self) -> None:
        """Break, as a network does."""
        self._fates.clear()
        self._last_due = 0.0
        super().cut()

    def _arrived(self, frame: bytes) -> None:
        if frame:
            fate = self._faults.fate(frame, self._hub.clock.now())
            self._fates.append(fate)
            if fate.breaks:
                self._hub.start_soon(self._pump_beside)
        super()._arrived(frame)

    def _reach(self, frame: bytes, fate: Fate) -> None:
        if self._transport.closed is not None and self._transport.closed.code == 1006:
            return  # it was on the way when the connection broke
        for _ in range(fate.copies):
            self.deliver(frame)
        if fate.breaks:
            self.cut()
