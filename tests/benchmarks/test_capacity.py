"""The arithmetic of growth, and that its page is what it makes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from benchmarks.capacity import FAR, Load, Setup, rooms, sizes, touched, units, use
from benchmarks.capacity_page import GUIDE, PAGE, figures, filled, parts
from benchmarks.harness.commands import LATEST
from benchmarks.harness.results import load
from tests.benchmarks.made import results, samples

LOAD = Load()


def test_the_page_is_what_the_unit_costs_make():
    page = PAGE.read_text()
    assert filled(page, parts(units())) == page


def test_the_figures_of_the_guide_are_those_of_the_latest_run():
    guide = GUIDE.read_text()
    assert filled(guide, {"figures": figures(load(LATEST))}) == guide


def test_a_page_without_a_place_for_a_table_is_refused():
    with pytest.raises(ValueError, match="no place for 'growth'"):
        filled("", parts(units()))


def test_unit_costs_that_a_run_measured_are_taken_from_it_and_the_others_are_kept():
    measured = results(samples("cluster", "a publish: a node", "relay_node", 20.0, 30.0, 100.0))
    assert units(measured) == {**units(), "publish": 30.0}


def test_members_are_on_as_many_nodes_as_chance_says():
    nodes, size, random = 100, 50, Random(1)
    seen = [touched(size, nodes, random) for _ in range(500)]
    assert sum(seen) / len(seen) == pytest.approx(nodes * (1 - (1 - 1 / nodes) ** size), rel=0.02)
    assert (touched(1, nodes, random), touched(10_000, nodes, random)) == (1, nodes)


def test_rooms_are_as_large_as_they_may_be_and_most_are_small():
    made = sizes(LOAD)
    assert (max(made), min(made)) == (made[-1], LOAD.smallest)
    assert max(made) <= LOAD.largest
    assert made[len(made) // 2] < 5


def test_on_one_node_nothing_goes_to_another():
    assert rooms(LOAD, 1).receipts == 0
    alone = use(Setup(1, 100_000), LOAD, units())
    assert (alone.redis_cpu, alone.redis_memory, alone.redis_network) == (0, 0, 0)


def test_more_servers_share_the_work_of_redis_and_the_nodes_do_not_notice():
    one, four = (use(replace(FAR, shards=shards), LOAD, units()) for shards in (1, 4))
    assert four.redis_memory == one.redis_memory / 4
    assert one.redis_cpu / 4 < four.redis_cpu < one.redis_cpu / 3.9  # leases are in one place
    assert four.node_cpu == one.node_cpu
