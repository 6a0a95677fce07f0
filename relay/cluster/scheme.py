"""The only part of an engine's URL that may be told: in any other there may be a password, or a part of one."""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,19}")


def scheme_of(url: str) -> str:
    """What stands before ``://``, in lower case; empty where that cannot be a scheme."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator and _SCHEME.fullmatch(scheme.lower()) else ""


def shown(url: str) -> str:
    """What an error may say about ``url``."""
    scheme = scheme_of(url)
    return f"{scheme}://..." if scheme else "something that is no URL"
