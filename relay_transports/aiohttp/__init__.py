"""Relay inside an aiohttp application: WebSocket endpoint, REST API and pusher-js's auth endpoint."""

from relay_transports.aiohttp.auth import Authorizer
from relay_transports.aiohttp.embed import HUB, setup, subapp

__all__ = ["HUB", "Authorizer", "setup", "subapp"]
