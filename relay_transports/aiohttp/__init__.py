"""Relay inside an aiohttp application, and clients over aiohttp.

Serving: WebSocket endpoint, REST API and pusher-js's auth endpoint. Being a client: ``connect`` subscribes over a
WebSocket, ``RestClient`` publishes over HTTP; both to Relay or to any Pusher-compatible host.
"""

try:
    import aiohttp  # noqa: F401 - only to say what is missing
except ModuleNotFoundError as missing:
    if missing.name != "aiohttp":
        raise
    raise ModuleNotFoundError(
        "relay_transports.aiohttp needs the aiohttp extra: pip install 'relay-hub[aiohttp]'", name="aiohttp"
    ) from None

from relay_transports.aiohttp.auth import Authorizer
from relay_transports.aiohttp.client import connect
from relay_transports.aiohttp.console import add_console
from relay_transports.aiohttp.embed import HUB, setup, subapp
from relay_transports.aiohttp.restclient import RestClient, RestReceipt
from relay_transports.aiohttp.status import add_health, add_metrics
from relay_transports.aiohttp.webhooks import WebhookSender

__all__ = [
    "HUB",
    "Authorizer",
    "RestClient",
    "RestReceipt",
    "WebhookSender",
    "add_console",
    "add_health",
    "add_metrics",
    "connect",
    "setup",
    "subapp",
]
