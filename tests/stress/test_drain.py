"""A server that ends under load: nothing is lost for who is connected, everybody is told to come back, nobody errs."""

from __future__ import annotations

from tests.redis_server import INSTALL, running
from tests.stress.drain import GUIDE, measure

SOCKETS, WINDOW = 200, 3.0


async def test_a_server_is_replaced_under_load(require):
    with running(require("redis-server", INSTALL)) as redis:
        found = await measure(SOCKETS, drain=WINDOW, rate=20, redis_url=redis.url)
    assert (found.exit_code, found.stderr) == (0, "")
    assert [one.code for one in found.first] == [4200] * SOCKETS
    assert len(found.back) == SOCKETS
    assert [one.gaps for one in (*found.first, *found.back)] == [0] * 2 * SOCKETS
    for one in found.first:
        assert one.numbers[0] == 0
        assert one.numbers[-1] >= found.accepted_before - 1
    assert {one.numbers[-1] for one in found.back} == {found.accepted - 1}
    assert found.accepted > found.accepted_before > 0
    assert max(one.until for one in found.first) - min(one.until for one in found.first) > 1  # 100 a second


def test_the_guide_has_the_numbers_that_were_measured():
    assert GUIDE.shown == GUIDE.due
