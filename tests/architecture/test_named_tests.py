"""What the explanations call proven is proven: every test that they name is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "explanation").glob("*.md"))
NAMED = re.compile(r"`(tests/[\w/]+(?:\.py)?)/?(?:::(\w+))?`")


def missing(page: str) -> list[str]:
    """The tests that a page names and that there are not."""
    return [f"{path}::{test}" for path, test in NAMED.findall(page) if not there(ROOT / path, test)]


def there(path: Path, test: str) -> bool:
    if not test:
        return path.exists()
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    return any(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == test for one in ast.walk(tree))


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_test_that_a_page_names_is_there(page):
    assert missing(page.read_text()) == []


def test_a_test_that_is_not_there_is_found():
    gone = "`tests/unit/test_hub.py::test_nothing_of_the_kind`, `tests/unit/test_nothing.py`, `tests/nowhere/`"
    assert len(missing(gone)) == 3


def test_the_page_of_failures_names_a_test_in_each_section():
    sections = (ROOT / "docs" / "explanation" / "what-happens-when.md").read_text().split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections if not NAMED.search(section)] == []
