"""What an engine's URL begins with: which engine is meant, and the only part of it that may be told. In any other there
may be a password, or a part of one.
"""

from __future__ import annotations

import re
from typing import Final

REDIS: Final = ("redis", "rediss", "unix", "valkey", "valkeys")
"""Also with ``+sentinel`` or ``+cluster`` behind them."""
NATS: Final = ("nats", "tls")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,19}")


def scheme_of(url: str) -> str:
    """What stands before ``://``, in lower case; empty where that cannot be a scheme."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator and _SCHEME.fullmatch(scheme.lower()) else ""


def shown(url: str) -> str:
    """What an error may say about ``url``."""
    scheme = scheme_of(url)
    return f"{scheme}://..." if scheme else "something that is no URL"
