"""What every test gets: the loops it runs on, a guard against blocking them, and `require`."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from relay import App, Hub
from tests.soundness import problems_of

IN_CI = bool(os.environ.get("CI"))

LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]

# The same examples on every run of CI, so that a change is judged by itself; new ones on every run elsewhere.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("here", deadline=None, print_blob=True)
settings.load_profile("ci" if IN_CI else "here")


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Plain asyncio, for async tests that do not carry the mark `every_loop`."""
    return "asyncio", {"use_uvloop": False}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `every_loop` on asyncio, uvloop and trio, and what needs a Redis on each kind of it."""
    if "anyio_backend" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_loop"):
        metafunc.parametrize("anyio_backend", LOOPS, scope="module")
    if "redis_program" in metafunc.fixturenames:
        metafunc.parametrize("redis_program", redis_programs(), indirect=True, scope="module")


@pytest.fixture(autouse=True)
def loop_is_never_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an asyncio test in which Relay's own code sleeps, locks, or does file or socket I/O on the loop.

    Only calls with Relay on the stack count: what a test or another library does on the loop is its own affair.
    Trio cannot be watched this way; the same code runs on asyncio beside it.
    """
    if "anyio_backend" not in request.fixturenames:
        yield
        return
    with blockbuster_ctx(["relay", "relay_transports"]):
        yield


@pytest.fixture(autouse=True)
def every_hub_is_sound(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test after which a hub it made contradicts itself: its registries each other, or its counts the facts.

    Hubs that run in another thread are left alone, and those of tests that break one on purpose, marked `unsound_hub`.
    """
    made: list[Hub] = []
    build = Hub.__init__

    @wraps(build)
    def noted(hub: Hub, *apps: App, **options: Any) -> None:
        build(hub, *apps, **options)
        if threading.current_thread() is threading.main_thread():
            made.append(hub)

    monkeypatch.setattr(Hub, "__init__", noted)
    yield
    if request.node.get_closest_marker("unsound_hub"):
        return
    problems = [problem for hub in made for problem in problems_of(hub)]
    assert problems == []


@pytest.fixture(scope="session")
def require() -> Callable[[str | Path, str], Path]:
    """Find a program on the PATH, or a file, that a test cannot do without.

    `require("redis-server", "apt-get install redis-server")` returns where it is. Where it is missing the test is
    skipped with one line that says how to install it; in CI, where everything is to be there, it fails.
    """

    def find(thing: str | Path, how_to_install: str) -> Path:
        found = Path(shutil.which(thing) or "") if isinstance(thing, str) else thing
        if found != Path() and found.exists():
            return found
        missing = f"{thing} is missing: {how_to_install}"
        if IN_CI:
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)

    return find


@pytest.fixture(scope="module")
def redis_program(request: pytest.FixtureRequest, require: Callable[[str | Path, str], Path]) -> Path:
    """Each server that promises what Redis does, and may be here: `tests/contract/test_redis.py` says which is not."""
    program: str = request.param
    return require(program, f"apt-get install {program}")


def redis_programs() -> list[str]:
    """Redis; and Valkey where it is installed, or could be. CI does without where the distribution has none."""
    valkey = shutil.which("valkey-server") is not None or (IN_CI and _packaged("valkey-server"))
    return ["redis-server", *["valkey-server"] * valkey]


@cache
def _packaged(name: str) -> bool:
    """Whether apt knows a package of that name."""
    apt = shutil.which("apt-cache")
    return apt is not None and subprocess.run([apt, "show", name], capture_output=True, check=False).returncode == 0
