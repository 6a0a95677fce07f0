"""Where explanations go: behind the answer that is given anyway, and into the log."""

from __future__ import annotations

import logging

from relay.explain.explanation import Explanation

_log = logging.getLogger("relay.explain")


def tell(message: str, explanation: Explanation) -> str:
    """``message`` with ``explanation`` behind it, which is logged too."""
    _log.warning("%s", explanation, extra={"cause": explanation.cause.value})
    return f"{message.rstrip('.')}. {explanation}"
