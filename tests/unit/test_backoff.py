"""When a client comes back: never, at once, or with pauses that grow and that no two clients share."""

from random import Random

import pytest

from relay.client import Backoff

BACKOFF = Backoff(first=1, most=30)


@pytest.mark.parametrize(("attempt", "most"), [(0, 2), (1, 4), (2, 8), (3, 16), (4, 30), (1000, 30)])
def test_each_attempt_is_spread_from_the_first_pause_to_one_that_doubles(attempt, most):
    delays = [BACKOFF.delay(1006, attempt, Random(seed)) for seed in range(200)]
    assert all(delay is not None and 1 <= delay <= most for delay in delays)
    assert len(set(delays)) == 200
    assert max(delay or 0 for delay in delays) > 1 + 0.9 * (most - 1)


@pytest.mark.parametrize("code", [4000, 4001, 4009, 4099])
def test_who_is_not_wanted_stays_away(code):
    assert BACKOFF.delay(code, 0, Random(1)) is None


def test_who_is_told_to_reconnect_does_so_at_once_the_first_time():
    assert BACKOFF.delay(4200, 0, Random(1)) == 0
    assert (BACKOFF.delay(4200, 1, Random(1)) or 0) >= 1


def test_a_pause_that_is_the_longest_already_is_always_the_same():
    assert Backoff(first=5, most=5).delay(1006, 3, Random(1)) == 5
