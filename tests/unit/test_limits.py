"""Token buckets, with time passed in."""

from hypothesis import given
from hypothesis import strategies as st

from relay.limits import TokenBucket


def test_a_burst_is_allowed_and_then_one_more_for_each_share_of_a_second():
    bucket = TokenBucket(rate=10, burst=3, now=100.0)
    assert [bucket.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(100.125), bucket.take(100.125)] == [True, False]


def test_a_long_rest_earns_no_more_than_a_burst():
    bucket = TokenBucket(rate=10, burst=3, now=0.0)
    assert [bucket.take(1_000_000.0) for _ in range(4)] == [True, True, True, False]


def test_what_is_refused_costs_nothing():
    bucket = TokenBucket(rate=1, burst=1, now=0.0)
    assert bucket.take(0.0)
    assert not any(bucket.take(share / 16) for share in range(16))
    assert bucket.take(1.0)


@given(st.lists(st.integers(0, 64), max_size=60))
def test_in_no_stretch_of_time_is_more_allowed_than_a_burst_and_the_rate(steps):
    bucket, now, taken = TokenBucket(rate=4, burst=5, now=0.0), 0.0, []
    for step in steps:
        now += step / 16
        if bucket.take(now):
            taken.append(now)
    for first, begin in enumerate(taken):
        for last, end in enumerate(taken[first:], start=first):
            assert last - first + 1 <= 5 + 4 * (end - begin)
