"""Other programs that tests run and talk to, line by line, never waiting longer than PATIENCE."""

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 30.0
"""Seconds after which something that should happen is taken not to happen; no test waits for it to pass."""


class Program:
    """A process whose lines on stdout tell what it does. Its stderr is the test's."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name=str(command[1]), daemon=True)
        self._reader.start()

    def line(self) -> str:
        """The next line it prints."""
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"{self._reader.name} printed nothing for {PATIENCE:.0f} s") from None
        assert line, f"{self._reader.name} ended, exit code {self._process.wait(PATIENCE)}"
        return line

    def tell(self, line: str) -> None:
        """Give it one line on stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self._process.terminate()
        return self._process.wait(PATIENCE)

    def stop(self) -> None:
        """Kill it if it still runs, and leave nothing behind."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


class JsonProgram(Program):
    """A program that speaks JSON, one value a line."""

    def next(self) -> dict[str, Any]:
        """The next value it prints."""
        value: dict[str, Any] = json.loads(self.line())
        return value

    def ask(self, question: object) -> dict[str, Any]:
        """The answer to one question."""
        self.tell(json.dumps(question))
        return self.next()

    def wait_for(self, **wanted: object) -> dict[str, Any]:
        """The next value that has these keys with these values; the ones before it are passed over."""
        while True:
            value = self.next()
            if wanted.items() <= value.items():
                return value
