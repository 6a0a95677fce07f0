"""The command line: run every client against a server, show what came of it, write the page."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from relay import __version__
from relay.errors import UsageError
from tests.conformance import catalogue, features, page, results, runtime, target
from tests.conformance.clients import relay_client
from tests.conformance.features import Feature
from tests.conformance.results import ClientResult, Outcome, Result, Run
from tests.conformance.running import Client, Runtime, World, check
from tests.conformance.site import serving
from tests.conformance.target import Target

_DESCRIPTION = """\
Let clients of all kinds judge a Pusher-compatible server: Relay on this machine, or the server at --url. A run of all
clients against Relay writes docs/conformance.md; a run against another server writes a table, and JSON with --json.
"""
_COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.SKIPPED: "yellow", Outcome.LACKS: "dim"}

console = Console()


def _parser(clients: Sequence[Client], known: Mapping[str, Feature]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=_DESCRIPTION)
    names = ", ".join(client.name for client in clients)
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"a part of a name is enough: {names}")
    parser.add_argument(
        "--url",
        default=os.environ.get("CONFORMANCE_URL", ""),
        help="the App to test, https://KEY:SECRET@HOST/apps/ID (default: CONFORMANCE_URL, or Relay itself)",
    )
    told = ", ".join(f"{feature.name} ({feature.needs})" for feature in known.values() if feature.needs)
    parser.add_argument("--only", action="append", default=[], metavar="FEATURE", help="check nothing else; repeatable")
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="FEATURE=REASON",
        help=f"leave out what the server does not do; repeatable. These need a setting of the server: {told}",
    )
    parser.add_argument("--page", action="store_true", help="run nothing: write the page anew from the last results")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run; the exit code is 1 when a check failed that should pass."""
    known, clients = features.load(), catalogue.load()
    parser = _parser(clients, known)
    options = parser.parse_args(arguments)
    if options.page:
        return page.rewrite()
    skip = dict(_reason(text) for text in options.skip)
    if unknown := [name for name in (*skip, *options.only) if name not in known]:
        parser.error(f"no feature {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [one for one in clients if not options.clients or any(part in one.name for part in options.clients)]
    if not chosen:
        parser.error(f"no client {', '.join(options.clients)}; there are {', '.join(one.name for one in clients)}")
    checks = [feature for feature in known.values() if not options.only or feature.name in options.only]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        try:
            server: Target = (
                target.Remote(options.url) if options.url else ending.enter_context(target.local(Path(folder)))
            )
        except UsageError as error:
            parser.error(str(error))
        installed = runtime.Installed(ending.enter_context(runtime.chromium()))
        found = run(server, chosen, checks, installed, skip)
    _show(found, known)
    if options.json is not None:
        options.json.write_bytes(results.encode(found))
    if not options.url and not options.only and not options.skip:
        page.keep(found)
        console.print(f"written: {page.PAGE.relative_to(results.ROOT)}", markup=False)
    failed = sum(client.count(Outcome.FAILED) for client in found.clients)
    return 1 if failed or not found.clients else 0


def _reason(text: str) -> tuple[str, str]:
    name, _, reason = text.partition("=")
    return name, reason or "left out by whoever ran this"


def run(
    server: Target, clients: Iterable[Client], checks: Sequence[Feature], installed: Runtime, skip: Mapping[str, str]
) -> Run:
    """Every client that is installed, against ``server``; told line by line."""
    found = []
    with serving(server.app) as site:
        for client in clients:
            if (missing := client.missing(installed)) is not None:
                console.print(f"{client.name} is left out: {missing}", style="yellow", markup=False)
                if os.environ.get("CI"):
                    sys.exit(f"{client.name} is left out: {missing}")
                continue
            version = client.version(installed)
            world = World(server, site, client, installed, relay_client.CLIENT)
            judged = tuple(_judge(client, feature, world, skip) for feature in checks if feature.kind is client.kind)
            result = ClientResult(client.name, client.kind.value, client.runs_in, version, client.official, judged)
            passed, tried = result.count(Outcome.PASSED), result.count(Outcome.PASSED) + result.count(Outcome.FAILED)
            console.print(f"{client.name} ({version}): {passed} of {tried}", style="bold", markup=False)
            found.append(result)
    name = f"Relay {__version__}" if server.ours else server.address.host
    return Run(dt.datetime.now(dt.UTC).date().isoformat(), name, tuple(found))


def _judge(client: Client, feature: Feature, world: World, skip: Mapping[str, str]) -> Result:
    if (why := client.lacks.get(feature.name)) is not None:
        return Result(feature.name, Outcome.LACKS, why)
    result = check(feature, world, skip)
    needs = f" (a server does this only with: {feature.needs})" if feature.needs and not world.target.ours else ""
    told = "" if result.outcome is Outcome.PASSED else f": {result.reason}{needs}"
    line = f"  {result.outcome.value:7} {result.seconds:4.1f} s  {feature.title}{told}"
    console.print(line, style=_COLOURS[result.outcome], markup=False, highlight=False)
    return result


def _show(found: Run, known: Mapping[str, Feature]) -> None:
    """One row a client, and what failed."""
    table = Table("client", "version", "passed", "failed", "skipped", "not in the client", title=found.server)
    for client in found.clients:
        counts = (str(client.count(outcome)) for outcome in Outcome)
        table.add_row(client.name, client.version, *counts)
    console.print(table)
    for client in found.clients:
        for result in client.of(Outcome.FAILED):
            line = f"{client.name} {known[result.feature].title}: {result.reason}"
            console.print(line, style=_COLOURS[Outcome.FAILED], markup=False, highlight=False, soft_wrap=True)
