"""What all nodes have to have the same is compared by name, and told by name."""

import pytest

from relay.cluster.agreement import Agreement
from relay.errors import SettingsDiffer


def test_the_setting_that_differs_is_told_with_both_values_and_what_to_do():
    ours = Agreement("shop", 5, {"format": "1.1", "lease": 5.0, "shards": 4})
    with pytest.raises(SettingsDiffer) as differs:
        ours.take_part(7, {"format": "1.1", "lease": "10", "shards": "1"})
    assert (differs.value.setting, differs.value.ours, differs.value.theirs) == ("lease", "5", "10")
    assert str(differs.value) == (
        "lease is 10 on the other nodes of the cluster 'shop', and 5 on this one: have the same on all, or another"
        " prefix for what is another cluster; to change it on all, stop them, and start the first one 10 seconds later"
    )
    assert ours.since == 0


def test_another_format_is_another_version():
    with pytest.raises(
        SettingsDiffer, match=r"format is 1\.2 .* and 1\.1 on this one, which is another version of Relay"
    ):
        Agreement("shop", 5, {"format": "1.1"}).take_part(7, {"format": "1.2"})


def test_a_node_that_has_the_same_knows_since_when():
    ours = Agreement("shop", 10, {"lease": 10, "shards": 1})
    ours.take_part(7, {"lease": "10", "shards": "1"})
    assert ours.since == 7


def test_names_that_only_some_versions_know_separate_nobody():
    ours = Agreement("shop", 10, {"lease": 10.0, "newer": 1})
    ours.take_part(7, {"lease": "10", "newest": "2"})
    assert ours.since == 7


def test_whole_numbers_and_fractions_of_one_value_are_the_same():
    assert Agreement("shop", 1, {"lease": 10}).terms == Agreement("shop", 1, {"lease": 10.0}).terms == {"lease": "10"}
