"""What a program hears from its hub: facts about it, and the events of its channels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from relay.audience import EventStream
from relay.facts import Fact, MemberAdded, MemberRemoved, Missed, UserOffline, UserOnline
from relay.life import Life
from relay.listeners import Callback, FactStream, Filter, Listener
from relay.membership import attach, detach_unwanted

if TYPE_CHECKING:
    from relay.app import App
    from relay.node import Node, Tenant

F = TypeVar("F", bound=Fact)


class Hearing(Life):
    """The part of a hub that tells application code what happens, and lets it subscribe as clients do."""

    @overload
    def on(
        self,
        fact: type[F],
        callback: Callback[F],
        *,
        app: App | str | None = None,
        channel: str | None = None,
        limit: int = 1000,
    ) -> Listener[F]: ...

    @overload
    def on(
        self, fact: type[F], *, app: App | str | None = None, channel: str | None = None, limit: int = 1000
    ) -> Callable[[Callback[F]], Callback[F]]: ...

    def on(
        self,
        fact: type[F],
        callback: Callback[F] | None = None,
        *,
        app: App | str | None = None,
        channel: str | None = None,
        limit: int = 1000,
    ) -> Listener[F] | Callable[[Callback[F]], Callback[F]]:
        """Call ``callback`` for each fact of that type, in the order they happen; calling the result ends that.

        ``Fact`` stands for all types. ``app`` and ``channel`` (a name, or a pattern such as ``"private-*"``, see
        :mod:`relay.patterns`) let only those facts through that are about them. A plain function is called at once, in
        the middle of what happens, so it must not wait. What an async function does is awaited beside everything else:
        one call after the other, in order; at most ``limit`` wait for their turn, see
        :class:`~relay.listeners.Listener`. ``settle`` waits for all of them, so they must not await it. What a callback
        raises is logged, and nobody else notices. Works before the hub runs, and without ``callback`` as a decorator.
        """
        only = Filter.of(fact, self._app_id(app), channel)
        if callback is not None:
            return Listener(self._node, fact, callback, only, limit)

        def listen(callback: Callback[F]) -> Callback[F]:
            Listener(self._node, fact, callback, only, limit)
            return callback

        return listen

    def on_user_online(self, callback: Callback[UserOnline]) -> Callback[UserOnline]:
        """``@hub.on_user_online``: call this when a user's first connection in the cluster is there."""
        return self.on(UserOnline)(callback)

    def on_user_offline(self, callback: Callback[UserOffline]) -> Callback[UserOffline]:
        """``@hub.on_user_offline``: call this when a user's last connection in the cluster is gone for good."""
        return self.on(UserOffline)(callback)

    def on_member_added(self, callback: Callback[MemberAdded]) -> Callback[MemberAdded]:
        """``@hub.on_member_added``: call this when a user joins a presence channel."""
        return self.on(MemberAdded)(callback)

    def on_member_removed(self, callback: Callback[MemberRemoved]) -> Callback[MemberRemoved]:
        """``@hub.on_member_removed``: call this when a user leaves a presence channel."""
        return self.on(MemberRemoved)(callback)

    @overload
    def facts(
        self, *, app: App | str | None = None, channel: str | None = None, limit: int = 1000
    ) -> FactStream[Fact]: ...

    @overload
    def facts(
        self, *kinds: type[F], app: App | str | None = None, channel: str | None = None, limit: int = 1000
    ) -> FactStream[F]: ...

    def facts(
        self, *kinds: type[Fact], app: App | str | None = None, channel: str | None = None, limit: int = 1000
    ) -> FactStream[Any]:
        """The facts of these types, of all if none is given, to read: ``async with hub.facts(...) as stream``.

        ``app`` and ``channel`` choose as for ``on``. At most ``limit`` wait for the reader; where some were lost, a
        :class:`~relay.facts.Missed` comes in their place.
        """
        kinds = kinds or (Fact,)
        app_id = self._app_id(app)
        return FactStream(self._node, {kind: Filter.of(kind, app_id, channel) for kind in kinds}, limit)

    @asynccontextmanager
    async def subscribe(self, *channels: str, app: App | str | None = None) -> AsyncIterator[EventStream]:
        """Subscribe to channels as a client does, from application code.

        ::

            async with hub.subscribe("orders", "private-*") as events:
                async for event in events:
                    order = event.decode(Order)

        Every event published to these channels once the block is entered is seen, client events too. A pattern (see
        :mod:`relay.patterns`) matches channels that nobody is in as well. What other nodes publish to a channel that
        is named is heard; for a pattern only where this node hears it anyway, since a client here is in the channel
        or application code here names it. Nobody sees application code as a subscriber: it does not occupy a channel,
        and no count, receipt or roster has it.

        The App's limits for slow clients hold, see :class:`~relay.audience.EventStream`. Raises
        :class:`~relay.errors.UsageError` for what is neither a channel nor a pattern, and
        :class:`~relay.errors.HubClosed` where the hub does not run.
        """
        tenant, node = self._tenant(app), self._node
        stream = EventStream(tenant.app, tenant.bounds, channels, partial(_lost, node, tenant))
        tenant.audience.add(stream)
        node.readers.add(stream)
        try:
            if not node.alone:
                await node.finish(partial(_attach, node, tenant, stream))
            yield stream
        finally:
            tenant.audience.remove(stream)
            node.readers.discard(stream)
            stream.end()
            if self.running and not node.alone:
                node.tidy_up(partial(_detach, node, tenant, stream))

    def _app_id(self, app: App | str | None) -> str | None:
        return None if app is None else self._find(app).app.id


async def _attach(node: Node, tenant: Tenant, stream: EventStream) -> None:
    for name in stream.names:
        await attach(node, tenant, name)


async def _detach(node: Node, tenant: Tenant, stream: EventStream) -> None:
    for name in stream.names:
        await detach_unwanted(node, tenant, name)


def _lost(node: Node, tenant: Tenant, stream: EventStream) -> None:
    """In the middle of fan-out: ``stream`` begins to lose events, which is told when this turn is over."""
    node.call_at(node.clock.now(), partial(_tell_lost, node, tenant, stream))


def _tell_lost(node: Node, tenant: Tenant, stream: EventStream) -> None:
    listener = f"a subscription to {', '.join(stream.channels)}"
    fact = Missed(app=tenant.app.id, time=node.clock.time(), listener=listener, count=stream.untold())
    node.journal.record(fact)
