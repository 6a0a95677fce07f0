"""Relay: a Pusher-compatible realtime hub that lives inside your Python program."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.app import App
    from relay.audience import EventStream
    from relay.client.publisher import Publisher
    from relay.connection import Connection
    from relay.endpoint import WebhookEndpoint
    from relay.errors import (
        BrokerError,
        BrokerUnavailable,
        CloseCode,
        Disconnect,
        FellBehind,
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
    from relay.listeners import FactStream, Listener
    from relay.protocol.events import Event
    from relay.protocol.messages import Member, User
    from relay.protocol.received import ReceivedEvent
    from relay.receipts import ChannelReceipt, Receipt, Terminated
else:
    # The pytest plugin lives in here and is loaded into every project's tests: a name is imported when it is used.
    _MODULES = {
        "relay.app": ("App",),
        "relay.audience": ("EventStream",),
        "relay.client.publisher": ("Publisher",),
        "relay.connection": ("Connection",),
        "relay.endpoint": ("WebhookEndpoint",),
        "relay.errors": (
            "BrokerError",
            "BrokerUnavailable",
            "CloseCode",
            "Disconnect",
            "FellBehind",
            "HubClosed",
            "ProtocolError",
            "Refused",
            "RelayError",
            "RequestError",
            "Retry",
            "TooLarge",
            "UsageError",
        ),
        "relay.hub": ("ChannelInfo", "Hub"),
        "relay.protocol.events": ("Event",),
        "relay.listeners": ("FactStream", "Listener"),
        "relay.protocol.messages": ("Member", "User"),
        "relay.protocol.received": ("ReceivedEvent",),
        "relay.receipts": ("ChannelReceipt", "Receipt", "Terminated"),
    }
    _HOMES = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module 'relay' has no attribute {name!r}")
        globals()[name] = getattr(import_module(_HOMES[name]), name)
        return globals()[name]

    def __dir__():
        return sorted([*globals(), *_HOMES])


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
    "EventStream",
    "FactStream",
    "FellBehind",
    "Hub",
    "HubClosed",
    "Listener",
    "Member",
    "ProtocolError",
    "Publisher",
    "Receipt",
    "ReceivedEvent",
    "Refused",
    "RelayError",
    "RequestError",
    "Retry",
    "Terminated",
    "TooLarge",
    "UsageError",
    "User",
    "WebhookEndpoint",
    "__version__",
]
