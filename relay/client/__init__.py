"""Being a client: of a hub in this process, of Relay elsewhere, or of any Pusher-compatible host.

Clients are made by a transport: ``relay_transports.inprocess.connect`` and ``relay_transports.aiohttp.connect``.
"""

from relay.client.backoff import Backoff
from relay.client.channel import Channel, QueueOverflow, SubscriptionRefused
from relay.client.client import Client
from relay.client.connection import ConnectionView, ServerError, State, StateChange
from relay.client.members import Members
from relay.client.publisher import Accepted, Publisher
from relay.client.runtime import Closed
from relay.client.settings import Authenticate, Authorize, Settings, SigninRefused
from relay.client.user import UserView, Watchlist, WatchlistEvent
from relay.protocol.received import ReceivedEvent

__all__ = [
    "Accepted",
    "Authenticate",
    "Authorize",
    "Backoff",
    "Channel",
    "Client",
    "Closed",
    "ConnectionView",
    "Members",
    "Publisher",
    "QueueOverflow",
    "ReceivedEvent",
    "ServerError",
    "Settings",
    "SigninRefused",
    "State",
    "StateChange",
    "SubscriptionRefused",
    "UserView",
    "Watchlist",
    "WatchlistEvent",
]
