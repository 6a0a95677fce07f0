"""What is checked: one feature is one check, which every client that has it must pass."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tests.conformance import checks

if TYPE_CHECKING:
    from tests.conformance.running import World

Check = Callable[["World"], None]


class Kind(Enum):
    """Who a client is."""

    CLIENT = "client"
    """It subscribes."""
    SDK = "server SDK"
    """It publishes, asks and signs, on a server."""


@dataclass(frozen=True)
class Feature:
    """One thing that clients of a kind do, and where the protocol says so.

    ``needs`` names the setting without which a server does not do it; ``title`` is what people read.
    """

    name: str
    title: str
    kind: Kind
    section: str
    check: Check
    needs: str = ""
    restarts: bool = False
    """Whether the check ends the server and starts it again."""
    tls: bool = False
    """Whether the check needs a server that speaks TLS."""


FEATURES: dict[str, Feature] = {}
"""All of them by name, in the order they are checked."""


def feature(
    kind: Kind, title: str, section: str, *, needs: str = "", restarts: bool = False, tls: bool = False
) -> Callable[[Check], Check]:
    """Make the decorated check a feature, under its own name."""

    def register(check: Check) -> Check:
        name = check.__name__
        FEATURES[name] = Feature(name, title, kind, section, check, needs, restarts, tls)
        return check

    return register


def load() -> dict[str, Feature]:
    """:data:`FEATURES`, with every file of checks read."""
    for module in sorted(module.name for module in pkgutil.iter_modules(checks.__path__)):
        importlib.import_module(f"{checks.__name__}.{module}")
    return FEATURES
