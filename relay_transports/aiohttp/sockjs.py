"""The SockJS paths of old browsers, ``/pusher/{server}/{session}/…`` (protocol 9.7), with sessions of the fallbacks.

Their clients say which App they want in their first message. What they do is done in an iframe from here, which works
for any page: so nobody is vouched for by the cookies that come with it, and the iframe runs no script but Pusher's.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

import msgspec
from aiohttp import web

from relay.connection import turn_away
from relay.errors import CloseCode, Disconnect
from relay_transports.aiohttp.fallbacks import FallbackEndpoint, Unfit, read_posted, told
from relay_transports.aiohttp.live import Live, Owner
from relay_transports.fallback import ENDING, POLL, SCRIPT, Manner

if TYPE_CHECKING:
    from relay.hub import Hub
    from relay_transports.aiohttp.receiving import Dress

_SCRIPT: Final = re.compile(r"(?:https?:)?(//js\.pusher\.com/[0-9]+(?:\.[0-9]+)+/sockjs(?:\.min)?\.js)")
_CALLBACK: Final = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
_QUIET: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "no-store, no-cache, no-transform, must-revalidate, max-age=0",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
_IFRAME: Final = """<!doctype html>
<meta charset="utf-8">
<title>SockJS</title>
<script>document.domain = document.domain; _sockjs_onload = function () { SockJS.bootstrap_iframe(); };</script>
<script src="https:{script}"></script>
"""
_HTML_FILE: Final = """<!doctype html>
<meta charset="utf-8">
<title>SockJS</title>
<script>document.domain = document.domain; var c = parent.{callback}; c.start(); function p(d) {{ c.message(d); }}
window.onload = c.stop;</script>
"""


class _First(msgspec.Struct, frozen=True):
    """What a client says first."""

    path: str


class SockJsEndpoint:
    """Serves SockJS clients of ``hub`` with what ``over_http`` has."""

    def __init__(self, hub: Hub, over_http: FallbackEndpoint) -> None:
        self._hub = hub
        self._over_http = over_http

    def add_routes(self, routes: web.UrlDispatcher, prefix: str) -> None:
        """Serve below ``{prefix}/pusher``."""
        session = f"{prefix}/pusher/{{server:[0-9]{{1,3}}}}/{{session:[0-9A-Za-z_]{{1,32}}}}"
        routes.add_get(f"{prefix}/pusher/info", self.info)
        routes.add_get(f"{prefix}/pusher/iframe.html", self.iframe)
        routes.add_post(f"{session}/xhr", self.poll)
        routes.add_get(f"{session}/eventsource", self.events)
        routes.add_get(f"{session}/htmlfile", self.html_file)
        routes.add_get(f"{session}/jsonp", self.script)
        routes.add_post(f"{session}/xhr_send", self.send)
        routes.add_post(f"{session}/jsonp_send", self.send_form)
        for path in ("xhr", "xhr_send"):
            routes.add_options(f"{session}/{path}", self._over_http.preflight)

    async def info(self, request: web.Request) -> web.Response:
        """What this server can do. ``entropy`` seeds the names that browsers without a source of chance make up."""
        what = {"websocket": False, "origins": ["*:*"], "cookie_needed": False, "entropy": secrets.randbits(32)}
        headers = dict(_QUIET)
        if (origin := request.headers.get("Origin")) is not None:  # it is asked with credentials
            headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
        return web.json_response(what, headers=headers)

    async def iframe(self, request: web.Request) -> web.Response:
        """The page that speaks for pages of other origins, with Pusher's own script and no other."""
        script = _SCRIPT.fullmatch(request.query.get("js_path", ""))
        if script is None:
            return told(404, "js_path should be sockjs.js of a version at js.pusher.com")
        html = _IFRAME.replace("{script}", script[1])
        return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "max-age=31536000"})

    async def poll(self, request: web.Request) -> web.StreamResponse:
        """``xhr``."""
        return await self._receive(request, POLL, "application/javascript", lambda lines: lines)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """``eventsource``."""
        return await self._receive(request, ENDING, "text/event-stream", _behind(b"\r\n", b"data: %b\r\n\r\n"))

    async def html_file(self, request: web.Request) -> web.StreamResponse:
        """``htmlfile``."""
        head = _HTML_FILE.format(callback=_callback(request)).encode()
        line = _behind(head.ljust(1100) + b"\r\n", b"<script>\np(%b);\n</script>\r\n", _in_script)
        return await self._receive(request, ENDING, "text/html", line)

    async def script(self, request: web.Request) -> web.StreamResponse:
        """``jsonp``."""
        line = _behind(b"", b"/**/" + _callback(request).encode() + b"(%b);\r\n", _in_script)
        return await self._receive(request, SCRIPT, "application/javascript", line)

    async def send(self, request: web.Request) -> web.Response:
        """``xhr_send``."""
        return await self._send(request, bytes) or web.Response(status=204, headers=_QUIET)

    async def send_form(self, request: web.Request) -> web.Response:
        """``jsonp_send``."""
        undress = _form if request.content_type == "application/x-www-form-urlencoded" else bytes
        return await self._send(request, undress) or web.Response(text="ok", headers=_QUIET)

    async def _receive(self, request: web.Request, manner: Manner, kind: str, dress: Dress) -> web.StreamResponse:
        live = self._find(request)
        if live is None:
            owner = self._owner(request)
            if self._over_http.sessions.get("", _name(request)) is not None:
                return told(404, "There is no such session")
            live = self._over_http.open(request, "", _name(request), owner)
        return await self._over_http.respond(
            request, live, manner, {**_QUIET, "Content-Type": f"{kind}; charset=UTF-8"}, dress
        )

    async def _send(self, request: web.Request, undress: Callable[[bytes], bytes]) -> web.Response | None:
        """What went wrong, if anything did."""
        live = self._find(request)
        if live is None:
            return told(404, "There is no such session")
        try:
            largest = max(app.max_message_bytes for app in self._hub.apps)
            texts = await read_posted(request, largest, undress)
            if live.connection is None and texts:
                await self._begin(live, request, texts.pop(0))
            await self._over_http.handle(live, texts)
        except Unfit as unfit:
            return told(unfit.status, str(unfit))
        return None

    async def _begin(self, live: Live, request: web.Request, text: str) -> None:
        """The first message says which App it is to be, as the path of a WebSocket would."""
        try:
            path = urlsplit(msgspec.json.decode(text, type=_First).path)
        except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError):
            path = urlsplit("")
        folder, _, key = path.path.rpartition("/")
        if folder != "/app" or not key:
            if live.session.closed is None:
                turn_away(live.session, Disconnect("Path not found", CloseCode.PATH_NOT_FOUND))
            return
        protocol = parse_qs(path.query).get("protocol", [None])[0]
        await self._over_http.admit(live, request, unquote(key), protocol, in_iframe=True)

    def _find(self, request: web.Request) -> Live | None:
        live = self._over_http.sessions.get("", _name(request))
        return live if live is not None and live.owner == self._owner(request) else None

    def _owner(self, request: web.Request) -> Owner:
        """By the address alone: browsers send ``Origin`` with some of these requests and not with others."""
        return self._over_http.owner(request)._replace(origin=None)


def _name(request: web.Request) -> str:
    return f"{request.match_info['server']}/{request.match_info['session']}"


def _callback(request: web.Request) -> str:
    callback = request.query.get("c", request.query.get("callback", ""))
    if _CALLBACK.fullmatch(callback) is None:
        raise web.HTTPBadRequest(text="c should name a function: letters, digits, '_', '-' and '.'\n")
    return callback


def _behind(head: bytes, around: bytes, write: Callable[[bytes], bytes] = bytes) -> Dress:
    """Each line as ``write`` writes it, in ``around``; the first behind ``head``."""
    heads = [head]

    def dress(lines: bytes) -> bytes:
        return (heads.pop() if heads else b"") + b"".join(around % write(line) for line in lines.splitlines())

    return dress


def _in_script(line: bytes) -> bytes:
    """A line as a string of JavaScript that may stand inside of HTML."""
    return json.dumps(line.decode("ascii")).replace("</", "<\\/").encode("ascii")


def _form(body: bytes) -> bytes:
    """The field ``d`` of a form."""
    name, _, value = body.partition(b"=")
    return unquote_plus(value.decode("ascii", "replace")).encode() if name == b"d" else b""
