"""Flags, environment and file as one checked value; flags win over the file."""

from __future__ import annotations

import argparse
import os

import msgspec

from relay.app import App
from relay.cli.parser import COUNTS, SECONDS, SWITCHES
from relay.config import Config, ServerConfig, parse_config
from relay.errors import UsageError

_CREDENTIALS = ("app_id", "key", "secret")
_SETTINGS = (*SWITCHES, "allowed_origins", "encryption_master_key", "slow_consumers", "webhooks", *SECONDS, *COUNTS)
"""Flags that stand for fields of every App."""
_LISTS = ("allowed_origins", "forwarded_from", "webhooks")
"""Flags that may be given several times."""


def configuration(options: argparse.Namespace) -> Config:
    """What the parsed command line asks for. Raises :class:`UsageError`."""
    config = _without_flags(options)
    apps = tuple(msgspec.structs.replace(app, **_given(options, _SETTINGS)) for app in config.apps)
    flags = _given(options, ServerConfig.__struct_fields__)
    server = msgspec.structs.replace(config.server, **flags)
    if server.console_token is None and (token := os.environ.get("RELAY_CONSOLE_TOKEN")):
        server = msgspec.structs.replace(server, console_token=token)
    if server.cluster is None and (url := os.environ.get("RELAY_CLUSTER_URL")):
        server = msgspec.structs.replace(server, cluster=url)
    server.check()
    cluster = dict(config.cluster)
    if options.cluster_prefix is not None:
        cluster["prefix"] = options.cluster_prefix
    if cluster and server.cluster is None:
        raise UsageError(
            f"cluster: {', '.join(cluster)} is for an engine, and none is named: add url, or --cluster redis://HOST:PORT"
        )
    return Config(server, apps, cluster)


def _without_flags(options: argparse.Namespace) -> Config:
    """The Apps, and the server as the file has it."""
    given = {name: getattr(options, name) for name in _CREDENTIALS if getattr(options, name)}
    if options.config is not None:
        if given:
            raise UsageError("--config brings its own Apps: leave out --app-id, --key and --secret")
        try:
            return parse_config(options.config.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise UsageError(f"{options.config}: not UTF-8 text") from None
        except OSError as error:
            raise UsageError(f"cannot read {options.config}: {error.strerror}") from None
        except UsageError as error:
            raise UsageError(f"{options.config}: {error}") from None
    if given:
        if missing := [f"--{name.replace('_', '-')}" for name in _CREDENTIALS if name not in given]:
            raise UsageError(f"missing {', '.join(missing)}: an App needs --app-id, --key and --secret")
        return Config(ServerConfig(), (App(id=given["app_id"], key=given["key"], secret=given["secret"]),))
    return Config(ServerConfig(), (App.from_env(),))


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> dict[str, object]:
    """The flags in ``names`` that the caller gave."""
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return {name: tuple(value) if name in _LISTS else value for name, value in given.items()}
