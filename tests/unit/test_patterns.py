"""Patterns: which channels a name with wildcards means."""

import pytest

from relay.patterns import is_pattern, matcher


@pytest.mark.parametrize(
    ("pattern", "channels"),
    [
        ("orders", ["orders"]),
        ("private-*", ["private-", "private-orders", "private-encrypted-a"]),
        ("*-*s", ["private-orders"]),
        ("order[sz]", ["orders", "orderz"]),
        ("order?", ["orders", "orderz"]),
        ("Orders", []),
        ("#server-to-user-7", ["#server-to-user-7"]),
        ("#server-to-user-*", []),
    ],
)
def test_a_pattern_covers_the_whole_name_and_case_matters(pattern, channels):
    every = ["orders", "orderz", "private-", "private-orders", "private-encrypted-a", "presence-room"]
    matches = matcher(pattern)
    assert {name for name in [*every, "#server-to-user-7"] if matches(name)} == set(channels)


def test_what_a_users_own_channel_is_called_is_no_pattern():
    assert not is_pattern("#server-to-user-[a]*")
    assert matcher("#server-to-user-[a]*")("#server-to-user-[a]*")


def test_a_line_break_behind_a_name_is_part_of_it():
    assert not matcher("order?")("orders\n")
