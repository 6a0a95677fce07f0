"""The page of the command line has every command and flag, in the parser's words; run this file to write it anew."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from relay.cli import build_parser

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
TABLES = re.compile(r"(?<=<!-- the parser's words -->\n)(.*)(?=<!-- until here -->)", re.DOTALL)


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public way to ask


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in actions(build_parser()):
        if isinstance(action.choices, dict):
            yield from action.choices.items()


def row(action: argparse.Action) -> str:
    """One flag or argument as a row of a table."""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar}`"
    value = ""
    if action.option_strings and action.nargs != 0:
        value = f" `{action.metavar or '|'.join(action.choices or ()) or action.dest.upper()}`"
    return f"| {names}{value.replace('|', ' or ')} | {action.help} |"


def tables() -> str:
    told = ""
    for name, parser in commands():
        if name == "bench":  # whose flags are the benchmark's
            continue
        rows = [row(action) for action in actions(parser) if action.dest != "help"]
        told += "\n".join(
            [f"\n## relay {name}\n", f"{parser.description}\n", "| flag | what it does |", "|---|---|", *rows, ""]
        )
    return told + "\n"


def test_page_has_every_command_and_flag():
    found = TABLES.search(PAGE.read_text())
    assert found, "the page has lost its marks"
    assert found[0] == tables(), f"run `python {Path(__file__).name}` in its folder"


if __name__ == "__main__":
    PAGE.write_text(TABLES.sub(lambda _: tables(), PAGE.read_text()))
