"""One client as the hub sees it."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from relay import facts, users
from relay.errors import CloseCode, Disconnect, Refused, Unproven
from relay.explain import explain_message, tell
from relay.membership import Departure, detach, join, leave
from relay.protocol import messages, names
from relay.protocol.messages import Member
from relay.protocol.session import Action, Join, Leave, Publish, Reply, Session, Signin
from relay.publishing import publish
from relay.transport import Transport

if TYPE_CHECKING:
    from relay.explain import Explanation
    from relay.node import Node, Tenant

_LONGEST_REMEMBERED = 1000
_INTERNAL_ERROR = 1011
_log = logging.getLogger(__name__)

Authorize = Callable[[str], Awaitable[Member | bool]]
"""Asked with a channel name when a client wants in without ``auth``: a member, True or False."""


def turn_away(transport: Transport, disconnect: Disconnect) -> None:
    """Tell a client why it cannot stay, then close it (protocol 1.7)."""
    transport.send(transport.framing.frame(messages.error(disconnect.message, disconnect.code)))
    transport.close(disconnect.code, disconnect.message)


class Connection:
    """One client's session on its transport.

    The owner of the socket has two duties: ``await receive(text)`` for every message, one at a time and in
    order; and ``disconnected()`` once, whatever ended the connection. ``heard()`` tells of signs of life
    that are no messages.
    """

    __slots__ = (
        "_authorized_by",
        "_last_heard",
        "_lost",
        "_node",
        "_pinged",
        "_pong_by",
        "authorize",
        "closed",
        "session",
        "tenant",
        "transport",
    )

    def __init__(
        self, node: Node, tenant: Tenant, transport: Transport, session: Session, authorize: Authorize | None
    ) -> None:
        self._node = node
        self.tenant = tenant
        self.transport = transport
        self.session = session
        self.authorize = authorize
        self.closed = False
        self._last_heard = node.clock.now()
        self._pinged = False
        self._pong_by = math.inf
        within = tenant.app.authorized_within
        self._authorized_by = math.inf if within is None else self._last_heard + within
        """When a connection that proved nothing yet is closed (protocol 4.4)."""
        self._lost = 0

    @property
    def socket_id(self) -> str:
        """What clients and servers call this connection (protocol 1.4)."""
        return self.session.socket_id

    def send(self, text: bytes) -> None:
        """Queue one finished event for this client alone."""
        self.transport.send(self.transport.framing.frame(text))

    def heard(self) -> None:
        """The client showed that it lives, by a control frame for instance (protocol 1.6)."""
        self._last_heard = self._node.clock.now()
        if self._pinged:
            self._pinged = False
            self.start_waiting()

    def start_waiting(self) -> None:
        """The client was heard just now: be called when it has been silent for too long, or not authorized."""
        self._node.schedule(self, min(self._last_heard + self.tenant.app.activity_timeout, self._authorized_by))

    def authorized(self) -> None:
        """The client signed in or is in a private or presence channel: it may stay (protocol 4.4)."""
        self._authorized_by = math.inf

    async def receive(self, text: str | bytes) -> None:
        """Handle one message of the client. Bad input is answered, never raised.

        Returns when everything the message asked for is done. Cancelled while an authorizer is asked it
        leaves no trace; what the hub has begun later it finishes all the same.
        """
        if self.closed:
            return
        self.heard()
        with self._node.in_flight:
            try:
                action = self.session.receive(text, self._last_heard)
                if action is not None:
                    await self._perform(action)
            except Refused as refused:
                self.refuse(refused, self._explained(refused, text) if self._node.debug else None)
            except Disconnect as disconnect:
                self.turn_out(disconnect)
            except Exception:  # noqa: BLE001 - a mistake of ours ends one connection, and nobody else's
                _log.exception("a message could not be handled")
                self.close(_INTERNAL_ERROR, "Internal error")

    def reject(self, reason: str) -> None:
        """Refuse something that is no message at all, a binary frame for instance (protocol 1.9)."""
        if self.closed:
            return
        self.heard()
        try:
            self.session.count_refusal(self._last_heard)
            self.refuse(Refused(reason))
        except Disconnect as disconnect:
            self.turn_out(disconnect)

    def disconnected(self) -> None:
        """The client is gone: it leaves every channel. Never waits; calling it again does nothing."""
        self._end(None, "")

    def close(self, code: int, reason: str) -> None:
        """Close the client after what is queued for it, and take it out of every channel now."""
        if not self.closed:
            self.transport.close(code, reason)
            self._end(code, reason)

    def expire(self, now: float) -> None:
        """Its deadline came: ping a silent client, close one that did not answer (protocol 1.6), or proved nothing."""
        app = self.tenant.app
        if self._authorized_by <= now:
            self.turn_out(Disconnect("Connection not authorized within timeout", CloseCode.UNAUTHORIZED))
            return
        due = self._pong_by if self._pinged else self._last_heard + app.activity_timeout
        if due <= now:
            if self._pinged:
                self.close(CloseCode.PONG_MISSED, "Pong reply not received")
                return
            ping = self.transport.framing.ping
            if ping is None:
                self.close(CloseCode.INACTIVE, "Closed after inactivity")
                return
            self.transport.send(ping)
            self._pinged = True
            due = self._pong_by = now + app.pong_timeout
        self._node.schedule(self, min(due, self._authorized_by))

    def overflow(self) -> None:
        """For its transport, in the middle of fan-out: it can take no more."""
        self._node.overflow(self)

    def lost(self, count: int) -> None:
        """For its transport, in the middle of fan-out: ``count`` events for it were lost."""
        if not self._lost:
            self._node.lose(self)
        self._lost += count
        self.tenant.lost += count

    def tell_lost(self) -> None:
        """Tell what was lost since it was told last."""
        count, self._lost = self._lost, 0
        if count:
            app = self.tenant.app
            self._node.journal.record(
                facts.EventsLost(
                    app=app.id,
                    time=self._node.clock.time(),
                    socket_id=self.socket_id,
                    count=count,
                    policy=app.slow_consumers,
                    backlog=self.transport.backlog,
                )
            )

    def overflowed(self) -> None:
        """Its transport could take no more: the client does not read, and is told to come back later."""
        if not self.closed:
            self._node.journal.record(
                facts.SlowConsumer(
                    app=self.tenant.app.id,
                    time=self._node.clock.time(),
                    socket_id=self.socket_id,
                    backlog=self.transport.backlog,
                )
            )
            self.close(CloseCode.OVER_CAPACITY, "Slow consumer: too much is waiting for this connection")

    async def _perform(self, action: Action) -> None:
        match action:
            case Reply():
                self.send(action.text)
            case Join():
                await join(self._node, self, action)
            case Leave():
                await leave(self._node, self, action.channel, action.was)
            case Publish():
                await self._publish(action)
            case Signin():
                await self._signed_in(action)

    async def _publish(self, action: Publish) -> None:
        self._node.journal.record(
            facts.ClientEvent(
                app=self.tenant.app.id,
                time=self._node.clock.time(),
                socket_id=self.socket_id,
                channel=action.channel,
                event=action.event,
                user_id=action.user_id,
                text=action.text,
            )
        )
        await publish(self._node, self.tenant, action.channel, action.text, self.socket_id)

    async def _signed_in(self, action: Signin) -> None:
        user_id = action.user.user_id
        self.authorized()
        self.tenant.users.setdefault(user_id, {}).setdefault(self, self._node.clock.now())
        self.send(action.text)
        self._node.journal.record(
            facts.SignedIn(
                app=self.tenant.app.id, time=self._node.clock.time(), socket_id=self.socket_id, user_id=user_id
            )
        )
        if action.excess is not None:
            self.refuse(action.excess)
        await users.signed_in(self._node, self, user_id, action.watchlist)

    def turn_out(self, disconnect: Disconnect) -> None:
        """Tell the client why it cannot stay, then close it (protocol 1.7)."""
        self.send(messages.error(disconnect.message, disconnect.code))
        self.close(disconnect.code, disconnect.message)

    def refuse(self, refused: Refused, explanation: Explanation | None = None) -> None:
        """Answer what the client asked for with why it may not have it (protocol 1.8)."""
        message = refused.message if explanation is None else tell(refused.message, explanation)
        self.send(messages.error(message, refused.code))
        if self.tenant.app.subscription_errors and refused.channel is not None:
            self.send(messages.subscription_error(refused.channel, message))
        self._node.journal.record(
            facts.RefusedRequest(
                app=self.tenant.app.id,
                time=self._node.clock.time(),
                socket_id=self.socket_id,
                reason=refused.message[:_LONGEST_REMEMBERED],
                channel=refused.channel and refused.channel[: names.MAX_EVENT_NAME],
                explanation=None if explanation is None else str(explanation),
            )
        )

    def _explained(self, refused: Refused, text: str | bytes) -> Explanation | None:
        """What was wrong with the proof in ``text``, if that is why it is refused."""
        if not isinstance(refused, Unproven):
            return None
        others = [tenant.app for tenant in self._node.tenants if tenant is not self.tenant]
        return explain_message(self.tenant.app, self.socket_id, text, others=others)

    def _end(self, code: int | None, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self.tell_lost()
        self.tenant.forget(self)
        self._node.deadlines.discard(self)
        subscriptions = {}
        for channel in list(self.session.subscriptions):
            if (subscription := detach(self, channel)) is not None:
                subscriptions[channel] = subscription
        self._node.depart_soon(Departure(self.tenant, self.socket_id, subscriptions))
        users.depart(self._node, self)
        self._node.journal.record(
            facts.Disconnected(
                app=self.tenant.app.id,
                time=self._node.clock.time(),
                socket_id=self.socket_id,
                code=code,
                reason=reason,
            )
        )
