"""`relay serve --unix`: where it listens, what it removes, and what it leaves alone."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration import wire
from tests.unit.command import APP, CREDENTIALS, port_in, run, sentence, serving

SOCKET = "/app/app-key?protocol=7"


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a socket may be made; the path must be short."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "relay.sock"


def leave_behind(path: Path) -> None:
    """What a process that was killed leaves: a socket file that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()


async def greeting(where: int | Path) -> str:
    async with wire.websocket(where, SOCKET) as client:
        client.send('{"event":"pusher:ping"}')
        return f"{(await client.event())['event']} {(await client.event())['event']}"


GREETED = "pusher:connection_established pusher:pong"


@pytest.mark.parametrize("source", ["flag", "file"])
async def test_socket_alone_is_listened_on_alone(path, source, tmp_path):
    toml = tmp_path / "relay.toml"
    toml.write_text(f'[server]\nunix = "{path}"\n{APP}')
    with serving(*(["--config", toml] if source == "file" else ["--unix", path, *CREDENTIALS])) as (_, line):
        assert line == f"Relay listens on unix:{path} (apps: 1001)\n"
        assert await greeting(path) == GREETED
        assert (await wire.http(path, "GET", "/apps/1001/channels")).status == 401


@pytest.mark.parametrize("also", [["--port", "0"], ["--host", "127.0.0.1", "--port", "0"]])
async def test_address_may_stand_beside_it(path, also):
    with serving("--unix", path, *also, "--prefix", "/realtime", *CREDENTIALS) as (_, line):
        assert line == f"Relay listens on http://127.0.0.1:{port_in(line)}/realtime and unix:{path} (apps: 1001)\n"
        for where in path, port_in(line):
            async with wire.websocket(where, f"/realtime{SOCKET}") as client:
                assert (await client.event())["event"] == "pusher:connection_established"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_file_is_gone_when_it_ends_and_clients_are_told(path, number):
    with serving("--unix", path, *CREDENTIALS) as (process, _):
        async with wire.websocket(path, SOCKET) as client:
            await client.event()
            process.send_signal(number)
            assert (await client.closed()).code == 4200
        assert process.communicate(timeout=20) == ("", "")
        assert (process.returncode, path.exists()) == (0, False)


async def test_socket_of_a_dead_process_is_replaced(path):
    leave_behind(path)
    with serving("--unix", path, *CREDENTIALS):
        assert await greeting(path) == GREETED


async def test_socket_of_a_hub_that_was_killed_is_replaced(path):
    with serving("--unix", path, *CREDENTIALS) as (process, _):
        process.kill()
    assert path.exists()
    with serving("--unix", path, *CREDENTIALS):
        assert await greeting(path) == GREETED


def test_socket_of_a_live_process_is_left_alone(path, capsys):
    with serving("--unix", path, *CREDENTIALS):
        text = sentence(run(capsys, "serve", "--unix", path, *CREDENTIALS), code=1)
        assert text == f"cannot listen on unix:{path}: another process listens there"
        assert asyncio.run(greeting(path)) == GREETED


def test_of_many_that_start_at_once_over_a_stale_socket_one_serves(path):
    leave_behind(path)
    command = [sys.executable, "-m", "relay", "serve", "--unix", str(path), *CREDENTIALS]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(4)]
    try:
        lines = [process.stdout.readline() for process in several if process.stdout is not None]
        assert sum(line.startswith(b"Relay listens on ") for line in lines) == 1
        assert asyncio.run(greeting(path)) == GREETED
    finally:
        for process in several:
            process.terminate()
            process.communicate(timeout=20)
    assert sorted(process.returncode for process in several) == [0, 1, 1, 1]


def test_file_that_is_no_socket_is_left_alone(path, capsys):
    path.write_text("precious")
    text = sentence(run(capsys, "serve", "--unix", path, *CREDENTIALS), code=1)
    assert text == f"cannot listen on unix:{path}: there is a file that is no socket"
    assert path.read_text() == "precious"


def test_link_is_left_alone_wherever_it_leads(path, capsys):
    leave_behind(path.with_name("other.sock"))
    path.symlink_to("other.sock")
    assert "no socket" in sentence(run(capsys, "serve", "--unix", path, *CREDENTIALS), code=1)
    assert path.is_symlink()


def test_file_that_somebody_put_in_its_place_stays(path):
    with serving("--unix", path, *CREDENTIALS) as (process, _):
        path.rename(path.with_name("moved"))
        path.write_text("precious")
        process.terminate()
        process.communicate(timeout=20)
    assert (process.returncode, path.read_text()) == (0, "precious")


@pytest.mark.parametrize(
    ("name", "told"), [("no/such/folder.sock", "No such file or directory"), ("x" * 120, "AF_UNIX path too long")]
)
def test_path_that_cannot_be_is_one_sentence_and_exit_code_1(path, capsys, name, told):
    path = path.parent / name
    assert sentence(run(capsys, "serve", "--unix", path, *CREDENTIALS), code=1) == (
        f"cannot listen on unix:{path}: {told}"
    )


def test_empty_path_is_refused(capsys):
    text = sentence(run(capsys, "serve", "--unix", "", *CREDENTIALS))
    assert text == "the path of the Unix socket must not be empty"


def test_nothing_is_left_behind_when_the_address_is_taken(path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(capsys, "serve", "--unix", path, "--port", port, *CREDENTIALS)[0] == 1
    assert not path.exists()


def test_tls_is_for_addresses(path, capsys):
    text = sentence(run(capsys, "serve", "--unix", path, "--tls-cert", "c", "--tls-key", "k", *CREDENTIALS))
    assert text == "a Unix socket is served without TLS: add --port to serve an address too"
