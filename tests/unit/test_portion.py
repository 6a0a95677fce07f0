"""What is taken out in one beat is little, and never nothing."""

import pytest

from relay.cluster.directory import Abandoned, Left
from relay.cluster.portion import Portion

GONE = Abandoned("1", "orders", "1.1", None, Left())


@pytest.mark.parametrize(("passed", "over"), [(0.0, False), (0.49, False), (0.5, True), (100.0, True)])
def test_a_portion_is_over_after_a_quarter_of_the_time_between_two_beats(passed, over):
    now = 7.0
    portion = Portion(2.0, lambda: now)
    portion.asked = True
    now += passed
    assert portion.over == over


def test_however_slow_an_engine_is_something_is_asked_in_every_beat():
    now = 7.0
    portion = Portion(2.0, lambda: now)
    now += 100
    assert not portion.over
    portion.asked = True
    assert portion.over


def test_a_portion_is_over_when_it_is_large():
    portion = Portion(2.0, lambda: 0.0)
    portion.asked = True
    portion.gone += [GONE] * 999
    assert not portion.over
    portion.gone.append(GONE)
    assert portion.over
