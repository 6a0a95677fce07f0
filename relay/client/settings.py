"""How a client behaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from relay.client.backoff import Backoff
from relay.client.channel import Overflow, is_transient
from relay.errors import RelayError, UsageError
from relay.protocol.messages import Member

Authorize = Callable[[str, str, Member | None], Awaitable[Mapping[str, str]]]
"""``async (socket_id, channel, member)``: what an auth endpoint answers, ``auth`` and perhaps ``channel_data``."""
Authenticate = Callable[[str, Member | None], Awaitable[Mapping[str, str]]]
"""``async (socket_id, user)``: what a user-auth endpoint answers, ``auth`` and ``user_data``. The user is a
:class:`relay.User`, with the watchlist that ``signin`` was given.
"""


class SigninRefused(RelayError):
    """The server did not take us for that user; ``status`` is that of the auth endpoint, where it was the one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def transient(self) -> bool:
        """Whether the auth endpoint may answer better later."""
        return self.status is not None and is_transient(self.status)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a client behaves.

    ``authorize`` and ``authenticate`` stand in for an auth endpoint: async functions that return what it would
    answer, for instance by asking ``authorize_channel`` and ``authenticate_user`` of a hub or a REST client.
    ``reconnect`` is when to try again after a lost connection, None for not at all. ``answer_pings=False`` plays
    dead. ``max_queued`` and ``overflow`` are the defaults of its channels (see :class:`Channel`). ``tap`` is shown
    every frame: ``tap("sent", text)`` and ``tap("received", text)``.
    """

    authorize: Authorize | None = None
    authenticate: Authenticate | None = None
    reconnect: Backoff | None = Backoff()
    answer_pings: bool = True
    max_queued: int = 1000
    overflow: Overflow = "raise"
    tap: Callable[[str, bytes], None] | None = None


def settled(settings: Settings | None, authorize: Authorize | None, authenticate: Authenticate | None) -> Settings:
    """``settings`` with the two that ``connect`` takes by themselves. Raises :class:`UsageError` for both at once."""
    settings = settings or Settings()
    for name, given, before in (
        ("authorize", authorize, settings.authorize),
        ("authenticate", authenticate, settings.authenticate),
    ):
        if given is not None and before is not None:
            raise UsageError(f"{name}= is given twice: to connect() and in its settings")
    return msgspec.structs.replace(
        settings,
        authorize=authorize or settings.authorize,
        authenticate=authenticate or settings.authenticate,
    )
