"""A bare aiohttp handler that checks what Pusher's REST API asks for: HMAC-SHA256 and MD5, and nothing else."""

# Requires: uvloop aiohttp
from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlencode

from aiohttp import web

from benchmarks.peers.serving import Peer, main


class BareRest(Peer):
    """Nobody subscribes."""

    title = "bare aiohttp handler"

    async def trigger(self, request: web.Request) -> web.Response:
        """Check the signature."""
        body, query = await request.read(), dict(request.query)
        signature = query.pop("auth_signature", "")
        text = f"{request.method}\n{request.path}\n{urlencode(sorted(query.items()))}"
        expected = hmac.new(b"secret", text.encode(), hashlib.sha256).hexdigest()
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(signature, expected) or digest != query["body_md5"]:
            return web.Response(status=401)
        return web.Response(body=b"{}", content_type="application/json")

    async def wait(self, request: web.Request) -> web.WebSocketResponse:
        """A subscriber, that the harness has someone to count."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await socket.receive()
        return socket

    async def start(self) -> int:
        """Listen; returns the port."""
        application = web.Application()
        application.router.add_post("/apps/1/events", self.trigger)
        application.router.add_get("/", self.wait)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        return int(runner.addresses[0][1])

    def publish(self, channel: str, stamp: int) -> None:
        """Nothing to publish."""


if __name__ == "__main__":
    main(BareRest)
