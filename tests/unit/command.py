"""`relay` as somebody at a shell runs it: in this process where it refuses, in one of its own where it serves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.cli import main

Process = subprocess.Popen[str]
CREDENTIALS = ["--app-id", "1001", "--key", "app-key", "--secret", "hush-hush"]
APP = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "hush-hush"\n'


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Exit code and what stands on stderr; stdout is empty, and the secret is nowhere."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse's way
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "hush" not in err
    assert "Traceback" not in err
    return code, err


def sentence(refused: tuple[int, str], code: int = 2) -> str:
    """The one sentence of a refusal."""
    assert refused[0] == code
    assert re.fullmatch(r"relay: [^\n]+\n", refused[1]), refused[1]
    return refused[1].removeprefix("relay: ").removesuffix("\n")


@contextmanager
def serving(*arguments: str | Path, environ: dict[str, str] | None = None) -> Iterator[tuple[Process, str]]:
    """A running `relay serve` and the line it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "relay", "serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            if process.poll() is None:
                process.kill()


def says(process: Process) -> str:
    """The next line on stdout."""
    assert process.stdout is not None
    return process.stdout.readline()


def complains(process: Process) -> str:
    """The next line on stderr."""
    assert process.stderr is not None
    return process.stderr.readline()


def port_in(line: str) -> int:
    """The port in the line that a running `relay serve` printed."""
    [port] = re.findall(r"//[^ /]+:(\d+)", line)
    return int(port)


def workers_of(pid: int) -> set[int]:
    """The processes that a running `relay serve --workers` started and that have not ended, as Linux tells."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
