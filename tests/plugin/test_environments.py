"""The fixtures work wherever async tests run: under anyio's plugin on each loop, under pytest-asyncio in both modes and
under pytest-aiohttp. Each has a virtual environment without the others; `make test-plugins` makes them.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
VENVS = HERE.parents[1] / ".venvs"
LOOPS = """
import pytest

LOOPS = {"asyncio": ("asyncio", {}), "uvloop": ("asyncio", {"use_uvloop": True}), "trio": ("trio", {})}

@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return LOOPS[request.param]
"""
ONE_LOOP = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
ASYNCIO = "asyncio_default_fixture_loop_scope = function\nasyncio_mode = "
STRICT = "import pytest\n\npytestmark = pytest.mark.asyncio\n\n"
FAILING = "async def test_wrong(relay):\n    assert not await relay.connect()\n"


class Way(NamedTuple):
    """One way of running async tests: where, how pytest is told, and what a test file has to say for it."""

    environment: str
    ini: str
    conftest: str = ""
    head: str = ""
    also: tuple[str, ...] = ()


WAYS = {
    "anyio": Way("anyio", "anyio_mode = auto", conftest=LOOPS),
    "asyncio strict": Way("asyncio", ASYNCIO + "strict", head=STRICT),
    "asyncio auto": Way("asyncio", ASYNCIO + "auto"),
    "aiohttp": Way("aiohttp", ASYNCIO + "auto", also=("aiohttp_handlers.py",)),
}


@pytest.fixture(params=WAYS)
def way(request) -> Way:
    return WAYS[request.param]


@pytest.fixture
def pytest_in(require, tmp_path):
    """Run pytest in the environment of a way, with its settings and nothing of this repository's; what it printed."""

    def run(way: Way, *arguments: str) -> str:
        python = VENVS / f"plugin-{way.environment}" / "bin" / "python"
        require(python, "make test-plugins")
        tmp_path.joinpath("pytest.ini").write_text(f"[pytest]\n{way.ini}\nfilterwarnings = error\n")
        tmp_path.joinpath("conftest.py").write_text(way.conftest)
        command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-ra", "--color=no", *arguments]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        output: str = run.stdout + run.stderr
        return output

    return run


def results(output: str) -> dict[str, int]:
    """The last line of pytest's output."""
    return {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", output.splitlines()[-1].split(" in ")[0])}


def copy_suite(way: Way, folder: Path) -> None:
    """The tests of this folder that are shared, and one that fails."""
    for name in ("test_examples.py", *way.also):
        folder.joinpath(f"test_{name.removeprefix('test_')}").write_text(way.head + (HERE / name).read_text())
    for name in ("test_server.py", "test_reports.py"):
        shutil.copy(HERE / name, folder)
    folder.joinpath("test_failing.py").write_text(way.head + FAILING)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_fixtures_work_in(way, workers, pytest_in, tmp_path):
    copy_suite(way, tmp_path)
    output = pytest_in(way, "-n", workers, "--dist", "load")
    assert set(results(output)) == {"passed", "failed"}, output
    assert results(output)["passed"] > 30
    assert set(re.findall(r"^FAILED (\w+)", output, re.MULTILINE)) == {"test_failing"}, output
    assert re.search(r"^-+ relay transcript -+\n +0\.000  #1 S> ", output, re.MULTILINE), output


def test_without_any_extra_the_hub_works_and_a_server_names_the_extra(pytest_in, tmp_path):
    tmp_path.joinpath("test_core.py").write_text(
        "async def test_hub(relay):\n    await (await relay.connect()).subscribe('orders')\n\n"
        "def test_server(relay_server): pass\n"
    )
    core = Way("none", "anyio_mode = auto", conftest=ONE_LOOP)
    output = pytest_in(core)
    assert results(output) == {"passed": 1, "error": 1}, output
    assert "relay_server needs the aiohttp extra: pip install 'relay-hub[aiohttp]'" in output
