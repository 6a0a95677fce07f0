"""Sending an App's webhooks while its hub runs: it drives the schedules of ``relay.webhooks`` by the hub's clock.

Each receiver has a schedule and at most one request under way, so a slow one delays no other. An attempt over the
network does not hold ``hub.settle()`` up: it may take as long as the receiver likes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio

from relay.errors import BrokerError, UsageError
from relay.facts import Fact, Published
from relay.protocol.webhooks import WebhookEvent
from relay.webhooks import Answer, Request, Schedule, Sender, event_of, needed

if TYPE_CHECKING:
    from relay.app import App
    from relay.node import Node

_log = logging.getLogger(__name__)


class _Post:
    """One receiver: its schedule, the timer that will look at it, and whether somebody is at work for it."""

    def __init__(self, app: str, schedule: Schedule) -> None:
        self.app = app
        self.schedule = schedule
        self.due: float | None = None
        self.cancel: Callable[[], None] = lambda: None
        self.rested: anyio.Event | None = None
        """Set when the work that goes on is done; None while there is none."""


class Courier:
    """Sends the webhooks of ``node``'s Apps through ``sender`` between ``start`` and ``close``."""

    def __init__(self, node: Node) -> None:
        self.sender: Sender | None = None
        self._node = node
        self._posts: dict[str, list[_Post]] = {}
        self._unsubscribe: list[Callable[[], None]] = []

    def start(self) -> None:
        """Listen to what happens. Raises :class:`UsageError` for Apps with webhooks and nothing to send them."""
        apps = [tenant.app for tenant in self._node.tenants if tenant.app.webhooks]
        if apps and self.sender is None:
            raise UsageError(
                f"App {apps[0].id} has webhooks and nothing sends them: relay_transports.aiohttp.setup(app, hub) does,"
                " or hub.send_webhooks(WebhookSender()) before the hub runs; or leave App.webhooks empty"
            )
        self._posts = {app.id: self._posts_of(app) for app in apps}
        kinds = {kind for app in apps for endpoint in app.webhooks for kind in endpoint.events}
        self._unsubscribe = [self._node.journal.on(fact, self._note) for fact in needed(kinds)]

    def stop(self) -> None:
        """Listen no more, and let what waits go."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for post in self._all():
            post.cancel()
        self._posts, self._unsubscribe = {}, []

    def waiting(self, app: App) -> int:
        """How many events wait for a receiver of ``app``, counted once for each."""
        return sum(post.schedule.waiting for post in self._posts.get(app.id, ()))

    async def finish(self, seconds: float) -> None:
        """Send everything that waits, whether it is due or not, once, and for at most so many ``seconds`` of real time;
        the rest is given up.
        """
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for post in self._all():
                    post.schedule.hurry(self._node.clock.now())
                    tasks.start_soon(self._finish, post)
        for post in self._all():
            post.schedule.abandon("the hub closed", self._node.clock.time())
            self._tell(post)

    async def close(self) -> None:
        """Stop, and let the sender close what it keeps open."""
        self.stop()
        if self.sender is not None:
            await self.sender.close()

    def _posts_of(self, app: App) -> list[_Post]:
        return [_Post(app.id, Schedule(app, endpoint, self._node.random)) for endpoint in app.webhooks]

    def _all(self) -> list[_Post]:
        return [post for posts in self._posts.values() for post in posts]

    def _note(self, fact: Fact) -> None:
        posts = self._posts.get(fact.app)
        if posts is None:
            return
        if isinstance(fact, Published):
            for post in posts:
                post.schedule.filled(fact.receipt.channels)
            return
        event, clock = event_of(fact), self._node.clock
        if event is not None:
            for post in posts:
                post.schedule.note(event, clock.now(), clock.time())
                self._arrange(post)

    def _arrange(self, post: _Post) -> None:
        """Look at ``post`` when it is due; not earlier, and never in the middle of what just happened."""
        due = post.schedule.next()
        if post.rested is not None or due is None or (post.due is not None and post.due <= due):
            return
        post.cancel()
        post.due, post.cancel = due, self._node.call_at(due, partial(self._look, post))

    def _look(self, post: _Post) -> None:
        post.due, due = None, post.schedule.next()
        if due is None or due > self._node.clock.now() or post.rested is not None or self.sender is None:
            self._arrange(post)
            return
        post.rested = anyio.Event()
        work = partial(self._work, post, self.sender)
        if self._node.tasks is None or self.sender.at_once:
            self._node.start_soon(work)
        else:
            self._node.tasks.start_soon(work)

    async def _work(self, post: _Post, sender: Sender) -> None:
        """Send what is due, one request after the other."""
        clock, schedule = self._node.clock, post.schedule
        try:
            while (request := await self._next(post)) is not None:
                answer = Answer(None, "the attempt was interrupted")
                try:
                    send, spans = partial(_attempt, sender), self._node.spans
                    answer = await (send(request) if spans is None else spans.send(post.app, request, send))
                finally:
                    schedule.answered(answer, clock.now(), clock.time())
                    self._tell(post)
            self._tell(post)
        finally:
            if post.rested is not None:
                post.rested.set()
            post.rested = None
        self._arrange(post)

    async def _next(self, post: _Post) -> Request | None:
        """The request to send now; not of those who left this node and are on another one by now, or whose coming
        back was answered before their leaving (relay.membership).
        """
        clock, schedule = self._node.clock, post.schedule
        if not self._node.at_once:
            for event in schedule.leaving(clock.now()):
                if await self._is_there(post.app, event):
                    schedule.stayed(event)
        return schedule.take(clock.now(), clock.time())

    async def _is_there(self, app: str, event: WebhookEvent) -> bool:
        """Whether who left is somewhere in the cluster; a directory that cannot be asked knows of nobody."""
        directory = self._node.directory
        try:
            if event.user_id is not None:
                return event.user_id in await directory.roster(app, event.channel)
            return (await directory.occupancy(app, event.channel)).subscriptions > 0
        except BrokerError:
            return False

    async def _finish(self, post: _Post) -> None:
        while self.sender is not None and not post.schedule.idle:
            if post.rested is not None:
                await post.rested.wait()
            else:
                post.rested = anyio.Event()
                await self._work(post, self.sender)

    def _tell(self, post: _Post) -> None:
        for fact in post.schedule.reports():
            self._node.journal.record(fact)


async def _attempt(sender: Sender, request: Request) -> Answer:
    try:
        answer = await sender.send(request)
    except Exception:  # noqa: BLE001 - a sender's mistake is an attempt that failed
        _log.exception("a webhook sender failed")
        return Answer(None, "the sender failed")
    if answer.status is None or not 200 <= answer.status < 300:
        about = {"url": request.endpoint.shown, "answer": str(answer)}
        _log.warning("a receiver did not take a webhook", extra=about)
    return answer
