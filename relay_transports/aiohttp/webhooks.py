"""Bringing webhooks to their receivers over HTTP. When to send what is decided elsewhere (``relay.webhooks``)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from relay import __version__
from relay.webhooks import Answer, Request
from relay_transports.aiohttp.targets import PrivateAddress, PublicOnly, is_public

if TYPE_CHECKING:
    from ssl import SSLContext

_MOST_READ = 4096
"""Bytes of an answer's body that are read, so that its connection can be used again."""
_BODY_SECONDS = 0.25
"""How long those may take: the status said already what became of the webhook."""
_MOST_CONNECTIONS = 100
_WHOLE_REASON = 200


class WebhookSender:
    """Sends webhooks; ``setup(app, hub)`` makes one for Apps that have some, so few programs need this name.

    A redirect is not followed, and so is a failure: the receiver's address belongs into the configuration. Of an answer
    only the status counts; a few KiB of its body are read. Proxies in the environment are not used, cookies not kept.

    ``tls`` is a context for receivers whose certificates come from an authority of your own; else the system's decide.
    ``resolver`` finds the addresses of names, the system's by default.
    """

    at_once = False

    def __init__(self, *, tls: SSLContext | None = None, resolver: AbstractResolver | None = None) -> None:
        self._tls = tls
        self._resolver = resolver
        self._own_resolver: AbstractResolver | None = None
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def send(self, request: Request) -> Answer:
        """One attempt. Fails without a connection where the receiver's address is private and must not be."""
        host = urlsplit(request.url).hostname or ""
        if not request.private_addresses and _is_address(host) and not is_public(host):
            return Answer(None, f"{host} is no public address")
        session = self._session(private=request.private_addresses)
        try:
            async with asyncio.timeout(request.endpoint.timeout):
                response = await session.post(
                    request.url, data=request.body, headers=request.headers, allow_redirects=False
                )
        except TimeoutError:
            return Answer(None, f"no answer within {request.endpoint.timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, _why(error)[:_WHOLE_REASON])
        await _finish(response)
        return Answer(response.status)

    async def close(self) -> None:
        """Close the connections that are kept for the next webhook."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()
        if self._own_resolver is not None:
            await self._own_resolver.close()
            self._own_resolver = None

    def _session(self, *, private: bool) -> aiohttp.ClientSession:
        """The connections for these addresses, made where the loop runs."""
        session = self._sessions.get(private)
        if session is None:
            resolver = self._resolver
            if resolver is None:
                resolver = self._own_resolver = self._own_resolver or aiohttp.DefaultResolver()
            session = self._sessions[private] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_MOST_CONNECTIONS,
                    ssl=self._tls or True,
                    resolver=resolver if private else PublicOnly(resolver),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": f"relay-hub/{__version__}"},
            )
        return session


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Read a little of the body, so that the connection can be used again; cut it where that is not all."""
    with suppress(TimeoutError, aiohttp.ClientError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_BODY_SECONDS):
            await response.content.readexactly(_MOST_READ)
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _is_address(host: str) -> bool:
    """Whether ``host`` is an address, which no resolver is asked about."""
    return ":" in host or host.replace(".", "").isdigit()


def _why(error: BaseException) -> str:
    """What is behind ``error``: that an address is private, if that is what it is about."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddress):
            return str(cause)
        cause = cause.__cause__
    return str(error) or type(error).__name__
