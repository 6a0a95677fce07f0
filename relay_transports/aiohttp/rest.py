"""The REST API behind aiohttp: bytes in, bytes out; everything else is in ``relay.api``."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from relay.api import respond
from relay.errors import RequestError
from relay.hub import Hub
from relay.protocol import rest

MAX_BODY: Final = 4 << 20
"""Bytes of one request's body."""


class RestEndpoint:
    """``/apps/…`` and ``/users/…`` of ``hub``."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        resource = request.match_info.route.resource
        mount = "" if resource is None else resource.canonical.rpartition("/")[0].rpartition("/")[0]
        try:
            body = await read(request)
        except (web.RequestPayloadError, ConnectionError):
            return answered(rest.failure(RequestError(400, "The body could not be read to its end")))
        if body is None:
            too_large = RequestError(413, f"The body exceeds the allowed maximum ({MAX_BODY} bytes).")
            return answered(rest.failure(too_large))
        # raw_path is the target as it came; aiohttp's other views of it are normalised, and signatures are not
        answer = answered(await respond(self._hub, rest.Request(request.method, request.raw_path, body, mount)))
        if self._hub.draining:  # the next call is for another process
            answer.force_close()
        return answer


async def read(request: web.Request) -> bytes | None:
    """The body, or None when it is too large; the host's client_max_size is left alone."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def answered(response: rest.Response) -> web.Response:
    """``response`` as aiohttp sends it."""
    headers = {"Content-Type": response.content_type}
    if response.retry_after is not None:
        headers["Retry-After"] = str(response.retry_after)
    return web.Response(status=response.status, body=response.body, headers=headers)
