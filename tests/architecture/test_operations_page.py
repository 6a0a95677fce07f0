"""The guide to operating a hub and its dashboard name the metrics, loggers and numbers that there are."""

import json
import logging
import re
from pathlib import Path

from relay import App, Hub
from relay.metrics import Stats, Totals
from relay.prometheus import HubCollector, exposition

ROOT = Path(__file__).parents[2]
PAGE = ROOT.joinpath("docs/how-to/operate.md").read_text()
BOARD = json.loads(ROOT.joinpath("docs/how-to/operate/grafana.json").read_text())
DEPLOYMENT = ROOT.joinpath("examples/kubernetes/relay.yaml").read_text()
LONGEST_END = 20
"""Seconds that `relay serve` may take after its drain: handlers, and the last webhooks."""


def scraped() -> dict[str, str]:
    """The type of every metric of a scrape, by the name that is queried."""
    body, _ = exposition(HubCollector(Hub(App(id="1", key="k", secret="s")), lag=lambda: 0.0))
    types = re.findall(r"^# TYPE (\w+) (\w+)$", body.decode(), re.MULTILINE)
    return {name: kind for name, kind in types if not name.endswith("_created")}


def queried() -> set[str]:
    """The metrics in the dashboard's queries and variables."""
    queries = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    queries += [one["definition"] for one in BOARD["templating"]["list"] if one["type"] == "query"]
    return set(re.findall(r"\brelay_\w+", " ".join(queries)))


def test_the_table_of_metrics_is_what_a_scrape_has():
    assert dict(re.findall(r"^\| `(relay_\w+)` \| (\w+) \|", PAGE, re.MULTILINE)) == scraped()


def test_what_the_page_says_to_alert_on_is_in_a_scrape():
    assert set(re.findall(r"\brelay_[a-z_]+", PAGE.replace("relay_transports", ""))) <= set(scraped())


def test_names_follow_the_conventions_of_prometheus():
    for name, kind in scraped().items():
        assert re.fullmatch(r"relay_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") is (kind == "counter"), name


def test_everything_that_is_counted_is_in_a_scrape():
    hub = Hub(App(id="1", key="k", secret="s"))
    read = {name for name in Totals.__struct_fields__ if name != "closed"} | set(Stats.__struct_fields__)
    source = ROOT.joinpath("relay/prometheus.py").read_text()
    assert [name for name in sorted(read) if name not in source] == []
    assert hub.totals() == Totals()


def test_the_dashboard_queries_all_that_a_scrape_has_and_nothing_else():
    assert queried() == set(scraped())


def test_the_dashboard_can_be_imported():
    assert (BOARD["title"], BOARD["uid"]) == ("Relay", "relay-hub")
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in panels]
    assert len(set(places)) == len(places)
    assert all(x + w <= 24 for x, _, w, _ in places)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["expr"].count("(") == target["expr"].count(")") for target in panel["targets"])


def number(pattern: str) -> int:
    [found] = re.findall(pattern, DEPLOYMENT)
    return int(found)


def test_a_pod_has_time_for_all_that_it_does_in_the_end():
    grace = number(r"terminationGracePeriodSeconds: (\d+)")
    wait, drain = number(r'"sleep", "(\d+)"'), number(r'"--drain", "(\d+)"')
    assert grace >= wait + drain + LONGEST_END
    assert set(re.findall(r"path: (/\w+)", DEPLOYMENT)) == {"/healthz", "/readyz"}


def test_loggers_are_those_that_there_are():
    log = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("relay", "relay_transports")
        for path in ROOT.joinpath(package).rglob("*.py")
        if "getLogger(__name__)" in path.read_text()
    }
    table = PAGE[PAGE.index("| logger |") :]
    named = set(re.findall(r"`(relay[\w.]*)`", table))
    assert [name for name in sorted(named) if not any(one == name or one.startswith(name + ".") for one in log)] == []
    unnamed = [one for one in sorted(log) if not any(one == name or one.startswith(name + ".") for name in named)]
    assert all(name.startswith(("relay.client.", "relay.explain.", "relay.finishing")) for name in unnamed), unnamed
    assert logging.getLogger(named.pop()).handlers == []
