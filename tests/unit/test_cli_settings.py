"""`relay serve`: each field of App is a flag of the same name, and flags win over the file."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from relay import App, WebhookEndpoint
from relay.cli import build_parser, configuration
from relay.cli.parser import COUNTS, SWITCHES
from tests.integration.wire import websocket
from tests.unit.command import APP, CREDENTIALS, port_in, run, sentence, serving

KEY = base64.b64encode(bytes(32)).decode()
OTHERS = {
    "allowed_origins": (["--allowed-origin", "https://a.example"], ("https://a.example",)),
    "encryption_master_key": (["--encryption-master-key", KEY], KEY),
    "slow_consumers": (["--slow-consumers", "latest_only"], "latest_only"),
    "flush_interval": (["--flush-interval", "0.5"], 0.5),
    "offline_grace": (["--offline-grace", "0"], 0),
    "webhooks": (
        ["--webhook", "https://a.example/w", "--webhook", "http://b.example"],
        (WebhookEndpoint("https://a.example/w"), WebhookEndpoint("http://b.example")),
    ),
}
NO_FLAGS = {"id", "key", "secret", "enabled"}
"""Credentials have flags of their own; a server for a disabled App serves nobody."""


def app_of(*flags: str | Path) -> App:
    [app] = configuration(build_parser().parse_args(["serve", *map(str, flags)])).apps
    return app


def test_every_field_of_an_app_is_a_flag():
    assert {*SWITCHES, *COUNTS, *OTHERS} == set(App.__struct_fields__) - NO_FLAGS


@pytest.mark.parametrize("field", SWITCHES)
def test_switch_turns_its_field_on_and_off(field):
    flag = field.replace("_", "-")
    assert getattr(app_of(*CREDENTIALS), field) is (field in ("user_authentication", "webhook_private_addresses"))
    assert getattr(app_of(*CREDENTIALS, f"--{flag}"), field) is True
    assert getattr(app_of(*CREDENTIALS, f"--no-{flag}"), field) is False


@pytest.mark.parametrize("field", COUNTS)
def test_count_is_the_field_of_that_name(field, tmp_path):
    toml = tmp_path / "relay.toml"
    toml.write_text(f"{APP}{field} = 7\n")
    assert getattr(app_of("--config", toml), field) == 7
    assert getattr(app_of("--config", toml, "--" + field.replace("_", "-"), "3"), field) == 3


@pytest.mark.parametrize("field", OTHERS)
def test_other_setting_is_the_field_of_that_name(field):
    flags, value = OTHERS[field]
    assert getattr(app_of(*CREDENTIALS, *flags), field) == value


def test_defaults_that_the_help_tells_are_those_of_app():
    app = App(id="1", key="k", secret="s")
    for field, (_, told) in COUNTS.items():
        if "default: " in told:
            assert told.endswith(f"(default: {getattr(app, field)})")


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "\u00b2"])
def test_count_that_cannot_be_is_told_what_could(capsys, field, value):
    flag = "--" + field.replace("_", "-")
    code, err = run(capsys, "serve", *CREDENTIALS, f"{flag}={value}")
    told = f"argument {flag}: should be a whole number above 0, got {value!r}"
    assert (code, told in err.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--allowed-origin", "*"], "App.allowed_origins must hold what browsers send, "),
        (["--allowed-origin", "https://a.example/"], "got 'https://a.example/'"),
        (["--forwarded-from", "nginx"], "forwarded_from takes addresses, networks such as '10.0.0.0/8', and 'unix'"),
    ],
)
def test_flag_that_cannot_be_is_one_sentence(capsys, flags, told):
    assert told in sentence(run(capsys, "serve", "--port", "0", *CREDENTIALS, *flags))


def test_master_key_that_cannot_be_is_not_repeated(capsys):
    sentence(run(capsys, "serve", *CREDENTIALS, "--encryption-master-key", "hush-hush"))


def test_misspelt_new_flag_is_told_the_nearest(capsys):
    assert run(capsys, "serve", *CREDENTIALS, "--tls-crt", "x")[1].endswith("did you mean --tls-cert?\n")


async def test_one_connection_too_many_is_closed_with_4004():
    with serving("--port", "0", *CREDENTIALS, "--max-connections", "1") as (_, line):
        async with websocket(port_in(line), "/app/app-key?protocol=7") as first:
            assert (await first.event())["event"] == "pusher:connection_established"
            async with websocket(port_in(line), "/app/app-key?protocol=7") as second:
                assert (await second.event())["data"]["code"] == 4004


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_bound_of_clients_over_http_that_cannot_be_is_told_what_could(capsys, value):
    code, err = run(capsys, "serve", *CREDENTIALS, f"--max-fallback-sessions={value}")
    told = f"argument --max-fallback-sessions: should be a whole number above 0, got {value!r}"
    assert (code, told in err.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize("value", ["0", "-1"])
def test_bound_of_clients_over_http_in_the_file_is_checked_too(capsys, tmp_path, value):
    toml = tmp_path / "relay.toml"
    toml.write_text(f"[server]\nport = 0\nmax_fallback_sessions = {value}\n{APP}")
    told = f"max_fallback_sessions should be a whole number above 0, got {value}"
    assert told in sentence(run(capsys, "serve", "--config", str(toml)))


async def test_refused_subscribe_is_also_told_as_a_subscription_error():
    with serving("--port", "0", *CREDENTIALS, "--subscription-errors") as (_, line):
        async with websocket(port_in(line), "/app/app-key?protocol=7") as client:
            await client.event()
            client.send('{"event":"pusher:subscribe","data":{"channel":"private-room"}}')
            events = {(await client.event())["event"] for _ in range(2)}
            assert events == {"pusher:error", "pusher:subscription_error"}


async def test_client_without_tls_is_closed_with_4000():
    with serving("--port", "0", *CREDENTIALS, "--tls-only") as (_, line):
        async with websocket(port_in(line), "/app/app-key?protocol=7") as client:
            assert (await client.event())["data"]["code"] == 4000
