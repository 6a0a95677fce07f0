"""The scenario of several nodes: it runs where there is a Redis, and says so where there is none."""

from __future__ import annotations

import pytest

from benchmarks.harness import engine, results, targets
from benchmarks.harness.commands import main
from tests.benchmarks import made
from tests.benchmarks.made import samples
from tests.redis_server import INSTALL

NODE = "relay_node"
TARGETS = 5


def test_two_nodes_are_measured_and_every_target_is_judged(require, tmp_path):
    require("redis-server", INSTALL)
    file = tmp_path / "results.json"
    assert main(["cluster", "--rounds", "1", "--scale", "0.02", "--output", str(file)]) == 0
    found = results.load(file)
    assert found.versions[NODE]["redis-server"]
    assert len([one for one in targets.judge(found) if one.holds is not None]) == TARGETS
    assert {one.unit for one in found.samples} >= {"publishes a second", "joins a second", "µs CPU per delivery"}


def test_without_a_redis_it_is_left_out_and_why_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "PROGRAM", "no-such-redis-server")
    file = tmp_path / "results.json"
    assert main(["cluster", "--output", str(file)]) == 0
    assert results.load(file).skipped == {"cluster": engine.MISSING}


@pytest.mark.parametrize(("more", "holds"), [(4.9, True), (5.1, False), (-3.0, True)])
def test_the_target_for_latency_is_about_how_much_more_it_is(more, holds):
    case = "20,000 a second, published on {}, p99"
    found = [
        samples("cluster", case.format("the same node"), NODE, 10.0),
        samples("cluster", case.format("another node"), NODE, 10.0 + more),
    ]
    [one] = [
        one
        for one in targets.judge(made.results(*found))
        if one.target.what.startswith("20,000 deliveries a second pub")
    ]
    assert one.holds is holds
