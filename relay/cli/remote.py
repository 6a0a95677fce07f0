"""Commands that ask a hub which runs somewhere: their flags, whom they ask, and what their exit codes mean."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from relay.errors import BadAnswer, HostError, RelayError, RequestError, Unauthorized, UsageError
from relay.explain.explanation import printable

if TYPE_CHECKING:
    from relay_transports.aiohttp import RestClient

FAILED, REFUSED = 1, 3
"""Exit codes: the host was not reached or failed; it refused. 2 is a wrong call, 0 is success, Ctrl-C too."""

_CREDENTIALS = (
    "Credentials come from --url, or from the environment: PUSHER_URL, or PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET and"
    " PUSHER_HOST, with PUSHER_PORT and PUSHER_SCHEME. Exit codes: 0 done, 1 no answer, 2 wrong call, 3 refused."
)
_ONLY_RELAY = ("tail", "stats")
"""Commands that only a Relay hub understands."""

_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def add_remote(commands: _Commands[argparse.ArgumentParser]) -> None:
    """The flags of all of them."""
    tail = _command(commands, "tail", "show what happens in a hub, until Ctrl-C")
    tail.add_argument(
        "--type", action="append", dest="types", default=[], metavar="TYPE", help="type of facts; repeatable"
    )
    tail.add_argument("--channel", metavar="PATTERN", help="only what is about these channels, such as 'private-*'")
    channels = _command(commands, "channels", "list the channels that somebody is in")
    channels.add_argument("--prefix", default="", help="only channels whose names begin with this")
    counts = "count users and subscriptions, too"
    channels.add_argument("--info", action="store_true", help=counts)
    trigger = _command(commands, "trigger", "publish one event")
    trigger.add_argument("channel", metavar="CHANNEL", help="where to")
    trigger.add_argument("event", metavar="EVENT", help="the event's name")
    trigger.add_argument("data", metavar="DATA", help="what subscribers get, usually JSON; - reads it from stdin")
    trigger.add_argument("--socket-id", metavar="ID", help="a connection that does not get it")
    stats = _command(commands, "stats", "show what a hub holds and what happened to it")
    stats.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C")


def _command(commands: _Commands[argparse.ArgumentParser], name: str, told: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, allow_abbrev=False, help=told, description=f"{told[0].upper()}{told[1:]}. {_CREDENTIALS}"
    )
    url = "https://KEY:SECRET@HOST/apps/ID; others on this machine can see it, PUSHER_URL they cannot"
    parser.add_argument("--url", help=url)
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")
    return parser


def run_remote(options: argparse.Namespace) -> int:
    """Do what ``options`` say; returns the exit code. Raises :class:`UsageError` for a wrong call."""
    try:
        from relay.cli.asking import ask
        from relay_transports.aiohttp import RestClient
    except ImportError as error:
        raise UsageError(
            f"'relay {options.command}' needs the aiohttp extra: pip install 'relay-hub[aiohttp]' ({error})"
        ) from None
    client = _client(RestClient, options, os.environ)
    try:
        asyncio.run(ask(client, options))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # whoever read has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UsageError:
        raise
    except RelayError as error:
        code, text = _told(error, options.command)
        print(f"relay: {printable(text, 500)}", file=sys.stderr)
        return code
    return 0


def _client(kind: type[RestClient], options: argparse.Namespace, environ: Mapping[str, str]) -> RestClient:
    if options.url:
        return kind.from_url(options.url, retries=0)
    return kind.from_env(environ, retries=0)


def _told(error: RelayError, command: str) -> tuple[int, str]:
    """Exit code and sentence."""
    foreign = isinstance(error, BadAnswer) or (isinstance(error, RequestError) and error.status in (404, 405, 501))
    if command in _ONLY_RELAY and foreign and "Unknown app id" not in str(error):
        return REFUSED, f"the host does not know '{command}': it is no Relay hub, or an older one ({error})"
    if isinstance(error, Unauthorized):
        return REFUSED, f"the host does not accept these credentials: {error}"
    if isinstance(error, RequestError):
        return REFUSED, f"the host refused: {error}"
    assert isinstance(error, HostError), error
    return FAILED, str(error)
