"""Without an extra, what needs it says which one to install; all else works."""

import subprocess
import sys

import pytest

BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "aiohttp":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run_without_aiohttp(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "program",
    [
        "from relay_transports.aiohttp import setup",
        "from relay_transports.aiohttp import connect",
        "from relay_transports.aiohttp.client import connect",
        "from relay.testing.server import Server; Server().start()",
    ],
)
def test_without_aiohttp_its_extra_is_named(program):
    run = run_without_aiohttp(program)
    assert run.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: relay_transports.aiohttp needs the aiohttp extra: pip install 'relay-hub[aiohttp]'"
    )
    assert "During handling" not in run.stderr


def test_without_aiohttp_the_rest_of_relay_works():
    run = run_without_aiohttp("import relay.testing, relay_transports.inprocess; relay.testing.Kit().close()")
    assert run.returncode == 0, run.stderr
