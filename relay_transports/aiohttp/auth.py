"""Who may join private and presence channels: one function for pusher-js's auth endpoint and for sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from relay.app import App
from relay.connection import Authorize
from relay.errors import Refused, UsageError
from relay.hub import Hub
from relay.protocol import messages, names
from relay.protocol.authorization import granted
from relay.protocol.messages import Member
from relay.protocol.names import Kind

Authorizer = Callable[[web.Request, str], Awaitable[Member | bool]]
"""``async (request, channel)``: a :class:`Member` (needed on presence channels), True, or False to refuse."""


class AuthEndpoint:
    """The endpoint pusher-js posts ``socket_id`` and ``channel_name`` to (protocol 8.1, 8.2)."""

    def __init__(self, hub: Hub, authorize: Authorizer, app: App | str | None) -> None:
        self._hub = hub
        self._authorize = authorize
        self._app = app

    async def post(self, request: web.Request) -> web.Response:
        """200 with the signed JSON, or 403 with a reason."""
        try:
            form = await request.post()
        except (ValueError, LookupError):  # bytes that are no text, a charset that does not exist
            return web.Response(status=400, text="The body must be a form in UTF-8\n")
        socket_id, channel = form.get("socket_id"), form.get("channel_name")
        if not isinstance(socket_id, str) or not names.is_socket_id(socket_id):
            return _forbidden("socket_id must be two integers joined by a dot")
        if not isinstance(channel, str) or not names.is_channel(channel):
            return _forbidden("channel_name must be 1 to 200 characters of A-Z a-z 0-9 _ - = @ , . ;")
        if names.kind_of(channel) not in (Kind.PRIVATE, Kind.PRESENCE):
            return _forbidden(f"{channel} is public and needs no authorization")
        answer = await self._authorize(request, channel)
        try:
            member = granted(answer, channel)
        except Refused as refused:
            return _forbidden(refused.message)
        if member is None and names.kind_of(channel) is Kind.PRESENCE:
            raise UsageError(f"authorize() returned {answer!r} for {channel!r}: a presence channel needs a Member")
        signed = self._hub.authorize_channel(socket_id, channel, member, app=self._app)
        return web.Response(body=messages.json_bytes(signed), content_type="application/json")


def for_connection(authorize: Authorizer | None, request: web.Request) -> Authorize | None:
    """``authorize`` for subscribes without ``auth`` on a socket that ``request`` opened.

    A page of another origin gets None: browsers send cookies with its WebSocket handshake too, and it must
    not act for the user. It can still use the auth endpoint, where the browser's CORS rules protect.
    """
    if authorize is None:
        return None
    origin = request.headers.get("Origin")
    if origin is not None and _host_of(origin) != request.host:
        return None

    async def ask(channel: str) -> Member | bool:
        try:
            return await authorize(request, channel)
        except web.HTTPException as refusal:  # the way to refuse in an aiohttp handler
            raise Refused(f"Not authorized to subscribe to {channel}: {refusal.reason}", channel=channel) from None

    return ask


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # "http://[": no page's origin
        return None


def _forbidden(reason: str) -> web.Response:
    return web.Response(status=403, text=reason + "\n")
