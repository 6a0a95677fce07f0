"""Many who join one channel at once: the broker is asked for it once, and nobody is let in before it answered."""

import anyio
import pytest

from relay import App, BrokerUnavailable, Hub
from relay.cluster.local import LocalBroker
from relay.testing import ManualClock
from tests.unit.client import ACK, Socket, arrive

pytestmark = pytest.mark.every_loop

APP = App(id="1", key="k", secret="s")


class SlowBroker(LocalBroker):
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.answer = anyio.Event()

    async def subscribe(self, app: str, channel: str) -> None:
        self.asked.append(channel)
        await self.answer.wait()
        if self.away:
            raise BrokerUnavailable("connection refused")

    async def unsubscribe(self, app: str, channel: str) -> None:
        self.asked.append(f"no {channel}")


@pytest.fixture
async def broker() -> SlowBroker:  # async: its event belongs to a loop
    return SlowBroker()


async def together(hub: Hub, broker: SlowBroker, channel: str) -> list[Socket]:
    """Twenty clients that subscribe at once, while the broker does not answer."""
    clients = [await arrive(hub) for _ in range(20)]
    async with anyio.create_task_group() as joining:
        for number, client in enumerate(clients):
            joining.start_soon(client.subscribe, channel, f"user {number}")
        await anyio.wait_all_tasks_blocked()
        assert [client.events() for client in clients] == [[]] * 20
        broker.answer.set()
    return clients


async def test_the_broker_is_asked_once_and_everybody_waits_for_its_answer(broker):
    async with Hub(APP, broker=broker, clock=ManualClock()) as hub:
        clients = await together(hub, broker, "presence-room")
        assert broker.asked == ["presence-room"]
        assert [client.events()[0] for client in clients] == [ACK] * 20
        await (await arrive(hub)).subscribe("presence-room", "late")
        assert broker.asked == ["presence-room"]


async def test_an_answer_that_fails_is_everybodys_and_who_comes_later_asks_again(broker):
    broker.away = True
    async with Hub(APP, broker=broker, clock=ManualClock()) as hub:
        clients = await together(hub, broker, "news")
        assert [client.events() for client in clients] == [[ACK]] * 20
        broker.away = False
        late = await arrive(hub)
        await late.subscribe("news")
        assert (broker.asked, late.events()) == (["news", "news"], [ACK])


async def test_who_comes_after_the_first_ones_left_again_asks_anew(broker):
    async with Hub(APP, broker=broker, clock=ManualClock()) as hub:
        early, late = await arrive(hub), await arrive(hub)
        async with anyio.create_task_group() as joining:
            joining.start_soon(early.subscribe, "news")
            await anyio.wait_all_tasks_blocked()
            early.disconnect()
            joining.start_soon(late.subscribe, "news")
            await anyio.wait_all_tasks_blocked()
            broker.answer.set()
        await hub.settle()
        assert late.events() == [ACK]
        assert (broker.asked.count("news"), broker.asked[-1]) == (2, "news")
