"""Names of channels with wildcards, as embedding programs use them to say which channels they mean.

``*`` stands for any characters, ``?`` for one, ``[ab]`` for one of those; a pattern covers the whole name, and case
matters. No channel that clients may name has such a character in it. Wildcards mean nothing in the name of a
server-to-user channel, which may hold anything, and no pattern matches one: it has to be named (protocol 4.2).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable

from relay.protocol.names import SERVER_TO_USER

_WILDCARDS = frozenset("*?[")


def is_pattern(name: str) -> bool:
    """Whether ``name`` stands for more than itself."""
    return not _WILDCARDS.isdisjoint(name) and not name.startswith(SERVER_TO_USER)


def matcher(name: str) -> Callable[[str], bool]:
    """What tells whether a channel is meant by ``name``, a pattern or just a name."""
    if not is_pattern(name):
        return name.__eq__
    match = re.compile(fnmatch.translate(name)).match
    return lambda channel: not channel.startswith(SERVER_TO_USER) and match(channel) is not None
