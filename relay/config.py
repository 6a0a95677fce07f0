"""What ``relay serve`` is told by flags, environment and ``relay.toml``, as one checked value."""

from __future__ import annotations

import tomllib

import msgspec

from relay.app import App, check_keys
from relay.errors import UsageError


class ServerConfig(msgspec.Struct, frozen=True):
    """Where to listen. ``prefix`` is put before ``/app`` and ``/apps``."""

    host: str = "127.0.0.1"
    port: int = 6001
    prefix: str = ""


class Config(msgspec.Struct, frozen=True):
    """One server with its Apps."""

    server: ServerConfig
    apps: tuple[App, ...]


def parse_config(text: str) -> Config:
    """The configuration in a TOML text: an optional ``[server]`` table and ``[[apps]]`` tables.

    Raises :class:`UsageError` naming the nearest valid key for one that is unknown.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}") from None
    check_keys(document, ("server", "apps"), "")
    server = document.get("server", {})
    if not isinstance(server, dict):
        raise UsageError(f"server: should be a table, got {type(server).__name__}")
    check_keys(server, ServerConfig.__struct_fields__, "server: ")
    try:
        where = msgspec.convert(server, ServerConfig)
    except msgspec.ValidationError as error:
        raise UsageError(f"server: {error}") from None
    if not 0 <= where.port <= 65535:
        raise UsageError(f"server: port is a number from 0 to 65535, got {where.port}")
    return Config(where, App.from_tables(document.get("apps")))
