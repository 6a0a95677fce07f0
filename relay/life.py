"""The life of a hub: from ``run``, or ``step``, to ``close``."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import anyio
import anyio.abc

from relay import counting
from relay.app import App
from relay.courier import Courier
from relay.draining import drain
from relay.errors import HubClosed, UsageError
from relay.facts import Draining
from relay.health import Readiness
from relay.node import Node, Tenant, run_now
from relay.webhooks import Sender

_CLOSING_SECONDS = 5.0
"""How long a closing hub waits for work under way, such as an authorizer that hangs, and then for webhooks."""
_LAST_SECONDS = 1.0
"""How long webhooks have that tell what happened last of all."""


class Life:
    """What a hub is apart from what it can be asked for: alive between ``run`` and ``close``, or not."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop: anyio.Event | None = None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._detach: Callable[[], None] = lambda: None
        self._drained: anyio.Event | None = None
        """Set when those who are here when a drain begins are gone."""
        self._courier = Courier(node)

    def send_webhooks(self, sender: Sender) -> None:
        """Let ``sender`` bring the Apps' webhooks to their receivers, from the next ``run`` or ``step`` on.

        ``relay_transports.aiohttp.setup`` does so where nobody did. What happens meanwhile is queued and sent as
        protocol 7.3 says: ``settle`` does not wait for a receiver, ``close`` tries everything that waits once more,
        for at most 5 seconds.
        """
        self._courier.sender = sender

    @property
    def webhook_sender(self) -> Sender | None:
        """Who brings webhooks to their receivers, if anybody does."""
        return self._courier.sender

    def webhooks_waiting(self, app: App | str | None = None) -> int:
        """How many events have not been taken by a receiver of webhooks yet, for one App or all."""
        tenants = self._node.tenants if app is None else [self._find(app)]
        return sum(self._courier.waiting(tenant.app) for tenant in tenants)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be alive until ``close`` is called, then close the clients with 4200 and finish what is under way.

        Reports ``started`` when verbs and connections are welcome. Raises :class:`BrokerError` that says why where the
        broker cannot be reached, or the directory refuses to be told of this node.
        """
        if self._stop is not None:
            raise UsageError("this hub runs already")
        node, stop = self._node, self._begin()
        detach = node.clock.attach(node.settle, node.deadlines.next)
        started = False
        try:
            await node.broker.start(node.receive)
            started = True
            await node.heartbeat.check()
            async with anyio.create_task_group() as tasks:
                node.tasks = tasks
                tasks.start_soon(node.departures.keep, tasks)
                tasks.start_soon(node.keep_time)
                node.heartbeat.start()
                task_status.started()
                try:
                    await stop.wait()
                    with anyio.move_on_after(_CLOSING_SECONDS):
                        await node.settle()
                    await self._courier.finish(_CLOSING_SECONDS)
                finally:
                    node.heartbeat.stop()
                    node.finishing.hurry(_CLOSING_SECONDS)
                tasks.cancel_scope.cancel()
        finally:
            detach()
            with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
                node.close_all()
                node.tasks = None
                await node.departures.rest()
                counting.finish(node)
                await node.terminations.last()
                if node.holding is not None:
                    await node.holding.last()
                await node.do_steps()
                await self._courier.finish(_LAST_SECONDS)
                await self._courier.close()
                if started:  # one that refused to is somebody else's
                    await node.broker.close()
            node.end()
            node.tasks = self._stop = None

    def _begin(self) -> anyio.Event:
        """Welcome verbs and connections; returns what is set when that is over."""
        self._courier.start()
        self._node.terminations.start()
        if self._node.holding is not None:
            self._node.holding.start()
        stop = self._stop = anyio.Event()
        self._drained = None
        return stop

    def close(self) -> None:
        """Stop: clients are closed with 4200 now, ``run`` returns when the rest is done. Idempotent."""
        if not self.running:
            return
        assert self._stop is not None
        self._stop.set()
        self._node.close_all()
        if self._node.tasks is None:
            self._detach()
            self._node.end()
            self._courier.stop()
            self._stop = None

    async def drain(self, over: float = 10.0) -> None:
        """Send every client away with 4200, evenly over at most ``over`` seconds of the hub's clock; a few go at once.

        From the first moment on this node is not ready, and whoever comes is closed with 4100: a 42xx code would make
        pusher-js come back without a pause (protocol rule 6). Verbs work on, and who is still here gets what is
        published. Returns when all are gone and nothing is under way; ``close`` is still to be called. Called once more
        it waits for the same. Raises :class:`UsageError` for an ``over`` below 0.
        """
        if not over >= 0:
            raise UsageError(f"over should be a number of seconds from 0 on, got {over!r}")
        if not self.running:
            return
        if self._drained is not None:
            await self._drained.wait()
            return
        drained = self._drained = anyio.Event()
        node = self._node
        try:
            node.journal.record(Draining(app="", time=node.clock.time(), connections=node.connections, over=over))
            await drain(node, over)
        finally:
            drained.set()

    @property
    def draining(self) -> bool:
        """Whether clients are being sent away, or were."""
        return self.running and self._drained is not None

    def readiness(self) -> Readiness:
        """Whether this node wants new clients, and if not, why."""
        broker = "alone" if self._node.alone else "proven" if self._node.healthy else "lost"
        directory = "alone" if self._node.at_once else "known" if self._node.heartbeat.known else "lost"
        return Readiness(self.running, self.draining, broker, directory)

    def step(self) -> None:
        """Be alive without a task of its own: what would run in the background runs in ``settle``.

        For tests that have a ManualClock and no place to keep a task; ends with ``close``. Broker and
        directory must never suspend, as the local ones.
        """
        if self._stop is not None:
            raise UsageError("this hub runs already")
        self._begin()
        run_now(self._node.broker.start(self._node.receive))
        self._detach = self._node.clock.attach(self._node.settle, self._node.deadlines.next)

    @property
    def running(self) -> bool:
        """Whether verbs and connections are welcome."""
        return self._stop is not None and not self._stop.is_set()

    async def __aenter__(self) -> Self:
        if self._stop is not None:
            raise UsageError("this hub runs already")
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        try:
            await tasks.start(self.run)
        except BaseException as error:
            if not await tasks.__aexit__(type(error), error, error.__traceback__):
                raise
        self._tasks = tasks
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        tasks, self._tasks = self._tasks, None
        assert tasks is not None
        await tasks.__aexit__(None, None, None)  # an error of the block comes out as it is

    def _tenant(self, app: App | str | None) -> Tenant:
        if not self.running:
            raise HubClosed("the hub does not run: use 'async with hub', or relay_transports.aiohttp.setup(app, hub)")
        return self._find(app)

    def _find(self, app: App | str | None) -> Tenant:
        tenants = self._node.by_id
        if app is None:
            if len(tenants) > 1:
                raise UsageError(f"this hub has several Apps: say which with app=, one of {', '.join(tenants)}")
            return next(iter(tenants.values()))
        app_id = app.id if isinstance(app, App) else app
        if app_id not in tenants:
            raise UsageError(f"no App with id {app_id!r} in this hub, only {', '.join(tenants)}")
        return tenants[app_id]
