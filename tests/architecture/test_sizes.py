"""Small enough to read: no file over 400 lines, no function over 50, and every module says what it is for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("relay", "relay_transports", "benchmarks")
    for path in ROOT.joinpath(package).rglob("*.py")
)


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Each function with its length in lines, its docstring not counted: nobody should shorten that to pass."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[:1] if ast.get_docstring(node) is not None else []
            yield node.name, length(node) - sum(map(length, docstring))


@pytest.mark.parametrize("module", MODULES)
def test_module_is_small_and_introduces_itself(module):
    source = ROOT.joinpath(module).read_text()
    tree = ast.parse(source)
    file_lines = len(source.splitlines())
    assert file_lines <= 400, f"{module} has {file_lines} lines: is the noun right?"
    assert [f"{name} has {lines} lines" for name, lines in functions(tree) if lines > 50] == []
    assert ast.get_docstring(tree), f"{module} has no docstring"
