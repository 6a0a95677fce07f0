"""A quick part of the conformance run: the clients that the other tests have installed, and the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conformance import command, features, results
from tests.conformance.clients import pusher_js, pusher_node, pusher_python, relay_client, relay_rest
from tests.conformance.results import KEPT, Outcome
from tests.conformance.runtime import Installed
from tests.conformance.site import serving
from tests.conformance.target import Local, local

E2E = Path(__file__).parents[1] / "e2e" / "js"
KNOWN = features.load()


def _named(clients, name):
    return next(client for client in clients if client.name == name)


NODE = dataclasses.replace(
    _named(pusher_js.CLIENTS, "pusher-js 8.6 in Node"),
    start=partial(pusher_js.in_node, "pusher-js"),
    package="pusher-js",
)
PYPI = dataclasses.replace(
    _named(pusher_python.CLIENTS, "pusher 3 (PyPI)"), start=partial(pusher_python.start, "", True), environment=""
)
NPM = _named(pusher_node.CLIENTS, "pusher 5 (npm)")


@pytest.fixture(scope="module")
def relay_serve(tmp_path_factory) -> Iterator[Local]:
    with local(tmp_path_factory.mktemp("conformance")) as target:
        yield target


@pytest.fixture
def installed(require) -> Installed:
    require("node", "apt-get install nodejs")
    require(E2E / "node_modules", "make setup")
    return Installed(node_modules=E2E)


@pytest.mark.parametrize("client", [NODE, NPM, PYPI, relay_rest.CLIENTS[0]], ids=lambda client: client.name)
def test_client_passes_every_check_of_a_feature_it_has(client, relay_serve, installed):
    checks = [feature for feature in KNOWN.values() if feature.kind is client.kind]
    [found] = command.run(relay_serve, [client], checks, installed, {"reconnect": "pusher-js waits 15 s"}).clients
    assert [f"{one.feature}: {one.reason}" for one in found.of(Outcome.FAILED)] == []
    assert {one.feature for one in found.of(Outcome.LACKS)} == client.lacks.keys() & {one.name for one in checks}
    assert len(found.results) == len(checks)


def url(target: Local, secret: str = "") -> str:
    app, address = target.app, target.address
    return f"http://{app.key}:{secret or app.secret}@{address.host}:{address.port}/apps/{app.id}"


def test_another_server_is_judged_by_its_url_and_nothing_is_written_for_it_but_json(relay_serve, tmp_path, capsys):
    before, file = KEPT.read_bytes(), tmp_path / "found.json"
    only = [word for name in ("connect", "reconnect", "tls", "presence") for word in ("--only", name)]
    where = ["--url", url(relay_serve), "--json", str(file), "--skip", "presence=nobody meets there"]
    assert command.main(["Relay's client", *where, *only]) == 0
    [client] = results.load(file).clients
    assert {one.feature: one.reason for one in client.results} == {
        "connect": "",
        "reconnect": "this run did not start the server, so it does not restart it",
        "tls": "the server was named without TLS",
        "presence": "nobody meets there",
    }
    assert "Relay's client" in capsys.readouterr().out
    assert KEPT.read_bytes() == before


def test_check_that_fails_is_told_and_makes_the_run_fail(relay_serve, capsys):
    where = ["--url", url(relay_serve, secret="another"), "--only", "trigger_but_one"]
    assert command.main(["Relay's REST client", *where]) == 1
    assert "Invalid signature" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("wrong", [["Pysherr"], ["--only", "presense"], ["--skip", "x=y"], ["--url", "http://nobody"]])
def test_wrong_call_ends_at_once_and_says_what_there_is(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(wrong)
    assert "there are" in (told := capsys.readouterr().err) or "Pusher URL" in told


def test_restarted_server_is_at_the_same_place(tmp_path):
    with local(tmp_path) as target, serving(target.app):
        before = target.address
        target.restart()
        assert target.address == before
        assert relay_client.CLIENT.missing(Installed()) is None
