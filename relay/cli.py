"""``relay serve``: a hub of its own, for programs that do not embed one. ``relay bench``: how fast it is here."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from relay import __version__
from relay.app import App
from relay.backlog import POLICIES
from relay.config import Config, ServerConfig, parse_config
from relay.errors import UsageError
from relay.hub import Hub

if TYPE_CHECKING:
    from aiohttp import web

_CREDENTIALS = ("app_id", "key", "secret")
_SETTINGS = ("client_events", "slow_consumers", "max_backlog", "max_backlog_frames", "flush_interval")
"""Flags that stand for fields of every App."""

_SHUTDOWN_SECONDS = 10.0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="relay", description="A Pusher-compatible realtime hub.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"relay {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        allow_abbrev=False,
        help="run a hub",
        description="Run a hub. The App comes from flags, from --config, or from the environment: PUSHER_URL, or"
        " PUSHER_APP_ID, PUSHER_KEY and PUSHER_SECRET.",
    )
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="port to listen on, 0 for any free one (default: 6001)")
    serve.add_argument("--prefix", help="path before /app and /apps, such as /realtime")
    serve.add_argument("--config", type=Path, metavar="FILE", help="a TOML file with [server] and [[apps]]")
    serve.add_argument("--app-id", metavar="ID", help="digits only, since some SDKs take nothing else")
    serve.add_argument("--key", help="the App's public key")
    serve.add_argument("--secret", help="the App's secret")
    serve.add_argument("--client-events", action="store_true", default=None, help="let clients send client- events")
    slow = "what becomes of clients that do not keep up (default: disconnect)"
    serve.add_argument("--slow-consumers", choices=POLICIES, help=slow)
    serve.add_argument("--max-backlog", type=_count, metavar="BYTES", help="bytes that may wait for one client")
    serve.add_argument(
        "--max-backlog-frames", type=_count, metavar="FRAMES", help="frames that may wait for one client"
    )
    serve.add_argument(
        "--flush-interval", type=_seconds, metavar="SECONDS", help="to gather events of one client for (default: 0)"
    )
    bench = commands.add_parser("bench", add_help=False, help="measure Relay beside its peers, in a checkout of Relay")
    bench.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number above 0, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 1:
        raise argparse.ArgumentTypeError(f"should be a number of seconds from 0 to 1, got {text!r}")
    return seconds


def configuration(options: argparse.Namespace) -> Config:
    """What the parsed command line asks for. Raises :class:`UsageError`."""
    given = {name: getattr(options, name) for name in _CREDENTIALS if getattr(options, name)}
    if options.config is not None:
        if given:
            raise UsageError("--config brings its own Apps: leave out --app-id, --key and --secret")
        try:
            config = parse_config(options.config.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise UsageError(f"{options.config}: not UTF-8 text") from None
        except OSError as error:
            raise UsageError(f"cannot read {options.config}: {error.strerror}") from None
        except UsageError as error:
            raise UsageError(f"{options.config}: {error}") from None
    elif given:
        if missing := [f"--{name.replace('_', '-')}" for name in _CREDENTIALS if name not in given]:
            raise UsageError(f"missing {', '.join(missing)}: an App needs --app-id, --key and --secret")
        config = Config(ServerConfig(), (App(id=given["app_id"], key=given["key"], secret=given["secret"]),))
    else:
        config = Config(ServerConfig(), (App.from_env(),))
    settings = {name: value for name in _SETTINGS if (value := getattr(options, name)) is not None}
    apps = tuple(msgspec.structs.replace(app, **settings) for app in config.apps)
    flags = {name: value for name in ("host", "port", "prefix") if (value := getattr(options, name)) is not None}
    return Config(msgspec.structs.replace(config.server, **flags), apps)


def _serve(config: Config) -> int:
    try:
        from aiohttp import web

        from relay_transports.aiohttp import setup
    except ImportError as error:
        raise UsageError(f"'relay serve' needs the aiohttp extra: pip install 'relay-hub[aiohttp]' ({error})") from None
    application = web.Application()
    setup(application, Hub(*config.apps), prefix=config.server.prefix, alone=True)
    ids = ", ".join(app.id for app in config.apps)
    return serve_application(application, config.server, f"apps: {ids}")


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


def serve_application(application: web.Application, server: ServerConfig, what: str) -> int:
    """Run ``application`` until SIGINT or SIGTERM; prints one line when it listens. Returns the exit code."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(application, server, what))


async def _run(application: web.Application, server: ServerConfig, what: str) -> int:
    from aiohttp import web

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, server.host, server.port, backlog=1024).start()
        host = "localhost" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104 - told, not done
        host = f"[{host}]" if ":" in host else host
        print(f"Relay listens on http://{host}:{runner.addresses[0][1]}{server.prefix} ({what})", flush=True)
        await stop.wait()
    except OSError as error:
        print(f"relay: cannot listen on {server.host}:{server.port}: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        await runner.cleanup()
    return 0


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed, else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
