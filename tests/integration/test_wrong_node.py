"""A client over HTTP whose requests a load balancer scatters: what each node answers that does not have its session."""

import pytest

from relay import Hub
from relay.testing import ManualClock
from tests.integration.over_http import Poller
from tests.integration.serving import serving
from tests.unit.client import APP

pytestmark = pytest.mark.anyio


async def test_what_is_sent_to_a_node_without_the_session_is_refused_and_a_poll_there_opens_another_one():
    clock = ManualClock()
    async with serving(Hub(APP, clock=clock)) as right, serving(Hub(APP, clock=clock)) as wrong:
        client = await Poller(right).open()
        astray = Poller(wrong)
        answer = await astray.post("xhr_send", b'["{}"]')
        assert (answer.status, answer.body) == (404, b"There is no such session\n")
        assert wrong.hub.stats().connections == 0
        await astray.open()
        assert astray.socket_id != client.socket_id
        assert [one.hub.stats().connections for one in (right, wrong)] == [1, 1]
        await clock.advance(11)
        assert right.hub.stats().connections == 0
