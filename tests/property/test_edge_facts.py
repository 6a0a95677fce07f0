"""Facts about channels and their members alternate, whatever order the directory's answers come in."""

from collections import defaultdict
from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import Hub
from relay.facts import ChannelOccupied, ChannelVacated, Fact, MemberAdded, MemberRemoved
from relay.testing import ManualClock
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.property.story import delays
from tests.unit.client import APP, arrive

pytestmark = pytest.mark.every_loop
ROOM = "presence-room"
COMING = (ChannelOccupied, MemberAdded)
EDGES = (*COMING, ChannelVacated, MemberRemoved)
visits = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=4)
people = st.lists(st.tuples(st.sampled_from(["ada", "bob"]), visits), min_size=1, max_size=6)


@given(people=people, before=delays, after=delays)
@settings(max_examples=80)
async def test_nobody_is_told_as_there_twice_or_as_gone_twice(
    people: Sequence[tuple[str, Sequence[tuple[int, int]]]], before: Sequence[int], after: Sequence[int]
):
    """Everybody comes and goes as often as it has visits: so many checkpoints outside, so many inside."""
    pace = Pace(before, after)
    edges: dict[tuple[str, str], list[bool]] = defaultdict(list)

    def note(fact: Fact) -> None:
        if isinstance(fact, EDGES):
            who = fact.user_id if isinstance(fact, MemberAdded | MemberRemoved) else ""
            edges[fact.channel, who].append(isinstance(fact, COMING))

    hub = Hub(APP, clock=ManualClock(), broker=Wire(pace).end(), directory=SlowDirectory(pace))
    hub.on(Fact, note)

    async def visit(user: str, visits: Sequence[tuple[int, int]]) -> None:
        socket = await arrive(hub)
        for outside, inside in visits:
            await checkpoints(outside)
            await socket.subscribe(ROOM, user)
            await checkpoints(inside)
            await socket.unsubscribe(ROOM)

    async with hub:
        async with anyio.create_task_group() as tasks:
            for user, their_visits in people:
                tasks.start_soon(visit, user, their_visits)
        await hub.settle()
        for edge in edges.values():
            assert edge == [True, False] * (len(edge) // 2)
        assert set(edges) == {(ROOM, ""), *((ROOM, user) for user, _ in people)}
