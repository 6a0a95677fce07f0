"""Facts as JSON, for operators: the type's name and the fields. No payload is in it, and nothing that may be secret."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

import msgspec

from relay import facts
from relay.errors import UsageError
from relay.facts import Fact
from relay.protocol import messages

KINDS: dict[str, type[Fact]] = {
    name: kind
    for name, kind in vars(facts).items()
    if isinstance(kind, type) and issubclass(kind, Fact) and kind is not Fact
}
"""Every type of facts by its name."""

_PAYLOADS = frozenset({"text"})


def kinds(names: Iterable[str]) -> tuple[type[Fact], ...]:
    """The types of facts called ``names``. Raises :class:`UsageError` for a name that no type has."""
    wanted = tuple(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in KINDS]:
        raise UsageError(f"there are no facts of type {unknown[0][:40]!r}; there are {', '.join(sorted(KINDS))}")
    return tuple(KINDS[name] for name in wanted)


def line(fact: Fact) -> bytes:
    """``fact`` as one line of JSON: its ``type``, ``app``, ``time`` and fields. What a client sent is left out."""
    return messages.json_bytes(report(fact)) + b"\n"


def report(fact: Fact) -> dict[str, object]:
    """What ``line`` writes: the name of the fact's type, then its fields, payloads left out and URLs shortened."""
    told: dict[str, object] = {"type": type(fact).__name__}
    for name in fact.__struct_fields__:
        if name not in _PAYLOADS:
            value = getattr(fact, name)
            told[name] = _shown(value) if name == "url" else value
    if isinstance(fact, facts.Published):
        told["receipt"] = {
            "remote": fact.receipt.remote,
            "channels": [msgspec.structs.asdict(channel) for channel in fact.receipt.channels.values()],
        }
    return told


def _shown(url: str) -> str:
    """``url`` without what may be secret in it: its query, and who logs in."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
