"""Without an extra, what needs it says which one to install; all else works."""

import subprocess
import sys

import pytest

BLOCK = """
import sys

MISSING = {missing!r}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == MISSING:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run_without(missing: str, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(missing=missing) + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
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
    run = run_without("aiohttp", program)
    assert run.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: relay_transports.aiohttp needs the aiohttp extra: pip install 'relay-hub[aiohttp]'"
    )
    assert "During handling" not in run.stderr


def test_without_aiohttp_the_rest_of_relay_works():
    run = run_without("aiohttp", "import relay.testing, relay_transports.inprocess; relay.testing.Kit().close()")
    assert run.returncode == 0, run.stderr


ENCRYPTING = """
import anyio
from relay.testing import Kit

async def main():
    kit = Kit()
    client = await kit.connect()
    team = await client.subscribe("private-team")
    await kit.hub.trigger("private-team", "paid", 1)
    assert (await team.expect("paid")).data == 1
    assert "shared_secret" in kit.hub.authorize_channel("1.2", "private-encrypted-vault")
    try:
        await {what}
    finally:
        assert list(client.channels) == ["private-team"]

anyio.run(main)
"""


@pytest.mark.parametrize(
    "what", ["kit.hub.trigger('private-encrypted-vault', 'paid', 1)", "client.subscribe('private-encrypted-vault')"]
)
def test_without_pynacl_its_extra_is_named_and_everything_else_works(what):
    run = run_without("nacl", ENCRYPTING.format(what=what))
    assert run.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: encrypted channels need the encrypted extra: pip install 'relay-hub[encrypted]'"
    )
    assert "During handling" not in run.stderr


@pytest.mark.parametrize(
    ("missing", "program", "told"),
    [
        ("opentelemetry", "import relay.tracing", "tracing needs the opentelemetry extra"),
        ("prometheus_client", "import relay.prometheus", "metrics need the prometheus extra"),
    ],
)
def test_without_what_watches_a_hub_its_extra_is_named(missing, program, told):
    assert told in run_without(missing, program).stderr.splitlines()[-1]
    run = run_without(missing, "import relay.testing, relay_transports.aiohttp; relay.testing.Kit().close()")
    assert run.returncode == 0, run.stderr
