"""The plugin is loaded into every project's tests, so until somebody uses it, it costs and changes nothing."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

HEAVY = ("aiohttp", "anyio", "msgspec", "relay.hub", "relay.testing", "relay_transports")


def test_importing_it_imports_nothing_of_weight():
    program = f"import sys, relay.pytest_plugin; print([name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_run_that_does_not_use_it_never_loads_relay(pytester):
    pytester.makepyfile(
        "import sys\n"
        "def test_nothing(request):\n"
        "    assert [name for name in request.fixturenames if 'relay' in name] == []\n"
        "    assert {'relay.pytest_plugin'} == {name for name in sys.modules if name.startswith('relay')} - {'relay'}"
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_it_adds_no_options_and_no_markers(pytester):
    for flag in ("--help", "--markers"):
        with_it, without = (pytester.runpytest_subprocess(flag, *off).outlines for off in ((), ("-p", "no:relay")))
        assert with_it == without


def test_it_can_be_switched_off(pytester):
    pytester.makepyfile("def test_uses_it(relay): pass")
    result = pytester.runpytest_subprocess("-p", "no:relay")
    result.stdout.fnmatch_lines(["E *fixture 'relay' not found"])


def test_its_fixtures_are_documented(pytester):
    shown = pytester.runpytest_subprocess("--fixtures", "-p", "no:anyio").stdout.str()
    for fixture in ("relay", "relay_app", "relay_factory", "relay_server", "relay_server_factory"):
        assert f"{fixture} -- " in shown
    assert "no docstring available" not in shown


@pytest.mark.parametrize("fixture", ["relay_server", "relay_server_factory"])
def test_a_server_without_aiohttp_names_the_extra(pytester, fixture):
    pytester.makeconftest("import sys\nsys.modules['aiohttp'] = None")
    pytester.makepyfile(f"def test_uses_it({fixture}): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs the aiohttp extra: pip install 'relay-hub[[]aiohttp]'*"])
