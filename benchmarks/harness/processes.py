"""Processes that answer a line of JSON with a line of JSON, each on a core of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
_ENDING_SECONDS: Final = 5
_PATIENCE: Final = 180.0


class Failed(Exception):
    """A process ended or could not begin; the message holds the end of what it said."""


class Process:
    """One process and its standard input and output."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )

    @property
    def pid(self) -> int:
        """Its number, to look at what it uses."""
        return self._process.pid

    def line(self) -> str:
        """What it says next. Raises :class:`Failed` when it ends instead, or says nothing for minutes."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            raise Failed(f"{' '.join(self._command[:4])} said nothing for {_PATIENCE:.0f} s")
        answer = self._process.stdout.readline().strip()
        if not answer:
            self._process.wait(_ENDING_SECONDS)
            raise Failed(f"{' '.join(self._command[:4])} ended with {self._process.returncode}")
        return answer

    def say(self, line: str) -> str:
        """Send a line; what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.line()

    def ask(self, **order: object) -> dict[str, Any]:
        """Send an order as JSON; the JSON object it answers."""
        answer: dict[str, Any] = json.loads(self.say(json.dumps(order)))
        return answer

    def end(self) -> None:
        """Close its input, which ends it; kill it when that does not help."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A process for the time of the block."""
    process = Process(command, env)
    try:
        yield process
    finally:
        process.end()


def cores() -> tuple[int, int]:
    """The core for servers and the core for everything else; the same one where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu(pid: int) -> float:
    """CPU seconds a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
