"""Relay: a Pusher-compatible realtime hub that lives inside your Python program."""

from relay.app import App
from relay.connection import Connection
from relay.errors import (
    BrokerError,
    BrokerUnavailable,
    CloseCode,
    Disconnect,
    HubClosed,
    ProtocolError,
    Refused,
    RelayError,
    RequestError,
    Retry,
    TooLarge,
    UsageError,
)
from relay.hub import ChannelInfo, Hub
from relay.protocol.events import Event
from relay.protocol.messages import Member, User
from relay.receipts import ChannelReceipt, Receipt

__version__ = "0.1.0"

__all__ = [
    "App",
    "BrokerError",
    "BrokerUnavailable",
    "ChannelInfo",
    "ChannelReceipt",
    "CloseCode",
    "Connection",
    "Disconnect",
    "Event",
    "Hub",
    "HubClosed",
    "Member",
    "ProtocolError",
    "Receipt",
    "Refused",
    "RelayError",
    "RequestError",
    "Retry",
    "TooLarge",
    "UsageError",
    "User",
    "__version__",
]
