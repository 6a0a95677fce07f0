"""Answers as people see them, or as JSON. Names come from strangers: no sign in them steers a terminal."""

from __future__ import annotations

import json as library
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

from relay.explain.explanation import printable

_COLORS = {"RefusedRequest": "red", "SlowConsumer": "red", "EventsLost": "red", "Missed": "yellow", "Published": "blue"}
_FIRST = ("channel", "event", "user_id", "reason", "socket_id")
_LONGEST = 1000


def json(value: object) -> None:
    """One line of JSON, in ASCII alone."""
    print(library.dumps(value), flush=True)


def line(text: str) -> None:
    """One line of text."""
    print(printable(text, _LONGEST), flush=True)


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in a terminal, where rich is installed; elsewhere one line for each row, with tabs between."""
    shown = [[printable(cell, _LONGEST) for cell in row] for row in rows]
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text
        except ImportError:
            pass
        else:
            made = Table(*names)
            for row in shown:
                made.add_row(*map(Text, row))
            Console().print(made)
            return
    for row in shown:
        print("\t".join(row))
    sys.stdout.flush()


def fact(given: Mapping[str, object], *, as_json: bool) -> None:
    """One fact."""
    if as_json:
        json(given)
        return
    kind, when = str(given.get("type")), given.get("time")
    clock = datetime.fromtimestamp(when).strftime("%H:%M:%S") if isinstance(when, int | float) else ""  # noqa: DTZ006 - the reader's own clock
    text = printable(f"{clock} {kind:<15} {_summary(given)}", _LONGEST)
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.text import Text
        except ImportError:
            pass
        else:
            Console().print(Text(text, style=_COLORS.get(kind, "")), soft_wrap=True)
            return
    print(text, flush=True)


def _summary(given: Mapping[str, object]) -> str:
    match given:
        case {"type": "Published", "event": event, "receipt": {"channels": [*channels]}}:
            to = ", ".join(f"{one['channel']} ({one['queued']})" for one in channels)
            return f"{event} to {to}"
    left_out = ("type", "app", "time", *_FIRST)
    first = [str(value) for name in _FIRST if (value := given.get(name)) not in (None, "")]
    rest = [f"{name}={value}" for name, value in given.items() if name not in left_out and value is not None]
    return "  ".join([*first, *rest])
