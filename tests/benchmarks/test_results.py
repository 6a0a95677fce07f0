"""What the harness makes of samples: percentiles, ratios, files, targets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness import targets
from benchmarks.harness.commands import keep
from benchmarks.harness.results import load, save
from benchmarks.harness.shared import HISTOGRAM, SLOTS, Shared, bucket, percentiles
from tests.benchmarks.made import results, samples

DURATIONS = st.lists(st.integers(min_value=32, max_value=2**60), min_size=1, max_size=200)
ONE, FORTY = "1,000 subscribers, 1 a tick", "1,000 subscribers, 40 a tick"


def histogram(durations: list[int]) -> list[int]:
    counts = [0] * (SLOTS - HISTOGRAM)
    for duration in durations:
        counts[bucket(duration)] += 1
    return counts


@given(DURATIONS, DURATIONS, st.sampled_from([0.0, 1.0, 50.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_a_sample_that_came_between_to_one_part_in_sixty_four(before, between, percentile):
    early, late = histogram(before), histogram(before + between)
    rank = max(1, round(len(between) * percentile / 100))
    assert percentiles(early, late, [percentile]) == [pytest.approx(sorted(between)[rank - 1], rel=1 / 64)]


def test_no_percentile_of_nothing():
    with pytest.raises(ValueError, match="no sample"):
        percentiles(histogram([100]), histogram([100]), [50.0])


def test_a_fresh_file_of_counters_has_no_counts():
    with Shared() as counters:
        assert sum(counters.histogram()) == 0
        assert len(counters.histogram()) == SLOTS - HISTOGRAM


def test_results_come_back_from_their_file(tmp_path):
    found = results(samples("fanout", ONE, "relay_hub", 1.5, 2.5), scale=0.5)
    found.skipped["other"] = "no compiler"
    save(found, tmp_path / "new" / "results.json")
    assert load(tmp_path / "new" / "results.json") == found


def test_a_scenario_measured_anew_replaces_its_samples_and_no_others(tmp_path):
    file = tmp_path / "results.json"
    old = results(samples("fanout", ONE, "relay_hub", 1), samples("rest", "one", "relay_hub", 2))
    old.skipped |= {"other": "was missing", "third": "is missing"}
    keep(old, file)
    keep(results(samples("fanout", ONE, "relay_hub", 3), samples("fanout", ONE, "other", 4)), file)
    merged = load(file)
    assert [(one.scenario, one.peer, one.values) for one in merged.samples] == [
        ("rest", "relay_hub", [2]),
        ("fanout", "relay_hub", [3]),
        ("fanout", "other", [4]),
    ]
    assert merged.skipped == {"third": "is missing"}


def test_a_ratio_is_the_middle_of_the_rounds_ratios_and_not_the_ratio_of_the_middles():
    found = results(samples("fanout", ONE, "relay_hub", 1, 20, 300), samples("fanout", ONE, "floor", 2, 10, 100))
    assert found.ratio("fanout", ONE, "relay_hub", "floor") == 2


def verdict(what: str, *found) -> targets.Verdict:
    [one] = [one for one in targets.judge(results(*found)) if one.target.what.startswith(what)]
    return one


@pytest.mark.parametrize(("micros", "holds"), [(1.15, True), (1.16, False)])
def test_a_target_holds_up_to_its_limit(micros, holds):
    one = verdict(
        "one event a tick, 1,000", samples("fanout", ONE, "relay_hub", micros), samples("fanout", ONE, "floor", 1)
    )
    assert (one.holds, one.seen) == (holds, f"{micros:.2f} times")


@pytest.mark.parametrize(("micros", "holds"), [(0.25, True), (0.3, False)])
def test_a_target_from_below_holds_down_to_its_limit(micros, holds):
    assert verdict("forty events a tick: deliveries", samples("fanout", FORTY, "relay_hub", micros)).holds is holds


def test_a_target_without_its_samples_is_not_measured():
    one = verdict("one event a tick, 1,000", samples("fanout", ONE, "relay_hub", 1.0))
    assert (one.holds, one.word) == (None, "not measured")


def test_every_target_can_be_judged_with_nothing_measured():
    assert {one.word for one in targets.judge(results())} == {"not measured"}
