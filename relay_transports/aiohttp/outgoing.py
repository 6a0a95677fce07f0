"""Signed requests to a host's REST API: one pool of connections, and patience with hosts that fail.

What went wrong travels as a value until it is raised, outside of any ``except``: aiohttp's errors carry the URL,
the URL carries the signature, and neither should be found in a traceback.
"""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import anyio
import msgspec
from yarl import URL

from relay.errors import (
    BadAnswer,
    HostError,
    PublisherClosed,
    RateLimited,
    RelayError,
    RequestError,
    Unauthorized,
    Unreachable,
    UsageError,
)
from relay.protocol import messages, signing
from relay_transports.aiohttp import questions

if TYPE_CHECKING:
    from random import Random
    from ssl import SSLContext

    from relay.app import App
    from relay.clock import Clock
    from relay.protocol.signing import Query

_log = logging.getLogger(__name__)

_FIRST_DELAY, _MOST_DELAY = 0.5, 10.0
"""Seconds: the ceiling of the first pause, which doubles, and of all."""

_MOST_RETRY_AFTER = 60.0
"""Seconds a host may ask us to pause; when it asks for more, the caller hears of it at once."""

_MOST_ANSWER = 32 << 20
"""Bytes of an answer. A list of 500,000 channels fits."""

_LARGE_BODY = 1 << 20
"""Bytes from which aiohttp warns of a body that is not a file."""

_SHOWN = 300
"""Characters of a host's text that go into an error's message."""


class Patience(NamedTuple):
    """How long to wait for a host: ``timeout`` seconds for a connection and again for an answer, and how many
    ``retries`` after a first attempt that failed.
    """

    timeout: float
    retries: int


class Outgoing:
    """Requests of ``app`` to the host at ``base``, a URL up to what stands before ``/apps``.

    May be made outside of a loop; the first request opens the pool, in the loop it runs in.
    """

    def __init__(
        self,
        app: App,
        base: str,
        *,
        clock: Clock,
        random: Random | None = None,
        patience: Patience,
        ssl: SSLContext | bool = True,
        headers: Mapping[str, str],
    ) -> None:
        self.base = questions.base(base)
        self._app = app
        self._clock = clock
        self.random: Random = random or secrets.SystemRandom()
        self._patience = patience
        self._ssl = ssl
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._sleeping: set[anyio.Event] = set()

    async def send(self, method: str, path: str, *, query: Query = (), body: bytes = b"", repeat: bool) -> bytes:
        """The body of the host's 2xx answer; ``path`` is percent-encoded already, from ``/apps`` on.

        Asks again, after a pause, what the host surely did not do; with ``repeat`` also what it may have done.
        (aiohttp itself sends a GET whose connection is lost a second time at once: the host may have closed a
        kept connection just then. Such a pair is one attempt here.)
        Each attempt is signed anew, since a signature is good for ten minutes only. Raises :class:`RequestError`
        and :class:`HostError`; the signature is never in them.
        """
        questions.escaped(query)  # raises for what can be neither escaped nor signed
        attempt, maybe_done = 0, False
        while not self._closed:
            outcome = await self._attempt(method, path, query, body)
            if isinstance(outcome, bytes):
                return outcome
            if isinstance(outcome, HostError):  # what one attempt may have done, the next failure does not undo
                outcome.maybe_done = maybe_done = maybe_done or outcome.maybe_done
            pause = self._pause(outcome, attempt) if _worth_repeating(outcome, repeat) else None
            if pause is None:
                outcome.add_note(f"{method} {self.base}{path}, attempt {attempt + 1}")
                raise outcome
            _log.info("asking a host again", extra={"host": self.base, "attempt": attempt, "reason": str(outcome)})
            await self._sleep(pause)
            attempt += 1
        raise PublisherClosed("this REST client is closed")

    async def lines(self, path: str, *, query: Query = (), silence: float) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that goes on, without the empty ones; ``silence`` is how many seconds may pass without
        any. It never just ends: raises :class:`RequestError` where the host refuses, :class:`HostError` at the end.
        """
        signed = signing.sign_rest(self._app, "GET", path, query=query, body=b"", now=self._clock.time())
        url = URL(f"{self.base}{path}?{questions.escaped(signed)}", encoded=True)
        connecting = self._patience.timeout
        timeout = aiohttp.ClientTimeout(total=None, connect=connecting, sock_read=silence)
        failure: RelayError = Unreachable(f"{self.base} ended its answer")
        try:
            async with self._opened().get(url, timeout=timeout, allow_redirects=False) as response:
                if response.status == 200:
                    async for line in response.content:
                        if line := line.strip():
                            yield line
                else:
                    text = _said(await _read(response.content) or b"", signed[-1][1])
                    failure = _refusal(response.status, text or f"HTTP status {response.status}", None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = _unanswered(error, self.base, connecting)
        raise failure

    async def close(self) -> None:
        """Let go of all connections. Whoever waits for an answer or a next attempt gets an error."""
        self._closed = True
        for wake in self._sleeping:
            wake.set()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _attempt(self, method: str, path: str, query: Query, body: bytes) -> bytes | RelayError:
        signed = signing.sign_rest(self._app, method, path, query=query, body=body, now=self._clock.time())
        url = URL(f"{self.base}{path}?{questions.escaped(signed)}", encoded=True)
        payload = io.BytesIO(body) if len(body) > _LARGE_BODY else body
        try:
            async with self._opened().request(method, url, data=payload or None, allow_redirects=False) as response:
                answer = await _read(response.content)
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _unanswered(error, self.base, self._patience.timeout)
        if answer is None:
            return BadAnswer(f"the answer exceeds {_MOST_ANSWER} bytes", status=status)
        if 200 <= status < 300:
            return answer
        text = _said(answer, signed[-1][1]) or f"HTTP status {status}"
        return _refusal(status, text, _seconds(retry_after, self._clock.time()))

    def _opened(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None:
            timeout = self._patience.timeout
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._ssl),
                timeout=aiohttp.ClientTimeout(total=2 * timeout, connect=timeout, sock_read=timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
            )
        if self._loop is not loop:
            raise UsageError("this REST client has connections in another event loop: make one client for each loop")
        return self._session

    def _pause(self, error: RelayError, attempt: int) -> float | None:
        """Seconds before the next attempt: a random part of a ceiling that doubles, so that clients which failed
        together do not come back together; at least what the host asks for. None: no more attempts.
        """
        asked = (isinstance(error, RateLimited | HostError) and error.retry_after) or 0.0
        if attempt >= self._patience.retries or asked > _MOST_RETRY_AFTER:
            return None
        ceiling = min(_MOST_DELAY, _FIRST_DELAY * 2.0 ** min(attempt, 32))
        return max(asked, self.random.random() * ceiling)

    async def _sleep(self, seconds: float) -> None:
        if self._closed:
            return
        wake = anyio.Event()
        self._sleeping.add(wake)
        try:
            await self._clock.wait(wake, self._clock.now() + seconds)
        finally:
            self._sleeping.discard(wake)


async def _read(content: aiohttp.StreamReader) -> bytes | None:
    """All of it, or None when it is too long."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _MOST_ANSWER:
            return None
    return bytes(body)


def _unanswered(error: Exception, base: str, timeout: float) -> Unreachable:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Unreachable(f"cannot trust {base}: {error.certificate_error}", maybe_done=False)
        case aiohttp.ClientConnectorError():
            return Unreachable(f"cannot connect to {base}: {error.os_error}", maybe_done=False)
        case aiohttp.ConnectionTimeoutError():
            return Unreachable(f"cannot connect to {base} within {timeout} s", maybe_done=False)
        case TimeoutError():
            return Unreachable(f"no answer from {base} within {timeout} s")
        case aiohttp.ClientResponseError():
            return Unreachable(f"{base} answered what is no HTTP")
    return Unreachable(f"the connection to {base} was lost before its answer ({type(error).__name__})")


def _refusal(status: int, text: str, retry_after: float | None) -> RelayError:
    match status:
        case 401 | 403:
            return Unauthorized(status, text)
        case 429:
            return RateLimited(text, retry_after=retry_after)
    if 400 <= status < 500:
        return RequestError(status, text)
    if status >= 500:
        return HostError(text, status=status, maybe_done=status != 503, retry_after=retry_after)
    return BadAnswer(f"the host answered {status}, which the REST API never does: is base_url right?", status=status)


def _worth_repeating(error: RelayError, repeat: bool) -> bool:  # noqa: FBT001 ours alone
    match error:
        case RateLimited():
            return True
        case BadAnswer():
            return False
        case HostError():
            return repeat or not error.maybe_done
    return False


def _said(body: bytes, signature: str) -> str:
    """The host's text without our signature, which hosts repeat to us. Some hosts put it into JSON."""
    text = body.decode("utf-8", "replace")
    try:
        value = msgspec.json.decode(body)
    except messages.INVALID_JSON:
        value = None
    if isinstance(value, dict):
        text = next((said for name in ("error", "message") if isinstance(said := value.get(name), str)), text)
    return " ".join(text.replace(signature, "***").split())[:_SHOWN]


def _seconds(retry_after: str, now: float) -> float | None:
    """A Retry-After header, which holds seconds or a date; None for neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
