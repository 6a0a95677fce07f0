"""The flags of the command line."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from relay import __version__
from relay.backlog import POLICIES
from relay.cli.remote import add_remote
from relay.endpoint import WebhookEndpoint
from relay.errors import UsageError

SWITCHES = {
    "client_events": "let clients send client- events (default: no)",
    "user_authentication": "let clients sign in as users (default: yes)",
    "watchlists": "tell users when those on their watchlist come online and go offline (default: no)",
    "subscription_counts": "tell the subscribers of a channel how many they are (default: no)",
    "subscription_errors": "also send pusher:subscription_error after a refused subscribe (default: no)",
    "webhook_private_addresses": "send webhooks to addresses that are not public, too (default: yes)",
    "tls_only": "close clients that come without TLS with 4000 (default: no)",
}
"""Fields of App that a flag turns on, and the same flag with ``--no-`` off."""

COUNTS = {
    "activity_timeout": ("SECONDS", "silence after which a client is pinged (default: 120)"),
    "pong_timeout": ("SECONDS", "time a pinged client has to answer (default: 30)"),
    "authorized_within": ("SECONDS", "time to sign in or to enter a private channel; else closed with 4009"),
    "max_connections": ("CONNECTIONS", "connections at once of one App; one more is closed with 4004"),
    "max_backlog": ("BYTES", "bytes that may wait for one client"),
    "max_backlog_frames": ("FRAMES", "frames that may wait for one client"),
    "max_message_bytes": ("BYTES", "one frame of a client (default: 262144)"),
    "max_event_bytes": ("BYTES", "data of one event (default: 10240)"),
    "max_event_channels": ("CHANNELS", "channels one event may go to (default: 100)"),
    "max_batch": ("EVENTS", "events in one batch (default: 10)"),
    "max_members": ("USERS", "users in one presence channel (default: 100)"),
    "max_user_id": ("CHARACTERS", "a user id (default: 128)"),
    "max_user_info_bytes": ("BYTES", "what is told about a user (default: 1024)"),
    "max_subscriptions": ("CHANNELS", "channels of one connection (default: 10000)"),
    "max_watchlist": ("USERS", "users on one watchlist (default: 100)"),
    "rest_rate": ("CALLS", "REST calls a second; one more is answered with 429"),
    "client_event_rate": ("EVENTS", "client events one connection may send a second (default: 10)"),
    "cache_ttl": ("SECONDS", "time that the last event of a cache channel is kept (default: 1800)"),
    "max_cached_channels": ("CHANNELS", "cache channels whose last event is kept (default: 10000)"),
    "max_cached_bytes": ("BYTES", "all events kept for cache channels (default: 16777216)"),
}
"""Fields of App that are whole numbers above 0."""


SECONDS = {
    "flush_interval": (1, "to gather events of one client for (default: 0)"),
    "offline_grace": (60, "that a user without a connection still counts as online (default: 2)"),
}
"""Fields of App that are seconds up to so many, fractions too."""


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
    serve.add_argument("--config", type=Path, metavar="FILE", help="a TOML file with [server], [cluster] and [[apps]]")
    serve.add_argument("--app-id", metavar="ID", help="digits only, since some SDKs take nothing else")
    serve.add_argument("--key", help="the App's public key")
    serve.add_argument("--secret", help="the App's secret")
    _add_listening(serve.add_argument_group("where it listens, and to whom"))
    _add_settings(serve.add_argument_group("settings of every App"))
    add_remote(commands)
    bench = commands.add_parser("bench", add_help=False, help="measure Relay beside its peers, in a checkout of Relay")
    bench.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _add_listening(group: argparse._ArgumentGroup) -> None:
    """Flags that stand for fields of ServerConfig."""
    group.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    group.add_argument("--port", type=_port, help="port to listen on, 0 for any free one (default: 6001)")
    unix = "Unix socket to listen on, instead of an address unless --host or --port is given too"
    group.add_argument("--unix", metavar="PATH", help=unix)
    group.add_argument("--prefix", help="path before /app and /apps, such as /realtime")
    group.add_argument("--tls-cert", metavar="FILE", help="certificate and its chain (PEM), read again on SIGHUP")
    group.add_argument("--tls-key", metavar="FILE", help="private key of the certificate (PEM)")
    trusted = "a proxy whose X-Forwarded-For and X-Forwarded-Proto count: an address, a network, or 'unix'; repeatable"
    fallbacks = "serve clients that cannot use WebSockets over HTTP, below /pusher (default: yes, with one worker)"
    group.add_argument("--fallbacks", action=argparse.BooleanOptionalAction, default=None, help=fallbacks)
    over_http = "clients over HTTP at once; one more is closed with 4100 (default: 10000)"
    group.add_argument("--max-fallback-sessions", type=_count, metavar="CLIENTS", help=over_http)
    group.add_argument("--workers", type=_count, metavar="N", help="processes that share the address (default: 1)")
    cluster = (
        "engine that links this hub to other nodes: redis://HOST:PORT or nats://HOST:PORT; RELAY_CLUSTER_URL hides a"
        " password in it from others on this machine"
    )
    group.add_argument("--cluster", metavar="URL", help=cluster)
    prefix = "what all names in the engine begin with, so that clusters may share one (default: relay)"
    group.add_argument("--cluster-prefix", metavar="PREFIX", help=prefix)
    hold = "events that wait, a minute at most, while the engine is away (default: none)"
    group.add_argument("--hold", type=_count, metavar="EVENTS", help=hold)
    metrics = "serve /metrics, for Prometheus (default: where the prometheus extra is installed)"
    group.add_argument("--metrics", action=argparse.BooleanOptionalAction, default=None, help=metrics)
    console = "serve /console to whoever has this token; RELAY_CONSOLE_TOKEN hides it from others on this machine"
    group.add_argument("--console-token", metavar="TOKEN", help=console)
    drain = "over which clients are sent away at the end (default: 10)"
    group.add_argument("--drain", type=partial(_seconds, most=3600), metavar="SECONDS", help=drain)
    debug = "tell clients and callers why exactly they were refused; never where strangers can see it"
    group.add_argument("--debug", action=argparse.BooleanOptionalAction, default=None, help=debug)
    group.add_argument("--forwarded-from", action="append", metavar="ADDRESS", help=trusted)
    per_address = "connections at once from one address; one more is closed with 4004"
    group.add_argument("--max-connections-per-address", type=_count, metavar="CONNECTIONS", help=per_address)


def _add_settings(group: argparse._ArgumentGroup) -> None:
    """Flags that stand for fields of every App."""
    for field, told in SWITCHES.items():
        group.add_argument(_flag(field), action=argparse.BooleanOptionalAction, default=None, help=told)
    origins = "let only pages of this origin in, such as https://example.com; repeatable"
    group.add_argument("--allowed-origin", action="append", dest="allowed_origins", metavar="URL", help=origins)
    slow = "what becomes of clients that do not keep up (default: disconnect)"
    group.add_argument("--slow-consumers", choices=POLICIES, help=slow)
    master = "base64 of 32 bytes that the secrets of private-encrypted- channels are made from"
    group.add_argument("--encryption-master-key", metavar="BASE64", help=master)
    webhook = "tell this receiver what happens, as webhooks; repeatable (more settings: [[apps.webhooks]] in the file)"
    group.add_argument("--webhook", action="append", dest="webhooks", type=_webhook, metavar="URL", help=webhook)
    for field, (most, told) in SECONDS.items():
        group.add_argument(_flag(field), type=partial(_seconds, most=most), metavar="SECONDS", help=told)
    for field, (unit, told) in COUNTS.items():
        group.add_argument(_flag(field), type=_count, metavar=unit, help=told)


def _webhook(url: str) -> WebhookEndpoint:
    try:
        return WebhookEndpoint(url)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number above 0, got {text!r}")
    return int(text)


def _seconds(text: str, most: int) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= most:
        raise argparse.ArgumentTypeError(f"should be a number of seconds from 0 to {most}, got {text!r}")
    return seconds
