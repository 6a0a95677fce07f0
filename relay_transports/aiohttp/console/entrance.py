"""Who may use the console: whoever has its token, in a header, or once in the login form and then as a cookie."""

from __future__ import annotations

import hashlib
import hmac

from aiohttp import web

from relay.clock import Clock
from relay.errors import RateLimited, RequestError, UsageError
from relay.limits import TokenBucket
from relay_transports.aiohttp.peers import Peers, whole_network

COOKIE = "relay_console"
SHORTEST_TOKEN = 16
SESSION_SECONDS = 12 * 3600
GUESSES, SECONDS_PER_GUESS = 5, 10.0
"""Wrong tokens of one address at once, and how long it takes until one more is looked at."""
_MOST_ADDRESSES = 10_000
OWN_HEADER = "X-Relay-Console"
"""On every request that changes something and comes with the cookie: no page of another origin can send it."""


def check_token(token: str) -> None:
    """Raise :class:`UsageError` for what cannot be the console's token; the message does not repeat it."""
    if len(token) < SHORTEST_TOKEN or not all("!" <= sign <= "~" for sign in token):
        raise UsageError(
            f"the console's token should be {SHORTEST_TOKEN} or more printable ASCII characters without spaces, as"
            " 'openssl rand -hex 16' makes them"
        )


class Entrance:
    """Lets in who shows ``token``. Wrong ones are counted by address, and after a few none of it is looked at a while.

    The cookie holds the time it ends and a MAC made with the token: every process with the same token knows it, and a
    new token makes it worthless. Raises :class:`UsageError` for a token that is easily guessed.
    """

    def __init__(self, token: str, clock: Clock, peers: Peers) -> None:
        check_token(token)
        self._token = token.encode()
        self._clock = clock
        self._peers = peers
        self._guesses: dict[str, TokenBucket] = {}

    def admit(self, request: web.Request) -> None:
        """Return when ``request`` may be answered. Raises :class:`RequestError`: 401, 403, or 429."""
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            self.check(request, shown.strip())
        elif not self._knows(request.cookies.get(COOKIE, "")):
            raise RequestError(401, "The console needs its token: log in, or send it as Authorization: Bearer TOKEN")
        elif request.method not in ("GET", "HEAD") and OWN_HEADER not in request.headers:
            raise RequestError(403, f"A request that changes something needs the header {OWN_HEADER}")

    def check(self, request: web.Request, token: str) -> None:
        """Return when ``token`` is right. Raises :class:`RequestError` 401, or 429 after too many wrong ones."""
        address = whole_network(self._peers.address(request))
        now = self._clock.now()
        guesses = self._guesses.pop(address, None) or TokenBucket(1 / SECONDS_PER_GUESS, GUESSES, now)
        self._guesses[address] = guesses  # behind all others, so that the longest unused is forgotten first
        if len(self._guesses) > _MOST_ADDRESSES:
            del self._guesses[next(iter(self._guesses))]
        if not guesses.take(now):
            raise RateLimited("Too many wrong tokens from this address", retry_after=SECONDS_PER_GUESS)
        if not hmac.compare_digest(self._token, token.encode("utf-8", "replace")):
            raise RequestError(401, "Wrong token")
        guesses.give()

    def open(self, request: web.Request, response: web.Response, path: str) -> None:
        """Let ``response`` carry a cookie that opens this entrance from now on, below ``path``."""
        until = str(int(self._clock.time()) + SESSION_SECONDS)
        response.set_cookie(
            COOKIE,
            f"{until}.{self._mac(until)}",
            max_age=SESSION_SECONDS,
            path=path,
            secure=self._peers.secure(request),
            httponly=True,
            samesite="Strict",
        )

    def _knows(self, cookie: str) -> bool:
        until, _, mac = cookie.partition(".")
        if not hmac.compare_digest(self._mac(until).encode(), mac.encode("utf-8", "replace")):
            return False
        return int(until) > self._clock.time()  # ours, so a number

    def _mac(self, until: str) -> str:
        text = b"relay console until " + until.encode("utf-8", "replace")
        return hmac.new(self._token, text, hashlib.sha256).hexdigest()
