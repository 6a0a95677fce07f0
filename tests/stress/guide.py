"""Paragraphs of the guide that measurements write, and the files with their numbers beside it."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operate.md"
Told = Mapping[str, Any]
"""What was measured, by name, as it stands in the file."""


@dataclass(frozen=True)
class Paragraph:
    """The paragraph ``name`` of the page, whose sentences ``words`` makes of what was measured."""

    name: str
    words: Callable[[Told], str]

    @property
    def numbers(self) -> Path:
        """Where what was measured lies."""
        return PAGE.with_suffix("") / f"{self.name}.json"

    @property
    def shown(self) -> list[str]:
        """What stands in the page, with the marks around it."""
        return self._marked.findall(PAGE.read_text())

    @property
    def due(self) -> list[str]:
        """What should stand there, by what was measured last."""
        return [self._of(json.loads(self.numbers.read_text()))]

    def tell(self, told: Told, *, write: bool) -> None:
        """Print what was measured, with the machine it was measured on, and ``write`` it into the guide."""
        told = {**told, **_machine()}
        print(json.dumps(told, indent=2))
        if write:
            self.numbers.write_text(json.dumps(told, indent=2) + "\n")
            PAGE.write_text(self._marked.sub(lambda _: self._of(told), PAGE.read_text()))

    @property
    def _marked(self) -> re.Pattern[str]:
        return re.compile(f"<!-- {self.name}: begin -->.*<!-- {self.name}: end -->", re.DOTALL)

    def _of(self, told: Told) -> str:
        words = textwrap.fill(f"{self.words(told)} {_where(told)}", 120)
        return f"<!-- {self.name}: begin -->\n{words}\n<!-- {self.name}: end -->"


def asked(arguments: Sequence[str], module: str, *, rate: float) -> argparse.Namespace:
    """What to measure, as somebody at a shell says it."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("sockets", type=int, help="clients")
    parser.add_argument("--drain", type=float, default=10.0, help="what each server is told, seconds (%(default)s)")
    parser.add_argument("--rate", type=float, default=rate, help="events a second (%(default)s)")
    parser.add_argument("--write", action="store_true", help="put what was measured into the guide")
    return parser.parse_args(arguments)


def _machine() -> dict[str, Any]:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return {"python": platform.python_version(), "cores": os.cpu_count(), "date": today}


def _where(told: Told) -> str:
    return (
        f"All servers, all clients and the publishers shared {told['cores']} cores, on Python {told['python']}, "
        f"{told['date']}."
    )
