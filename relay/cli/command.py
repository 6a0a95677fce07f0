"""What each command does, and how a wrong call is told."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress

from relay.cli.engines import cluster_of
from relay.cli.options import configuration
from relay.cli.parser import build_parser
from relay.cli.remote import run_remote
from relay.cli.serving import serve_application
from relay.cli.workers import LIFELINE
from relay.config import Config
from relay.errors import UsageError
from relay.hub import Hub

_DEBUG = "relay: --debug tells everybody why exactly they are refused, attackers too: never use it in production"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 2 for a wrong call, with one sentence on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["bench"]:  # whose arguments are the benchmark's to read
        return _bench(given[1:])
    parser = build_parser()
    options, unknown = parser.parse_known_args(given)
    if unknown:  # argparse would repeat the value beside it, which may be a secret
        parser.error(_told(unknown[0].partition("=")[0], _flags(parser)))
    try:
        if options.command != "serve":
            return run_remote(options)
        return _serve(configuration(options))
    except UsageError as error:
        print(f"relay: {error}", file=sys.stderr)
        return 2


def _told(word: str, flags: Sequence[str]) -> str:
    if not word.startswith("-"):
        return "there is an argument that belongs to no flag"
    near = difflib.get_close_matches(word, flags, n=1)
    return f"unknown flag {word}" + (f"; did you mean {near[0]}?" if near else "")


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    """All flags of ``parser`` and of its commands."""
    flags: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        flags += action.option_strings
        if isinstance(action.choices, dict):
            flags += [flag for command in action.choices.values() for flag in _flags(command)]
    return flags


def _serve(config: Config) -> int:
    try:
        from aiohttp import web

        from relay_transports.aiohttp import add_console, add_health, add_metrics, setup
    except ImportError as error:
        raise UsageError(f"'relay serve' needs the aiohttp extra: pip install 'relay-hub[aiohttp]' ({error})") from None
    application, server = web.Application(), config.server
    if server.debug and LIFELINE not in os.environ:  # once, and not again for each worker
        print(_DEBUG, file=sys.stderr, flush=True)
    cluster = None if server.cluster is None else cluster_of(server.cluster, config.cluster)
    hub = Hub(*config.apps, cluster=cluster, hold=server.hold, debug=server.debug)
    lag = add_health(application, hub, prefix=server.prefix)
    if server.metrics is not False:
        with suppress(UsageError) if server.metrics is None else nullcontext():
            add_metrics(application, hub, prefix=server.prefix, lag=lag)
    if server.console_token is not None:
        add_console(
            application,
            hub,
            token=server.console_token,
            prefix=server.prefix,
            forwarded_from=server.forwarded_from,
        )
    setup(
        application,
        hub,
        prefix=server.prefix,
        alone=True,
        forwarded_from=server.forwarded_from,
        max_connections_per_address=server.max_connections_per_address,
        drain_over=server.drain,
        fallbacks=server.workers == 1 if server.fallbacks is None else server.fallbacks,
        max_fallback_sessions=server.max_fallback_sessions,
    )
    ids = ", ".join(app.id for app in config.apps)
    return serve_application(application, server, f"apps: {ids}")


def _bench(arguments: Sequence[str]) -> int:
    try:
        from benchmarks.harness.commands import main as measure
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "benchmarks":
            told = "the benchmarks are not in the package: clone Relay's repository and run 'make bench' there"
        else:
            told = f"'relay bench' needs the bench group: pip install --group bench ({error})"
        print(f"relay: {told}", file=sys.stderr)
        return 2
    return measure(arguments)
