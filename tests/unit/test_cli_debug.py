"""`relay serve --debug` warns whoever starts it, once."""

from __future__ import annotations

import pytest

from tests.unit.command import CREDENTIALS, complains, serving

TOML = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "hush-hush"\n[server]\nport = 0\ndebug = true\n'


@pytest.mark.parametrize("where", ["flag", "file"])
def test_debug_warns(where, tmp_path):
    toml = tmp_path / "relay.toml"
    toml.write_text(TOML)
    given = ["--config", toml] if where == "file" else [*CREDENTIALS, "--port", "0", "--debug"]
    with serving(*given) as (process, line):
        assert line.startswith("Relay listens on ")
        assert "attackers too: never use it in production" in complains(process)
        process.terminate()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_without_debug_there_is_no_warning():
    with serving(*CREDENTIALS, "--port", "0") as (process, line):
        assert line.startswith("Relay listens on ")
        process.terminate()
        assert process.stderr is not None
        assert process.stderr.read() == ""
