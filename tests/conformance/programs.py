"""Clients that run: as a program that is told and tells JSON, one value a line, or as a page in a browser."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from playwright.sync_api import Page

PATIENCE = 15.0
"""Seconds after which what should happen is taken not to happen; no passing check waits for it to pass."""


class Missing(AssertionError):
    """Something that should have been told was not."""


class Session(ABC):
    """A subscriber at work: ``do`` tells it what to do, and what happens to it is told and kept in order."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        """All that was told until now."""
        self._taken: set[int] = set()

    @abstractmethod
    def do(self, verb: str, *arguments: object) -> None:
        """Have it do something; what comes of that is told."""

    @abstractmethod
    def stop(self) -> None:
        """End it; fine to call again."""

    @abstractmethod
    def _more(self, seconds: float) -> dict[str, Any] | None:
        """The next value it tells, None when there was none within so many seconds."""

    def wait_for(self, patience: float = PATIENCE, /, **wanted: object) -> dict[str, Any]:
        """The first value with these keys and values that was not waited for before. Raises :class:`Missing`."""
        seen, deadline = 0, time.monotonic() + patience
        while True:
            for index in range(seen, len(self.heard)):
                if index not in self._taken and wanted.items() <= self.heard[index].items():
                    self._taken.add(index)
                    return self.heard[index]
            seen = len(self.heard)
            value = self._more(max(0.0, deadline - time.monotonic()))
            if value is None:
                raise Missing(f"never told {json.dumps(wanted)}; the last things told: {json.dumps(self.heard[-4:])}")
            self.heard.append(value)

    def events(self, event: str) -> list[Any]:
        """The data of every event of this name heard so far, in order."""
        return [value.get("data") for value in self.heard if value.get("event") == event]

    @property
    def socket_id(self) -> str:
        """Of the latest connection."""
        return next(str(value["socket_id"]) for value in reversed(self.heard) if value.get("state") == "connected")


class Program(Session):
    """A client in a process of its own. What it writes to stderr is shown when it fails."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        super().__init__()
        self._complaints: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the program
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, env={**os.environ, **env}, stdin=pipe, stdout=pipe, stderr=self._complaints, text=True
        )
        self._values: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name=str(command[1]), daemon=True)
        self._reader.start()

    def do(self, verb: str, *arguments: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": verb, "with": arguments}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise Missing(f"the client is gone: {self._last_words()}") from None

    def ask(self, verb: str, *arguments: object) -> Any:
        """What the next value it tells has as ``ok``. Raises :class:`Rejected` for an ``error``."""
        self.do(verb, *arguments)
        value = self._more(PATIENCE)
        if value is None:
            raise Missing(f"no answer to {verb}")
        if "error" in value:
            raise Rejected(str(value["error"]))
        return value.get("ok")

    def stop(self) -> None:
        if self._complaints.closed:
            return
        self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for file in (self._process.stdin, self._process.stdout, self._complaints):
            if file is not None:
                try:
                    file.close()
                except BrokenPipeError:  # what it was told last
                    pass

    def _more(self, seconds: float) -> dict[str, Any] | None:
        try:
            value = self._values.get(timeout=seconds)
        except queue.Empty:
            return None
        if value is None:
            raise Missing(f"the client is gone: {self._last_words()}")
        return value

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # some libraries print on their own
                self._values.put(json.loads(line))
        self._values.put(None)

    def _last_words(self) -> str:
        self._process.wait(PATIENCE)
        self._complaints.seek(0)
        lines = self._complaints.read().strip().splitlines()
        return next((line for line in reversed(lines) if "Error" in line), "it said nothing")


class Rejected(AssertionError):
    """The SDK reports that the server said no; the text is what it shows of the reason."""


class InPage(Session):
    """A client in a page of its own."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page

    def do(self, verb: str, *arguments: object) -> None:
        self._page.evaluate("([verb, given]) => { session[verb](...given); }", [verb, list(arguments)])

    def stop(self) -> None:
        if not self._page.is_closed():
            self._page.context.close()

    def _more(self, seconds: float) -> dict[str, Any] | None:
        from playwright.sync_api import TimeoutError as PlaywrightTimeout

        try:
            self._page.wait_for_function("told.length > 0", timeout=max(1.0, seconds * 1000))
        except PlaywrightTimeout:
            return None
        value: dict[str, Any] = self._page.evaluate("told.shift()")
        return value
