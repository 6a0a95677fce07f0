"""What can publish: the Hub in this process, or a REST client anywhere. Application code need not know which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from relay.caching import CachedEvent
from relay.protocol.events import Event
from relay.protocol.messages import Member, User


class Accepted(Protocol):
    """What every publisher can say of an event it took. The Hub's :class:`relay.Receipt` says more."""

    @property
    def info(self) -> Mapping[str, Mapping[str, int]]:
        """The counts that were asked for, channel by channel."""


class ChannelCounts(Protocol):
    """What every publisher can say of a channel; None for what was not asked or does not apply."""

    @property
    def name(self) -> str:
        """The channel."""

    @property
    def occupied(self) -> bool:
        """Whether anybody is in it."""

    @property
    def user_count(self) -> int | None:
        """Distinct users of a presence channel."""

    @property
    def subscription_count(self) -> int | None:
        """Connections in any other channel."""

    @property
    def cache(self) -> CachedEvent | None:
        """The last event of a cache channel."""


class Publisher(Protocol):
    """The verbs of the Pusher server SDKs, under their names. See :class:`relay.Hub` for each.

    Type application code against it: production may hand it a Hub or a REST client, tests a Hub.
    """

    async def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: object,
        *,
        socket_id: str | None = None,
        info: Sequence[str] = (),
    ) -> Accepted:
        """Publish ``event`` to one channel or up to 100."""

    async def trigger_batch(self, events: Iterable[Event]) -> Sequence[Accepted]:
        """Publish several events, in order, all or none."""

    async def send_to_user(self, user_id: str, event: str, data: object) -> Accepted:
        """Publish to every connection signed in as ``user_id``."""

    async def terminate_user_connections(self, user_id: str) -> object:
        """Close every connection signed in as ``user_id``."""

    async def channels(self, *, prefix: str = "", info: Sequence[str] = ()) -> Mapping[str, ChannelCounts]:
        """The occupied channels whose names begin with ``prefix``."""

    async def channel(self, name: str, *, info: Sequence[str] = ()) -> ChannelCounts:
        """One channel, occupied or not."""

    async def members(self, channel: str) -> Sequence[Member]:
        """The users of a presence channel. A host that is asked over HTTP tells ids only."""

    def authorize_channel(self, socket_id: str, channel: str, member: Member | None = None) -> dict[str, str]:
        """What an auth endpoint answers to let ``socket_id`` into ``channel``."""

    def authenticate_user(self, socket_id: str, user: User) -> dict[str, str]:
        """What a user-auth endpoint answers to sign ``socket_id`` in as ``user``."""
