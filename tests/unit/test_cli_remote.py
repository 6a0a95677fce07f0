"""`relay tail`, `channels`, `trigger` and `stats`, against a real `relay serve`."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from relay.cli import build_parser, main
from tests.integration.wire import websocket
from tests.unit.command import CREDENTIALS, port_in, run, sentence, serving

VARIABLES = ("PUSHER_URL", "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", "PUSHER_HOST", "PUSHER_CLUSTER")
SUBSCRIBE = '{"event":"pusher:subscribe","data":{"channel":"%s"}}'


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving("--port", "0", *CREDENTIALS) as (_, line):
        yield port_in(line)


@pytest.fixture
def url(port, monkeypatch) -> str:
    """The hub's URL, which is in the environment too."""
    url = f"http://app-key:hush-hush@127.0.0.1:{port}/apps/1001"
    monkeypatch.setenv("PUSHER_URL", url)
    return url


def asked(*arguments: str, stdin: str | None = None) -> str:
    """What a command that goes well prints."""
    command = [sys.executable, "-m", "relay", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def test_channels_are_listed_with_counts_and_as_json(url, port):
    async with websocket(port, "/app/app-key?protocol=7") as client:
        await client.event()
        for name in "orders", "other":
            client.send(SUBSCRIBE % name)
            await client.event()
        assert asked("channels").splitlines() == ["orders", "other"]
        assert asked("channels", "--prefix", "or", "--info").splitlines() == ["orders\t\t1"]
        assert json.loads(asked("channels", "--json", "--info", "--url", url)) == {
            "orders": {"subscription_count": 1},
            "other": {"subscription_count": 1},
        }


async def test_event_reaches_a_client_but_not_the_one_left_out(url, port):
    async with websocket(port, "/app/app-key?protocol=7") as client:
        socket_id = json.loads((await client.event())["data"])["socket_id"]
        client.send(SUBSCRIBE % "orders")
        await client.event()
        assert asked("trigger", "orders", "first", "{}", "--socket-id", socket_id) == "first was published to orders\n"
        assert json.loads(asked("trigger", "orders", "paid", "-", "--json", stdin='{"id": 7}')) == {
            "info": {"orders": {}}
        }
        event = await client.event()
        assert (event["event"], event["data"]) == ("paid", '{"id": 7}')


def test_stats_tell_what_the_hub_holds(url):
    told = json.loads(asked("stats", "--json"))
    assert told["id"] == "1001"
    assert told["stats"]["connections"] == 0
    assert told["totals"].keys() >= {"published", "closed"}
    assert "connections\t0" in asked("stats").splitlines()


def test_tail_shows_what_happens_until_it_is_interrupted(url, port):
    command = [sys.executable, "-m", "relay", "tail", "--json", "--type", "Published", "--channel", "private-*"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        try:
            lines: list[str] = []
            while not lines:  # until it listens
                asked("trigger", "orders", "unwanted", "{}")
                asked("trigger", "private-x", "wanted", "{}")
                if readable(tail.stdout):
                    lines.append(tail.stdout.readline())
            fact = json.loads(lines[0])
            assert (fact["type"], fact["event"], fact["app"]) == ("Published", "wanted", "1001")
            tail.send_signal(signal.SIGINT)
            assert tail.wait(10) == 0
            assert tail.stderr is not None
            assert tail.stderr.read() == ""
        finally:
            tail.kill()


def readable(stream: IO[str]) -> bool:
    return bool(select.select([stream], [], [], 0)[0])


def test_a_terminal_gets_a_table(url):
    pytest.importorskip("rich")
    ours, theirs = os.openpty()
    try:
        command = [sys.executable, "-m", "relay", "stats"]
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert "│ connections" in os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_host_that_is_away_is_told(capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://app-key:hush-hush@127.0.0.1:{unused.getsockname()[1]}/apps/1001"
        assert sentence(run(capsys, "stats", "--url", url), 1).startswith("cannot connect to http://127.0.0.1")


@pytest.mark.parametrize("command", [["channels"], ["tail"], ["stats"], ["trigger", "a", "b", "c"]])
def test_a_wrong_secret_is_told(url, capsys, command):
    wrong = url.replace("hush-hush", "hush-wrong")
    told = sentence(run(capsys, *command, "--url", wrong), 3)
    assert told.startswith("the host does not accept these credentials: Invalid signature")


@pytest.mark.parametrize("command", ["tail", "stats"])
def test_an_app_that_is_not_there_is_told(url, capsys, command):
    assert "Unknown app id '77'" in sentence(run(capsys, command, "--url", url.replace("1001", "77")), 3)


@pytest.mark.parametrize("command", ["tail", "stats"])
def test_a_host_that_is_no_relay_hub_is_told(url, capsys, command):
    elsewhere = url.replace("/apps/", "/elsewhere/apps/")
    told = sentence(run(capsys, command, "--url", elsewhere), 3)
    assert told.startswith(f"the host does not know '{command}': it is no Relay hub")


def test_a_type_that_does_not_exist_is_told(url, capsys):
    assert "there are no facts of type 'Teapot'" in sentence(run(capsys, "tail", "--type", "Teapot"), 3)


def test_credentials_that_are_not_there_are_told(capsys):
    assert sentence(run(capsys, "stats")).startswith("environment lacks")


def test_names_of_strangers_do_not_steer_the_terminal(capsys):
    from relay.cli import showing

    showing.fact({"type": "Connected", "time": 0, "user_id": "\x1b]0;owned\x07\x9b31m"}, as_json=False)
    showing.fact({"type": "Connected", "time": 0, "user_id": "\x9b31m"}, as_json=True)
    showing.table(["channel"], [["\x1b[2J"]])
    out = capsys.readouterr().out
    assert re.fullmatch(r"[\n -~]*", out)


def test_console_token_comes_from_the_environment_and_must_not_be_short(capsys, monkeypatch):
    monkeypatch.setenv("RELAY_CONSOLE_TOKEN", "hush")
    assert sentence(run(capsys, "serve", "--port", "0", *CREDENTIALS)).startswith("the console's token should be 16")


async def test_serve_has_a_console_with_a_token_alone(port):
    from tests.integration.wire import http

    assert (await http(port, "GET", "/console")).status == 404
    token = {"RELAY_CONSOLE_TOKEN": "hush-hush-hush-hush"}
    with serving("--port", "0", *CREDENTIALS, environ=token) as (_, line):
        assert (await http(port_in(line), "GET", "/console")).status == 200
        headers = "Authorization: Bearer hush-hush-hush-hush\r\n"
        assert (await http(port_in(line), "GET", "/console/api/stats", headers=headers)).status == 200


def test_every_command_has_help(capsys):
    for command in "tail", "channels", "trigger", "stats":
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert "Exit codes" in " ".join(capsys.readouterr().out.split())
    assert build_parser().prog == "relay"
    assert os.environ.get("PUSHER_URL") is None
