"""All workers are replaced under load: each client goes once and comes back once, and publishers see no error."""

from __future__ import annotations

from tests.redis_server import INSTALL, running
from tests.stress.restart import GUIDE, WORKERS, measure

SOCKETS, WINDOW = 2_000, 4.0


async def test_a_rolling_restart_sends_two_thousand_clients_away_once_and_publishers_notice_nothing(require):
    with running(require("redis-server", INSTALL)) as redis:
        found = await measure(SOCKETS, drain=WINDOW, rate=4, redis_url=redis.url)
    assert (found.exit_code, found.stderr) == (0, "")
    assert len(found.old) == len(found.new) == WORKERS
    assert not found.old & found.new
    assert [[one.code for one in visits] for visits in found.visits] == [[4200, None]] * SOCKETS
    assert found.refused == 0
    assert found.counted == SOCKETS
    assert found.accepted > found.accepted_back > found.accepted_before > 0
    assert found.answered > found.accepted
    for first, back in found.visits:
        assert first.numbers == list(range(len(first.numbers)))
        assert len(first.numbers) >= found.accepted_before
        assert len(first.numbers) <= back.numbers[0] <= found.accepted_back + 1
        assert back.numbers == list(range(back.numbers[0], found.accepted))


def test_the_guide_has_the_numbers_that_were_measured():
    assert GUIDE.shown == GUIDE.due
