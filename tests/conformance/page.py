"""The page of the documentation: the last results, the protocol row by row, and who cannot be run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conformance import catalogue, features, results
from tests.conformance.features import Feature, Kind
from tests.conformance.results import ROOT, ClientResult, Outcome, Run

PAGE = ROOT / "docs" / "conformance.md"
PROTOCOL = Path(__file__).parent / "protocol.toml"
UNREACHABLE = Path(__file__).parent / "unreachable.toml"

_HEAD = """\
% Made by `make conformance` out of what it found: change tests/conformance, not this page.

# Conformance

Relay is judged by the clients and server SDKs that people use, unchanged, in every version line that is still met. One
command installs them, starts a hub, lets each do all it can do, and writes this page:

```sh
make conformance
make conformance ARGS="Pysher 'pusher-js 8.6'"
```

The same command can be aimed at any other Pusher-compatible server. It then starts nothing and writes no page, but a
table, and JSON where you want it. A check that needs a setting of the server says so below, and may be left out with
a reason. The channels and users that it makes up have random names.

```sh
make conformance URL=https://KEY:SECRET@HOST/apps/ID
make conformance URL=https://KEY:SECRET@HOST/apps/ID ARGS="--skip watchlist=unsupported --json found.json"
```

A client's deviations are what it does not have or does otherwise itself, with any server.
"""


def keep(found: Run) -> None:
    """Write the results and the page; clients that were not run this time stay as they were."""
    known = {client.name: place for place, client in enumerate(catalogue.load())}
    whole = results.without_places(found)
    if results.KEPT.exists():
        whole = whole.over(results.load(results.KEPT))
    whole = whole.ordered(known)
    results.KEPT.write_bytes(results.encode(whole))
    PAGE.write_text(render(whole))


def rewrite() -> int:
    """Write the page anew from what is kept; 0, the exit code."""
    PAGE.write_text(render(results.load(results.KEPT)))
    return 0


def render(run: Run) -> str:
    """The page, as it is when ``run`` is the last one."""
    known = features.load()
    parts = [_HEAD, *_clients(run), *_deviations(run, known), *_features(known), *_protocol(run, known), *_others()]
    return "\n".join(parts)


def _clients(run: Run) -> Iterator[str]:
    yield f"## Clients\n\n{run.server}, {run.date}.\n"
    yield "| client | version | runs in | checks passed |"
    yield "|---|---|---|---|"
    for client in run.clients:
        passed = client.count(Outcome.PASSED)
        tried = passed + client.count(Outcome.FAILED)
        official = "" if client.official else " (not Pusher's own)"
        yield f"| {client.name}{official} | {client.version} | {client.runs_in} | {passed} of {tried} |"
    yield ""


def _deviations(run: Run, known: Mapping[str, Feature]) -> Iterator[str]:
    yield "## Deviations\n"
    failed = [(client, result) for client in run.clients for result in client.of(Outcome.FAILED)]
    if failed:
        yield "These checks fail, which is a fault of Relay until something else is shown:\n"
        yield from (f"- {client.name} {known[one.feature].title}: {one.reason}" for client, one in failed)
        yield ""
    yield "No check is left out for Relay's sake. What clients do not have:\n"
    for client in run.clients:
        yield from _lacking(client, known)
    yield ""


def _lacking(client: ClientResult, known: Mapping[str, Feature]) -> Iterator[str]:
    """One line a client, features with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for result in client.of(Outcome.LACKS) + client.of(Outcome.SKIPPED):
        if not result.reason.endswith("of Laravel Echo"):
            reasons.setdefault(result.reason, []).append(f"*{known[result.feature].title}*")
    if reasons:
        told = "; ".join(f"{', '.join(titles)}: {why}" for why, titles in reasons.items())
        yield f"- {client.name}: {told}."


def _features(known: Mapping[str, Feature]) -> Iterator[str]:
    yield "## What is checked\n"
    for kind, who in (Kind.CLIENT, "A client"), (Kind.SDK, "A server SDK"):
        yield f"| {who} … | name | needs |"
        yield "|---|---|---|"
        for feature in known.values():
            if feature.kind is kind:
                needs = feature.needs or ("a server that the run starts" if feature.restarts else "")
                yield f"| {feature.title} | `{feature.name}` | {needs or ('TLS' if feature.tls else '')} |"
        yield ""


def _protocol(run: Run, known: Mapping[str, Feature]) -> Iterator[str]:
    yield "## The protocol, row by row\n"
    for section in rows():
        yield f"### {section['title']}\n"
        yield "| what the protocol asks for | Relay | shown by, or reason |"
        yield "|---|---|---|"
        for row in section["rows"]:
            yield f"| {row['says']} | {_answer(row, run, known)} |"
        yield ""


def _answer(row: Mapping[str, str], run: Run, known: Mapping[str, Feature]) -> str:
    if "deviates" in row:
        return f"deviates | {row['deviates']}"
    shown = row["shown"]
    if shown not in known:
        return f"delivers | `{shown}`"
    judged = [one.outcome for client in run.clients for one in client.results if one.feature == shown]
    passed, failed = judged.count(Outcome.PASSED), judged.count(Outcome.FAILED)
    return f"{'fails' if failed else 'delivers'} | `{shown}`, by {passed} of {passed + failed} clients that have it"


def _others() -> Iterator[str]:
    yield "## Who is not run\n"
    yield "The frames and requests of these are played, with their quirks, in `tests/integration/test_quirks.py`"
    yield "and `tests/integration/test_server_quirks.py`.\n"
    yield "| client | why |"
    yield "|---|---|"
    for client in tomllib.loads(UNREACHABLE.read_text())["client"]:
        yield f"| {client['name']} | {client['why']} |"
    yield ""


def rows() -> list[dict[str, Any]]:
    """The sections of the protocol with their rows."""
    sections: list[dict[str, Any]] = tomllib.loads(PROTOCOL.read_text())["section"]
    return sections
