"""docs/conformance.md is what the last results say, and the lists it is made of are sound."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.conformance import catalogue, features, page, results
from tests.conformance.features import Kind
from tests.conformance.results import ROOT, ClientResult, Outcome, Result, Run

CLIENTS, KNOWN = catalogue.load(), features.load()
# Written so that nothing here matches itself.
PLACES = re.compile(r"127[.]0[.]0|/(work|tmp|root|home|usr)/|registry[.]|pypi[.]org|npmjs[.]|debian[.]org")


def test_page_is_what_the_last_results_say():
    told = page.render(results.load(results.KEPT))
    assert page.PAGE.read_text() == told, "run: python -m tests.conformance --page"


def test_last_results_have_every_client_with_every_feature_of_its_kind():
    kept = {client.name: client for client in results.load(results.KEPT).clients}
    assert list(kept) == [client.name for client in CLIENTS]
    for client in CLIENTS:
        wanted = {feature.name for feature in KNOWN.values() if feature.kind is client.kind}
        assert {result.feature for result in kept[client.name].results} == wanted
        assert {result.feature for result in kept[client.name].of(Outcome.LACKS)} == client.lacks.keys()


@pytest.mark.parametrize("file", [page.PAGE, results.KEPT], ids=lambda file: file.name)
def test_nothing_of_this_machine_is_published(file):
    assert PLACES.findall(file.read_text()) == []


def test_clients_lack_only_features_that_there_are():
    for client in CLIENTS:
        assert {name for name in client.lacks if KNOWN[name].kind is not client.kind} == set()


def test_every_section_of_the_protocol_is_listed_and_every_row_answered():
    sections = page.rows()
    assert [section["number"] for section in sections] == list("123456789")
    for row in (row for section in sections for row in section["rows"]):
        assert row.keys() in ({"says", "shown"}, {"says", "deviates"})
        shown = row.get("shown")
        assert shown is None or shown in KNOWN or ROOT.joinpath(shown).is_file(), f"nothing shows {row}"


def test_everybody_who_is_not_run_has_a_reason():
    assert all(client["why"] for client in tomllib.loads(page.UNREACHABLE.read_text())["client"])


def client(name: str, *found: Result) -> ClientResult:
    return ClientResult(name, Kind.CLIENT.value, "Node", "1.0", official=True, results=found)


def test_clients_that_were_not_run_again_stay_as_they_were():
    old = Run("2026-01-01", "Relay 1", (client("one", Result("connect", Outcome.FAILED)), client("two")))
    new = Run("2026-01-02", "Relay 2", (client("one", Result("connect", Outcome.PASSED)),))
    whole = new.over(old).ordered({"two": 0, "one": 1})
    assert [(one.name, one.count(Outcome.PASSED)) for one in whole.clients] == [("two", 0), ("one", 1)]
    assert whole.date == "2026-01-02"


def test_results_are_kept_without_places_and_seconds():
    reason = "POST http://127.0.0.1:4711/x: see " + "/" + "home/somebody/relay.log, 5/6 sent"
    [kept] = results.without_places(Run("", "", (client("one", Result("tls", Outcome.FAILED, reason, 3.5)),))).clients
    assert kept.results == (Result("tls", Outcome.FAILED, "POST http://…/x: see …, 5/6 sent"),)


def test_failed_check_is_said_on_the_page():
    told = page.render(Run("2026-01-01", "Relay 1", (client("one", Result("connect", Outcome.FAILED, "no answer")),)))
    assert "| one | 1.0 | Node | 0 of 1 |" in told
    assert "- one connects: no answer" in told
    assert "| fails | `connect`, by 0 of 1 clients that have it |" in told
