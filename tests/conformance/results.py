"""What a run found, as values that are kept beside the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "conformance.json"
"""The last whole run against Relay."""
_PLACES = re.compile(r"127\.0\.0\.1:\d+|(?<![\w.:])/(?:[\w.+-]+/)+[\w.+-]*")


class Outcome(Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not run against this server, for a reason."""
    LACKS = "lacks"
    """The client does not have the feature."""


class Result(msgspec.Struct, frozen=True):
    """One feature of one client."""

    feature: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


class ClientResult(msgspec.Struct, frozen=True):
    """All features of one client."""

    name: str
    kind: str
    runs_in: str
    version: str
    official: bool
    results: tuple[Result, ...]

    def count(self, outcome: Outcome) -> int:
        """How many checks ended so."""
        return sum(result.outcome is outcome for result in self.results)

    def of(self, outcome: Outcome) -> list[Result]:
        """The checks that ended so."""
        return [result for result in self.results if result.outcome is outcome]


class Run(msgspec.Struct, frozen=True):
    """One run: when, against what, with which clients."""

    date: str
    server: str
    clients: tuple[ClientResult, ...]

    def over(self, older: Run) -> Run:
        """The same run, with the clients of an ``older`` one that it did not run."""
        again = {client.name for client in self.clients}
        kept = tuple(client for client in older.clients if client.name not in again)
        return msgspec.structs.replace(self, clients=kept + self.clients)

    def ordered(self, places: Mapping[str, int]) -> Run:
        """The same run, its clients in the order of ``places``; those that are not there any more are left out."""
        clients = sorted((one for one in self.clients if one.name in places), key=lambda one: places[one.name])
        return msgspec.structs.replace(self, clients=tuple(clients))


def without_places(run: Run) -> Run:
    """``run`` without seconds, ports and file names: what is worth comparing with the next run."""

    def cleaned(result: Result) -> Result:
        return Result(result.feature, result.outcome, _PLACES.sub("…", result.reason))

    return msgspec.structs.replace(
        run,
        clients=tuple(
            msgspec.structs.replace(client, results=tuple(map(cleaned, client.results))) for client in run.clients
        ),
    )


def load(path: Path) -> Run:
    """A run from its file."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def encode(run: Run) -> bytes:
    """A run as it is kept: one line for each bit that can be compared by eye."""
    return msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n"
