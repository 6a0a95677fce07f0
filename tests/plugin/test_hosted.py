"""The examples of testing code that uses hosted Pusher, run as their readers do: in their own folder."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "testing"
SHOPS = sorted(path.stem for path in FOLDER.glob("*_shop.py") if not path.stem.startswith("test_"))


@pytest.mark.parametrize("shop", SHOPS)
def test_the_example_passes_its_tests(shop):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_{shop}.py"]
    run = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_there_is_an_example_for_each_framework_of_the_guide():
    assert SHOPS == ["django_shop", "fastapi_shop", "flask_shop"]
    assert all(len(path.read_text().splitlines()) < 40 for path in FOLDER.glob("*.py"))
