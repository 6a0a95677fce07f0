"""Mistakes tried one by one until one gives the signature that was sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

from relay.app import App
from relay.explain.explanation import Cause, printable

_MOST_APPS = 1000
_LONGEST = 16 << 10
"""Characters of a string whose mistakes are looked for: this is done on the event loop."""


class Guess(NamedTuple):
    """``string`` may have been signed instead, by a mistake of kind ``cause``; ``hint`` says which."""

    cause: Cause
    hint: str
    string: str


def encoded(text: str) -> bytes:
    """``text`` as signers see it; never raises."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def signed(secret: str, string: str) -> str:
    """The signature of ``string``, as :func:`relay.protocol.signing.sign` makes it; never raises."""
    return hmac.digest(encoded(secret), encoded(string), "sha256").hex()


def find(app: App, others: Iterable[App], string: str, sent: str, guesses: Iterable[Guess]) -> tuple[Cause, str] | None:
    """The mistake by which ``string`` became the signature ``sent``, None if none of those tried did it.

    Of a long string, or of more Apps than anybody has by mistake, not all are tried.
    """
    plain = sent.strip().strip("\"'")
    lower = plain.lower()
    if lower == signed(app.secret, string):
        how = "has quotes or spaces around it" if plain != sent else "is in upper case"
        return Cause.ENCODING, f"the signature {how}: send it as 64 lower-case hex digits and nothing more"
    if len(string) > _LONGEST:
        return None
    for secret_hint, secret in _secrets(app, others):
        if lower == signed(secret, string):
            return Cause.WRONG_SECRET, secret_hint
    for cause, hint, value in _digests(app.secret, string):
        if plain in (value, value.rstrip("=")) or lower == value:
            return cause, hint
    for guess in guesses:
        if guess.string != string and lower == signed(app.secret, guess.string):
            return guess.cause, guess.hint
    return None


def _secrets(app: App, others: Iterable[App]) -> Iterator[tuple[str, str]]:
    """Other secrets that may have been used, each with what to say about it."""
    secret = app.secret
    for other, _ in zip(others, range(_MOST_APPS), strict=False):
        if other.secret != secret:
            yield f"it was signed with the secret of App {other.id}, and the key is of App {app.id}", other.secret
    for end, name in (("\n", "a line feed"), ("\r\n", "a line end"), ("\r", "a carriage return"), (" ", "a space")):
        yield f"the signer's secret has {name} at its end that does not belong there: strip what is read", secret + end
    yield "the signer's secret has a space before it that does not belong there: strip what is read", " " + secret
    for quote in "\"'":
        yield "the signer's secret has quotes around it that do not belong there", quote + secret + quote
    yield "this hub's secret has spaces or a line end around it that the signer's has not", secret.strip()
    yield "the signer's secret is the same in lower case: secrets are compared letter by letter", secret.lower()
    yield "the key was used as the secret", app.key
    yield "the App's id was used as the secret", app.id
    yield "an empty secret was used: the signer's configuration is not set", ""
    for nothing in ("undefined", "null", "None"):
        yield f"the word {nothing} was used as the secret: the signer's configuration is not set", nothing
    if app.encryption_master_key is not None:
        yield "the encryption master key was used as the secret", app.encryption_master_key


def _digests(secret: str, string: str) -> Iterator[tuple[Cause, str, str]]:
    """The right secret and string in other algorithms and other writings."""
    key, text = encoded(secret), encoded(string)
    raw = hmac.digest(key, text, "sha256")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield Cause.ENCODING, "the signature is in base64: send it as 64 lower-case hex digits", encode(raw).decode()
    yield (
        Cause.ENCODING,
        "the signature is base64 of the hex digits: send the digits",
        base64.b64encode(raw.hex().encode()).decode(),
    )
    for name in ("sha1", "md5", "sha512", "sha224", "sha384"):
        digest = hmac.digest(key, text, name)
        wanted = f"it was signed with HMAC-{name.upper()}: take HMAC-SHA256"
        yield Cause.ALGORITHM, wanted, digest.hex()
        yield Cause.ALGORITHM, wanted, base64.b64encode(digest).decode()
    swapped = "secret and string changed places in the call of the HMAC: the secret is its key"
    yield Cause.ALGORITHM, swapped, hmac.digest(text, key, "sha256").hex()
    for joined in (key + text, text + key, text):
        yield Cause.ALGORITHM, "it is a plain SHA-256: take HMAC-SHA256", hashlib.sha256(joined).hexdigest()


def rewritten(text: str) -> Iterator[tuple[str, str]]:
    """The JSON of ``text`` as other programs would write it: how, and the text."""
    if len(text) > _LONGEST:
        return
    try:
        value = json.loads(text)  # msgspec can write JSON in one way only
    except (ValueError, RecursionError):
        return
    layouts = ((",", ":"), "without spaces"), ((", ", ": "), "with spaces")
    for (separators, layout), ordered, escaped in product(layouts, (False, True), (False, True)):
        try:
            written = json.dumps(value, separators=separators, sort_keys=ordered, ensure_ascii=escaped)
        except (ValueError, TypeError, RecursionError):
            continue
        how = layout + (", keys sorted" if ordered else "") + (", other letters escaped" if escaped else "")
        yield how, written
        yield f"{how}, slashes escaped", written.replace("/", "\\/")
    yield "as a JSON string", json.dumps(text)
    if isinstance(value, str):
        yield "decoded once", value


def key_hint(app: App, given: str, others: Iterable[App], because: str) -> str:
    """What is wrong with a key that is not the one of ``app``, which was meant ``because`` of something."""
    for other in others:
        if other.key == given:
            return f"the key is of App {other.id}, and {because} App {app.id}"
    if given.strip().strip("\"'") == app.key:
        return "the key has quotes or spaces around it"
    if given.lower() == app.key.lower():
        return f"the key differs in upper and lower case: it is '{app.key}'"
    if given == app.id:
        return "the App's id stands in the place of its key"
    if given == app.secret:
        return "the secret stands in the place of the key: change it, it was sent over the network"
    return f"the key '{printable(given, 20)}' is not that of App {app.id}, which is '{printable(app.key)}'"
