"""What looks after every test whether its hubs are sound finds one that is not."""

import pytest

from relay import Hub
from relay.facts import Connected, EventsLost
from relay.testing import ManualClock
from tests.soundness import problems_of
from tests.unit.client import APP, arrive


@pytest.mark.unsound_hub
async def test_counts_that_do_not_fit_the_registries_are_found():
    async with Hub(APP, clock=ManualClock()) as hub:
        socket = await arrive(hub)
        assert list(problems_of(hub)) == []
        hub.journal.record(Connected(app=APP.id, time=0.0, socket_id="1.2"))
        assert list(problems_of(hub)) == ["app 1001: 2 came, 0 went, and 1 are here"]
        socket.disconnect()
        lost = EventsLost(app=APP.id, time=0.0, socket_id="1.2", count=3, policy="drop_oldest", backlog=0)
        hub.journal.record(lost)
        assert "app 1001: 3 events were told as lost, 0 were" in list(problems_of(hub))


def test_a_hub_that_never_ran_is_sound():
    assert list(problems_of(Hub(APP))) == []
