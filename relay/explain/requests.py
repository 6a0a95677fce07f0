"""Why a REST call was refused (protocol 6.7)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote

from relay.app import App
from relay.errors import RequestError
from relay.explain.explanation import Cause, Explanation, Told, printable
from relay.explain.guessing import Guess, encoded, find, key_hint, rewritten, signed
from relay.protocol import rest, signing
from relay.protocol.rest import Request
from relay.protocol.signing import Query, rest_string

_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")
_PREFIXES = ("/api", "/app", "/broadcasting", "/pusher", "/realtime", "/relay", "/socket", "/v1", "/websocket", "/ws")
"""Paths that proxies often take away before a request arrives here."""
_NEAR = 86_400
_HALF_HOUR = 1800
_FARTHEST_ZONE = 14 * 3600
_MINUTE = 60
_Found = tuple[Cause, str]


class _Call(NamedTuple):
    """One request taken apart; ``app`` is the one that its key or else its path names."""

    app: App
    apps: tuple[App, ...]
    request: Request
    path: str
    raw_query: str
    query: Query
    given: dict[str, str]

    @property
    def sent(self) -> str:
        return self.given.get("auth_signature", "")

    @property
    def string(self) -> str:
        return rest_string(self.request.method, self.path, self.query)


def explain_request(apps: App | Iterable[App], request: Request, now: float) -> Explanation | None:
    """Why ``request`` does not prove that it comes from who knows the secret; None where it does.

    ``apps`` are those that it may be for, ``now`` is Unix seconds. Whether its path and body make sense is another
    question. Never raises.
    """
    apps = (apps,) if isinstance(apps, App) else tuple(apps)
    path, _, raw_query = request.target.partition("?")
    query = signing.parse_query(raw_query)
    given = dict(query)
    app = _meant(apps, path, given)
    if app is None:
        return None
    call = _Call(app, apps, request, rest.unmounted(request, path), raw_query, query, given)
    found = _key(call) or _clock(call, now) or _body(call) or _signature(call, now)
    if found is None:
        return None
    return Told(call.string, signed(app.secret, call.string), call.sent).explanation(*found, apps)


def _meant(apps: tuple[App, ...], path: str, given: dict[str, str]) -> App | None:
    key = given.get("auth_key")
    named = next((app for app in apps if app.key == key), None)
    return named or next((app for app in apps if f"/apps/{app.id}/" in path), apps[0] if apps else None)


def _key(call: _Call) -> _Found | None:
    key = call.given.get("auth_key")
    if not key:
        if any(name.lower() == "auth_key" for name in call.given):
            return Cause.QUERY, "the names of the auth parameters must be in lower case"
        return (
            Cause.NO_AUTH,
            "the query has no auth_key: use a server SDK, or sign the request (nothing else is let in)",
        )
    if key != call.app.key:
        return Cause.WRONG_KEY, key_hint(call.app, key, call.apps, "the path is of")
    if "/apps/" in call.path and f"/apps/{call.app.id}/" not in f"{call.path}/":
        return Cause.WRONG_KEY, f"auth_key is of App {printable(call.app.id)}, and the path names another"
    return None


def _clock(call: _Call, now: float) -> _Found | None:
    value = call.given.get("auth_timestamp", "")
    if not value:
        return Cause.CLOCK, "the query has no auth_timestamp: it should be Unix seconds"
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        return Cause.CLOCK, f"auth_timestamp should be Unix seconds as digits, got '{printable(value)}'"
    seconds = int(value)
    for factor, name in ((1000, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")):
        if abs(seconds / factor - now) < _NEAR:
            return Cause.CLOCK, f"auth_timestamp is in {name}: it should be in seconds"
    ahead = round(seconds - now)
    if abs(seconds - now) < signing.TIMESTAMP_WINDOW:
        return None
    told = f"the caller's clock is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} this server's"
    zone = round(ahead / _HALF_HOUR) * _HALF_HOUR
    if zone and abs(zone) <= _FARTHEST_ZONE and abs(ahead - zone) < _MINUTE:
        return Cause.CLOCK, f"{told}, which looks like local time ({zone / 3600:+g} h) taken for UTC"
    return Cause.CLOCK, f"{told}, allowed are {signing.TIMESTAMP_WINDOW} s: set it by NTP, and sign each attempt anew"


def _body(call: _Call) -> _Found | None:
    body, given = call.request.body, call.given.get("body_md5")
    if given is None:
        if not body:
            return None
        return Cause.BODY, "the query has no body_md5: a request with a body signs the hex MD5 of it"
    if given.lower() == _md5(body):
        return None
    advice = "make body_md5 of the very bytes that are sent"
    for how, value in _digests(body):
        if given.lower() == value.lower():
            return Cause.BODY, f"body_md5 is {how}: it should be the hex MD5 of the body"
    for how, other in _bodies(body):
        if given.lower() == _md5(other):
            return Cause.BODY, f"the body changed after it was signed; it was signed {how}: {advice}"
    length = f"{len(body)} bytes arrived here"
    return Cause.BODY, f"the body changed after it was signed, {length}: {advice}, and let no proxy touch them"


def _signature(call: _Call, now: float) -> _Found | None:
    if call.given.get("auth_version") != "1.0":
        return Cause.QUERY, "auth_version must be 1.0, and is signed like the other parameters"
    if not call.sent:
        return Cause.NO_AUTH, "the query has no auth_signature"
    try:
        rest.verified(call.request, call.app, now, call.query)
    except UnicodeEncodeError:
        return Cause.QUERY, "there is half a character (a lone surrogate) in it"
    except RequestError:
        others = [app for app in call.apps if app is not call.app]
        nothing = "nothing that was tried gives this signature: most likely it was made with another secret"
        return find(call.app, others, call.string, call.sent, _guesses(call)) or (Cause.UNKNOWN, nothing)
    return None


def _guesses(call: _Call) -> Iterator[Guess]:
    method = call.request.method
    for other in (*_METHODS, method.lower()):
        hint = f"it was signed as {other}, and sent as {printable(method.upper())}"
        string = call.string.removeprefix(method.upper())
        yield Guess(Cause.METHOD, hint, other + string)
    for path in _paths(call):
        hint = f"the path was signed as '{printable(path, 80)}', and arrived as '{printable(call.path, 80)}'"
        yield Guess(Cause.PATH, hint, rest_string(method, path, call.query))
    start = f"{method.upper()}\n{call.path}\n"
    for hint, query in _queries(call):
        yield Guess(Cause.QUERY, hint, start + query)
    lines = call.string.split("\n")
    for hint, string in (
        ("the string that was signed has \\n as two characters: its lines end in a line feed", "\\n".join(lines)),
        ("the lines of the string that was signed end in \\r\\n: they end in a line feed", "\r\n".join(lines)),
        ("the lines of the string that was signed were joined without line feeds", "".join(lines)),
        ("the string that was signed has one line feed too many, at its end", call.string + "\n"),
        ("the string that was signed has the body at its end", call.string + "\n" + _text(call.request.body)),
        ("the query was signed and nothing else", lines[-1]),
        ("the body was signed: sign METHOD, PATH and QUERY, which holds body_md5", _text(call.request.body)),
    ):
        yield Guess(Cause.FORM, hint, string)


def _paths(call: _Call) -> Iterator[str]:
    path, raw = call.path, call.request.target.partition("?")[0]
    yield from (raw, unquote(path), unquote(raw), quote(path), quote(path, safe="/=@,;"), path.rstrip("/"), path + "/")
    yield from (path.lstrip("/"), path.lower(), f"/{path}", path + "?", call.request.target)
    below = path[path.find("/apps/") :] if "/apps/" in path else path
    yield from (prefix + below for prefix in _PREFIXES)
    first, _, rest_of_it = below.removeprefix("/apps/").partition("/")
    yield from (f"/{rest_of_it}", f"/apps/{first}", f"/{first}/{rest_of_it}")
    yield from (f"/apps/{app.id}/{rest_of_it}" for app in call.apps)
    yield f"/apps/{call.app.key}/{rest_of_it}"


def _queries(call: _Call) -> Iterator[tuple[str, str]]:
    pairs = [(name, value) for name, value in call.query if name.lower() != "auth_signature"]
    ordered = sorted(pairs)
    raw = sorted(part for part in call.raw_query.split("&") if part and not part.lower().startswith("auth_signature="))
    yield "the query was not signed", ""
    escaped = "the query was signed escaped: sign the values as they are, without %-escapes"
    yield escaped, "&".join(raw)
    for safe in ("", "/", "[]", "-_.~", ":,"):
        yield escaped, _joined([(quote(name, safe=safe), quote(value, safe=safe)) for name, value in ordered])
        yield escaped, _joined([(name, quote(value, safe=safe)) for name, value in ordered])
    yield "spaces in the query were signed as +", _joined([(n, v.replace(" ", "+")) for n, v in ordered])
    yield "the query was signed in the order in which it was sent: sort it by name", _joined(pairs)
    for name in sorted({name for name, _ in ordered}):
        hint = f"{printable(name)} was not signed: all parameters but auth_signature are"
        yield hint, _joined([pair for pair in ordered if pair[0] != name])
    auth = [pair for pair in ordered if pair[0].lower().startswith("auth_") or pair[0] == "body_md5"]
    yield "only the auth parameters were signed: all others are signed with them", _joined(auth)
    other = [pair for pair in ordered if pair not in auth]
    yield "the auth parameters were not signed: all but auth_signature are", _joined(other)
    yield (
        "an empty auth_signature was signed with the others: leave it out",
        _joined(sorted([*ordered, ("auth_signature", "")])),
    )
    yield "the query was signed with its question mark", "?" + _joined(ordered)


def _joined(pairs: Query) -> str:
    return "&".join(map("=".join, pairs))


def _bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    text = _text(body)
    for how, other in rewritten(text):
        yield how, encoded(other)
    yield "without the spaces or line ends around it", body.strip()
    for end, name in ((b"\n", "a line feed"), (b"\r\n", "a line end")):
        yield f"with {name} at its end", body + end
    yield "with \\r\\n where lines end", body.replace(b"\n", b"\r\n")
    yield "with \\n where lines end", body.replace(b"\r\n", b"\n")
    yield "as if it were empty", b""
    yield "as Latin-1", text.encode("latin-1", "replace")
    yield "as UTF-16", text.encode("utf-16", "surrogatepass")


def _digests(body: bytes) -> Iterator[tuple[str, str]]:
    raw = hashlib.md5(body, usedforsecurity=False).digest()
    yield "in base64", base64.b64encode(raw).decode()
    yield "SHA-1", hashlib.sha1(body, usedforsecurity=False).hexdigest()
    yield "SHA-256", hashlib.sha256(body).hexdigest()
    yield "the body itself", _text(body)
    yield "empty", ""


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
