"""What clients run in: Python environments, Node with its packages, Debian's Chromium."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, sync_playwright

from tests.conformance.programs import InPage, Session
from tests.conformance.results import ROOT
from tests.conformance.running import Pages
from tests.e2e.browser import CHROMIUM_ARGUMENTS

DRIVERS = Path(__file__).parent / "drivers"


class Installed:
    """What `make conformance` installs. Its ``environments`` stand for others where a test names them."""

    def __init__(
        self, pages: Pages | None = None, *, node_modules: Path | None = None, environments: Path | None = None
    ) -> None:
        self.pages = pages
        self.node_modules = node_modules or Path(__file__).parent / "js"
        self._environments = environments or ROOT / ".venvs"

    def python(self, environment: str) -> Path:
        """The interpreter of an environment; an empty name is the one that has Relay."""
        if not environment:
            return Path(sys.executable)
        return self._environments / f"conformance-{environment}" / "bin" / "python"


class Chromium:
    """Pages of one browser, each in a profile of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def open(self, url: str) -> Session:
        """A page; it knows no authority but the public ones."""
        page = self._browser.new_context(ignore_https_errors=True).new_page()
        page.goto(url)
        return InPage(page)


def fragment(value: dict[str, Any]) -> str:
    """What a page reads from its address."""
    return "#" + quote(json.dumps(value), safe="")


@contextmanager
def chromium() -> Iterator[Chromium | None]:
    """Debian's Chromium while the block runs, None where there is none."""
    program = shutil.which("chromium")
    if program is None:
        yield None
        return
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS) as browser,
    ):
        yield Chromium(browser)
