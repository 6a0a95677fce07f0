"""Every client there is a file of."""

from __future__ import annotations

import importlib
import pkgutil

from tests.conformance import clients
from tests.conformance.running import Client

ORDER = (
    *("pusher_js", "laravel_echo", "pysher", "asyncpusher", "relay_client"),
    *("pusher_python", "pusher_node", "relay_rest"),
)
"""How the page lists them; files that are not named here come last."""


def load() -> list[Client]:
    """All of them, in order."""
    names = [module.name for module in pkgutil.iter_modules(clients.__path__)]
    names.sort(key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [one for name in names for one in importlib.import_module(f"{clients.__name__}.{name}").CLIENTS]
