"""What a client asks to be let into, with the authorization it takes: now, and again after each reconnect."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from relay.client.channel import Channel, Subscription, SubscriptionRefused
from relay.client.decryption import Decryption
from relay.client.runtime import Closed, Runtime
from relay.client.settings import Settings, SigninRefused
from relay.client.subscriber import Subscriber, member_of
from relay.errors import RelayError, UsageError
from relay.protocol import names
from relay.protocol.messages import Member
from relay.protocol.names import Kind

if TYPE_CHECKING:
    from random import Random

    from relay.client.client import Client

_log = logging.getLogger(__name__)
_LATER: Final = 4100
"""The class of close codes whose backoff fits an auth endpoint that is away."""


class Asking:
    """Subscribes and signs in for one client. ``wants_user`` tells that it is to be signed in, as ``user``."""

    def __init__(
        self, client: Client, subscriber: Subscriber, settings: Settings, runtime: Runtime, random: Random
    ) -> None:
        self.user: Member | None = None
        self.wants_user = False
        self.refusal: str | None = None
        """Why the sign-in was refused."""
        self._client = client
        self._subscriber = subscriber
        self._settings = settings
        self._runtime = runtime
        self._random = random

    def channel(self, name: str, who: Member | None, auth: Mapping[str, str] | None) -> Channel:
        """A new channel, to be asked for as ``who``; with ``auth``, which is good for this connection."""
        client, settings = self._client, self._settings
        channel = client.channel_class(client, name, max_queued=settings.max_queued, overflow=settings.overflow)
        channel.identity = who
        if names.is_encrypted(name):
            channel.decryption = Decryption(
                client, channel, self._runtime, self._authorized_anew, max_waiting=settings.max_queued
            )
        if auth is not None:
            channel.auth, channel.auth_for = dict(auth), client.connection.socket_id
        return channel

    async def subscribe(self, channel: Channel) -> None:
        """Ask for ``channel``; the answer comes later. Raises what its authorizer raises, and :class:`Closed`."""
        client = self._client
        socket_id = client.socket_id
        auth = await self._authorization(channel, socket_id)
        if channel.decryption is not None:
            auth = channel.decryption.admit(auth)
        await client.undo()  # now, so that nothing comes between noting that we ask and asking
        wanted = channel.state is Subscription.PENDING and not channel.asked
        if wanted and client.connection.socket_id == socket_id:  # else nobody has to, or the reconnect asks again
            me = member_of(auth) or channel.identity
            channel.asked = True
            try:
                await client.send_raw(self._subscriber.subscribe(channel.name, auth, me.id if me else None))
            except Exception:
                channel.asked = False
                self._subscriber.not_sent(channel.name)
                raise

    async def signin(self) -> None:
        """Ask to be signed in; the answer comes later."""
        authenticate = self._settings.authenticate
        if authenticate is None:
            raise UsageError("signing in needs authenticate= or user_auth_endpoint= of connect()")
        socket_id = self._client.socket_id
        auth = await authenticate(socket_id, self.user)
        if self._client.connection.socket_id == socket_id:  # as above
            await self._client.send_raw(self._subscriber.sign_in(auth))

    def refuse(self, message: str) -> None:
        """We are not taken for the user we want to be."""
        self.refusal, self.wants_user = message, False

    async def again(self, attempt: int = 0) -> None:
        """Ask for everything that this connection was not asked for. Never raises.

        What an auth endpoint cannot answer for the time being is asked for again later.
        """
        connection = self._client.connection
        socket_id = connection.socket_id
        if socket_id is None:
            return  # lost already; the next connection asks
        later = False
        if self.wants_user and self._subscriber.user_id is None:
            later = not await self._done(self.signin, None)
        anonymous = later
        for channel in self._client.channels.values():
            if channel.state is not Subscription.PENDING or channel.asked or connection.socket_id != socket_id:
                continue
            if anonymous and names.kind_of(channel.name) is Kind.USER:
                continue  # only the user gets into it
            later = not await self._done(partial(self.subscribe, channel), channel) or later
        backoff = self._settings.reconnect
        if later and backoff is not None and connection.socket_id == socket_id:
            delay = backoff.delay(_LATER, attempt, self._random)
            self._runtime.call_at(
                self._runtime.clock.now() + (delay or 0.0), lambda: self._again_on(socket_id, attempt + 1)
            )

    def _again_on(self, socket_id: str | None, attempt: int) -> None:
        if self._client.connection.socket_id == socket_id:
            self._runtime.start_soon(partial(self.again, attempt))

    async def _done(self, ask: Callable[[], Awaitable[None]], channel: Channel | None) -> bool:
        """Ask for ``channel`` or the sign-in; False if it has to be asked again later. Never raises."""
        try:
            await ask()
        except Closed:
            return True  # the next connection asks
        except (SubscriptionRefused, SigninRefused) as refusal:
            if refusal.transient:
                self._client.connection.error(str(refusal), None)
                return False
            self._not_let_in(channel, str(refusal), refusal)
        except Exception as error:  # noqa: BLE001 - whatever an application's authorizer raises
            _log.exception("asking for authorization failed")
            self._not_let_in(channel, f"asking for authorization failed: {type(error).__name__}", None)
        return True

    def _not_let_in(self, channel: Channel | None, message: str, refusal: RelayError | None) -> None:
        if channel is None:
            self.refuse(message)
        elif channel.state is Subscription.PENDING:
            known = refusal if isinstance(refusal, SubscriptionRefused) else SubscriptionRefused(channel.name, message)
            self._client.refuse(channel, known)
        self._client.connection.error(message, None)

    async def _authorized_anew(self, channel: Channel) -> Mapping[str, str]:
        if self._settings.authorize is None:
            raise SubscriptionRefused(channel.name, "there is nobody to ask: its auth= was given to subscribe()")
        return await self._settings.authorize(self._client.socket_id, channel.name, channel.identity)

    async def _authorization(self, channel: Channel, socket_id: str) -> Mapping[str, str]:
        if channel.auth is not None and channel.auth_for == socket_id:
            return channel.auth
        if names.kind_of(channel.name) in (Kind.PUBLIC, Kind.USER):
            return {}
        if self._settings.authorize is not None:
            return await self._settings.authorize(socket_id, channel.name, channel.identity)
        if channel.auth is not None:
            raise SubscriptionRefused(
                channel.name,
                "its auth= was for the connection that was lost: make the client with authorize= or auth_endpoint=",
            )
        raise UsageError(
            f"{channel.name} needs authorization: make the client with authorize= or auth_endpoint=,"
            " or pass auth= to subscribe()"
        )
