"""`relay`: what flags, environment and file make it do, and how it says no."""

from __future__ import annotations

import hmac
import json
import re
import signal
import socket
from pathlib import Path

import pytest

import relay
from relay.cli import build_parser, configuration, main
from tests.integration.wire import websocket
from tests.unit.command import APP, CREDENTIALS, run, sentence, serving

URL = "https://app-key:hush-hush@host/apps/1001"
FORM = "https://KEY:SECRET@HOST/apps/APP_ID"
VARIABLES = ("PUSHER_URL", "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", "PUSHER_APP_KEY", "PUSHER_APP_SECRET")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No App comes from the environment unless a test puts it there."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """A file with one App; tests add to it."""
    path = tmp_path / "relay.toml"
    path.write_text(APP)
    return path


# It serves


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (CREDENTIALS, {}),
        ([], {"PUSHER_URL": URL}),
        ([], {"PUSHER_APP_ID": "1001", "PUSHER_KEY": "app-key", "PUSHER_SECRET": "hush-hush"}),
        ([], {"PUSHER_APP_ID": "1001", "PUSHER_APP_KEY": "app-key", "PUSHER_APP_SECRET": "hush-hush"}),
        (CREDENTIALS, {"PUSHER_URL": "https://other:hush@host/apps/2"}),
    ],
    ids=["flags", "PUSHER_URL", "PUSHER_ variables", "Laravel's variables", "flags before the environment"],
)
def test_serve_says_where_it_listens_and_for_whom(arguments, environ):
    with serving("--port", "0", *arguments, environ=environ) as (_, line):
        assert re.fullmatch(r"Relay listens on http://127\.0\.0\.1:[1-9]\d* \(apps: 1001\)\n", line)


def test_serve_reads_server_and_all_apps_from_the_file(toml):
    second = APP.replace("1001", "1002").replace("app-key", "other-key")
    toml.write_text('[server]\nport = 0\nprefix = "/realtime"\n' + APP + second)
    with serving("--config", toml) as (_, line):
        assert re.fullmatch(r"Relay listens on http://127\.0\.0\.1:\d+/realtime \(apps: 1001, 1002\)\n", line)


def test_flags_win_over_the_file(toml):
    toml.write_text('[server]\nhost = "nowhere.invalid"\nport = 1\nprefix = "/file"\n' + APP)
    flags = ["--host", "localhost", "--port", "0", "--prefix", "/flag"]
    with serving("--config", toml, *flags) as (_, line):
        assert re.fullmatch(r"Relay listens on http://localhost:\d+/flag \(apps: 1001\)\n", line)


@pytest.mark.parametrize(("flags", "heard"), [([], False), (["--client-events"], True)])
async def test_clients_may_talk_when_the_flag_says_so(flags, heard):
    with serving("--port", "0", *CREDENTIALS, *flags) as (_, line):
        async with websocket(int(re.findall(r":(\d+)", line)[0]), "/app/app-key?protocol=7") as socket:
            socket_id = json.loads((await socket.event())["data"])["socket_id"]
            auth = "app-key:" + hmac.new(b"hush-hush", f"{socket_id}:private-room".encode(), "sha256").hexdigest()
            socket.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": "private-room", "auth": auth}}))
            assert (await socket.event())["event"] == "pusher_internal:subscription_succeeded"
            for text in '{"event":"client-hi","channel":"private-room","data":{}}', '{"event":"pusher:ping"}':
                socket.send(text)
            assert ((await socket.event())["event"] == "pusher:pong") is heard


SLOW = ["--slow-consumers", "drop_oldest", "--max-backlog", "5000", "--max-backlog-frames", "50"]


@pytest.mark.parametrize("flags", [[], [*SLOW, "--flush-interval", "0"]], ids=["file", "flags before the file"])
def test_flags_and_file_say_what_becomes_of_slow_clients(toml, flags):
    toml.write_text(APP + 'slow_consumers = "latest_only"\nmax_backlog = 9000\nflush_interval = 0.5\n')
    [app] = configuration(build_parser().parse_args(["serve", "--config", str(toml), *flags])).apps
    told = app.slow_consumers, app.max_backlog, app.max_backlog_frames, app.flush_interval
    assert told == (("drop_oldest", 5000, 50, 0.0) if flags else ("latest_only", 9000, 10_000, 0.5))


def test_encryption_master_key_comes_from_a_flag(capsys):
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    [app] = configuration(build_parser().parse_args(["serve", *CREDENTIALS, "--encryption-master-key", key])).apps
    assert app.encryption_master_key == key
    code, err = run(capsys, "serve", *CREDENTIALS, "--encryption-master-key", key[4:])
    assert (code, err.startswith("relay: App.encryption_master_key must be base64 of 32 bytes")) == (2, True)
    assert key[4:] not in err


async def test_flags_reach_the_clients():
    flags = ["--slow-consumers", "drop_oldest", "--max-backlog", "10", "--flush-interval", "0.01"]
    with serving("--port", "0", *CREDENTIALS, *flags) as (_, line):
        async with websocket(int(re.findall(r":(\d+)", line)[0]), "/app/app-key?protocol=7") as socket:
            assert (await socket.closed()).code == 4100  # the greeting is more, and may not be dropped


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("--slow-consumers", "drop", "invalid choice: 'drop' (choose from "),
        ("--max-backlog", "0", "should be a whole number above 0, got '0'"),
        ("--max-backlog-frames", "1.5", "should be a whole number above 0, got '1.5'"),
        ("--flush-interval", "2", "should be a number of seconds from 0 to 1, got '2'"),
        ("--flush-interval", "soon", "should be a number of seconds from 0 to 1, got 'soon'"),
        ("--flush-interval", "nan", "should be a number of seconds from 0 to 1, got 'nan'"),
    ],
)
def test_setting_that_cannot_be_is_told_what_could(capsys, flag, value, told):
    code, err = run(capsys, "serve", *CREDENTIALS, flag, value)
    assert (code, f"argument {flag}: {told}" in err.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_well_when_asked_to(number):
    with serving("--port", "0", *CREDENTIALS) as (process, line):
        assert line
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_version_is_told(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"relay {relay.__version__}\n"


# It says no: flags


def test_port_in_use_is_one_sentence_and_exit_code_1(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = sentence(run(capsys, "serve", "--port", str(port), *CREDENTIALS), code=1)
    assert text.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert text.lower().endswith("address already in use")


def test_unknown_host_is_one_sentence_and_exit_code_1(capsys):
    text = sentence(run(capsys, "serve", "--host", "nowhere.invalid", "--port", "0", *CREDENTIALS), code=1)
    assert text.startswith("cannot listen on nowhere.invalid:0: ")


@pytest.mark.parametrize("port", ["-1", "65536", "http", "", "6001.0", "\u00b2"])
def test_port_that_is_none_is_told_the_range(capsys, port):
    code, err = run(capsys, "serve", f"--port={port}", *CREDENTIALS)
    assert (code, err.splitlines()[-1].partition(": a port")[2]) == (2, f" is a number from 0 to 65535, got {port!r}")


@pytest.mark.parametrize(("flag", "meant"), [("--secert", "--secret"), ("--prot", "--port"), ("--app_id", "--app-id")])
def test_misspelt_flag_is_told_the_nearest_and_not_its_value(capsys, flag, meant):
    code, err = run(capsys, "serve", *CREDENTIALS, flag, "hush-hush")
    assert (code, meant in err.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize(("arguments", "told"), [([], "COMMAND"), (["sreve"], "serve")])
def test_wrong_command_is_told_what_there_is(capsys, arguments, told):
    code, err = run(capsys, *arguments)
    assert (code, told in err.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["--app-id", "1001"], "--key, --secret"),
        (["--secret", "hush-hush"], "--app-id, --key"),
        (["--app-id", "1001", "--key", "app-key", "--secret", ""], "--secret"),
    ],
)
def test_half_an_app_in_flags_is_told_the_missing_half(capsys, given, missing):
    text = sentence(run(capsys, "serve", *given))
    assert text == f"missing {missing}: an App needs --app-id, --key and --secret"


def test_no_app_at_all_is_told_where_one_may_come_from(capsys):
    text = sentence(run(capsys, "serve"))
    assert text == f"environment lacks PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET: set them, or PUSHER_URL={FORM}"


@pytest.mark.parametrize("prefix", ["realtime", "/realtime/", "/", "/{key}", "/{"])
def test_prefix_that_cannot_be_is_told_the_right_form(capsys, prefix):
    text = sentence(run(capsys, "serve", "--port", "0", "--prefix", prefix, *CREDENTIALS))
    assert text.startswith("prefix should look like '/realtime'")


def test_key_that_cannot_be_is_told_why(capsys):
    text = sentence(run(capsys, "serve", "--app-id", "1001", "--key", "app key", "--secret", "hush-hush"))
    assert text == "App.key stands in URLs: no slash, space or control character, got 'app key'"


# It says no: environment


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "app-key:hush-hush@host/apps/1001",
        "ftp://app-key:hush-hush@host/apps/1001",
        "https://app-key:hush-hush@host",
        "https://app-key@host/apps/1001",
        "https://app-key:xx/hush-hush@host/apps/1001",
        "https://app-key:hush[hush@host/apps/1001",
    ],
)
def test_bad_url_is_told_the_right_form(capsys, monkeypatch, url):
    monkeypatch.setenv("PUSHER_URL", url)
    assert FORM in sentence(run(capsys, "serve"))


def test_half_an_environment_is_told_the_missing_half(capsys, monkeypatch):
    monkeypatch.setenv("PUSHER_APP_ID", "1001")
    monkeypatch.setenv("PUSHER_SECRET", "hush-hush")
    assert sentence(run(capsys, "serve")) == f"environment lacks PUSHER_KEY: set them, or PUSHER_URL={FORM}"


# It says no: file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[sever]\n" + APP, "unknown key 'sever'; did you mean 'server'?"),
        ("[server]\nprot = 1\n" + APP, "server: unknown key 'prot'; did you mean 'port'?"),
        (APP + "max_batches = 1", "apps[0]: unknown key 'max_batches'; did you mean 'max_batch'?"),
        (APP + "client_events = 'yes'", "apps[0]: Expected `bool`, got `str` - at `$.client_events`"),
        (APP + "max_batch = 0", "apps[0]: App.max_batch must be a whole number above 0, got 0"),
        ("", "configuration needs at least one [[apps]] table with id, key and secret"),
        (APP + "= 5", "not TOML: Invalid statement (at line 5, column 1)"),
    ],
)
def test_mistake_in_the_file_is_told_with_the_file_and_the_nearest_valid_thing(capsys, toml, text, says):
    toml.write_text(text)
    assert sentence(run(capsys, "serve", "--config", toml)) == f"{toml}: {says}"


def test_two_apps_with_one_id_are_refused(capsys, toml):
    toml.write_text(APP + APP)
    text = sentence(run(capsys, "serve", "--port", "0", "--config", toml))
    assert text == "two Apps with id '1001' or key 'app-key': both must be unique in a hub"


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_port_in_the_file_that_is_none_is_told_the_range(capsys, toml, port):
    """Uvloop takes 70000 for 4464, and asyncio raises OverflowError."""
    toml.write_text(f"[server]\nport = {port}\nhost = 'nowhere.invalid'\n{APP}")
    assert f"0 to 65535, got {port}" in sentence(run(capsys, "serve", "--config", toml))


def test_file_that_is_no_utf8_is_refused(capsys, toml):
    toml.write_bytes(APP.encode() + b"# caf\xe9\n")
    assert sentence(run(capsys, "serve", "--config", toml)).startswith(f"{toml}: ")


def test_file_is_utf8_whatever_the_locale_says(toml):
    toml.write_text(APP + "# caf\u00e9\n", encoding="utf-8")
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with serving("--port", "0", "--config", toml, environ=environ) as (_, line):
        assert line.startswith("Relay listens on ")


@pytest.mark.parametrize(("name", "reason"), [("nothing.toml", "No such file or directory"), (".", "Is a directory")])
def test_file_that_cannot_be_read_is_named(capsys, tmp_path, name, reason):
    path = tmp_path / name
    assert sentence(run(capsys, "serve", "--config", path)) == f"cannot read {path}: {reason}"


def test_file_and_credentials_together_are_refused(capsys, toml):
    text = sentence(run(capsys, "serve", "--config", toml, "--key", "other"))
    assert text == "--config brings its own Apps: leave out --app-id, --key and --secret"
