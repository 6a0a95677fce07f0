"""Golden transcripts as values: scenes of lines, and what it takes to play them. The format is in `test_golden.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from relay import App, Hub
from relay.testing import ManualClock

FILES = sorted(Path(__file__).parent.glob("*.txt"))
APP = App(id="1001", key="b1946ac92492d2347c62", secret="5d41402abc4b2a76b971")
"""The credentials of the protocol reference; all else is as it is by default."""
_SETTING = re.compile(r"(\w+)=(\S+)")
_CALL = re.compile(r"(server|browser)> (GET|POST|OPTIONS) ")
_SAID = re.compile(r"S\d*> |(server|browser|stream)< ")


class Scene(NamedTuple):
    """One hub and what happens to it, line by line."""

    title: str
    lines: list[str]

    @property
    def sockets_only(self) -> bool:
        """Whether it is about something that only a socket has."""
        return "only> websocket" in self.lines

    @property
    def default(self) -> bool:
        """Whether every switch of the App is as it is by default."""
        return not any(line.startswith("app> ") for line in self.lines)

    @property
    def events(self) -> list[bytes]:
        """Every event that the hub sends."""
        return [line.partition("> ")[2].encode() for line in self.lines if re.match(r"S\d*> \{", line)]

    def hub(self) -> Hub:
        """The hub of this scene: time stands still, socket ids are always the same."""
        app = msgspec.convert({**msgspec.to_builtins(APP), **self._settings("app> ")}, App)
        most = self._settings("hub> ").get("max_connections")
        return Hub(app, clock=ManualClock(), random=Random(0), max_connections=most)

    def _settings(self, start: str) -> dict[str, int]:
        pairs = [pair for line in self.lines if line.startswith(start) for pair in _SETTING.findall(line)]
        return {name: msgspec.json.decode(value) for name, value in pairs}


class Step(NamedTuple):
    """One thing that is done, and all that is sent before the next."""

    action: list[str]
    """A line, or two for a REST call with a body."""
    sent: list[str]

    def count(self, start: str) -> int:
        """How many of the lines begin so."""
        return sum(line.startswith(start) for line in self.sent)


def read(path: Path) -> list[Scene]:
    """The scenes of a file."""
    scenes: list[Scene] = []
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            scenes.append(Scene(line, []))
        elif scenes:
            scenes[-1].lines.append(line)
    return scenes


def preface(path: Path) -> str:
    """What stands before the first scene."""
    return path.read_text().partition("== ")[0]


def steps(scene: Scene) -> Iterator[Step]:
    """What is done, with what the script says is sent."""
    step: Step | None = None
    for line in scene.lines:
        if _SAID.match(line):
            assert step is not None, f"nothing was done before {line}"
            step.sent.append(line)
        elif step is not None and line.startswith(("server> ", "browser> ")) and not _CALL.match(line):
            step.action.append(line)
        else:
            if step is not None:
                yield step
            step = Step([line], [])
    if step is not None:
        yield step


def everything() -> list[tuple[str, Scene]]:
    """Every scene of every file, with a name for it."""
    return [(f"{path.stem}: {scene.title[3:]}", scene) for path in FILES for scene in read(path)]
