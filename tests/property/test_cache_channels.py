"""Cache channels, however slow the engines are: a newcomer gets the last event first and then what came after it, never
an older one, none twice and none missing (protocol 2.5).
"""

from dataclasses import dataclass

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay import App, Hub
from relay.testing import ManualClock
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.property.story import Script, Stay, Step, Story, delays, steps_in
from tests.unit.client import ACK, APP, arrive, read

pytestmark = pytest.mark.every_loop
few = settings(max_examples=50)

NEWS, ROOM = "cache-news", "presence-cache-room"
MISS = "pusher:cache_miss"

channels = st.sampled_from([NEWS, NEWS, ROOM])
steps = steps_in(channels)


def scripts(*, nodes: int = 2) -> st.SearchStrategy[Script]:
    """More is published than in the scripts of the gate, and answers always may overtake each other."""
    return st.builds(
        Script,
        clients=st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=4),
        publishers=st.lists(st.lists(st.tuples(st.integers(0, 3), channels), max_size=8), min_size=1, max_size=3),
        drops=st.dictionaries(st.integers(0, 3), st.integers(0, 20), max_size=1),
        before=delays,
        after=delays,
        nodes=st.integers(1, nodes),
    )


ONE_CLIENT = [[Step(2, "subscribe", NEWS)]]
FAST_AND_SLOW = Script(ONE_CLIENT, [[(0, NEWS)], [(0, NEWS), (1, NEWS)]], {}, (3, 0, 1, 4), (4, 0, 0, 2), nodes=2)


def order(story: Story, channel: str) -> list[int]:
    """The numbers of the channel's events in the order they were remembered."""
    frames = map(read, story.directory.remembered)
    return [frame.data for frame in frames if frame.channel == channel]


def later(story: Story, stay: Stay) -> list[int]:
    """The numbers of the events that were remembered after the one that was replayed; all of them after a miss."""
    numbers, first = order(story, stay.channel), stay.frames[1]
    return numbers if first.event == MISS else numbers[numbers.index(first.data) + 1 :]


def live(stay: Stay) -> list[int]:
    """The numbers of the events that came after the replay or miss."""
    return [frame.data for frame in stay.frames[2:] if frame.event == "number"]


@few
@given(scripts())
@example(FAST_AND_SLOW)
async def test_after_the_acknowledgement_comes_either_the_last_event_or_a_miss(script):
    story = await Story(script).play()
    for stay in story.stays:
        events = [frame.event for frame in stay.frames]
        assert events[0] == ACK
        assert events[1] in (MISS, "number")
        assert MISS not in events[2:]


@few
@given(scripts())
@example(FAST_AND_SLOW)
async def test_no_event_comes_twice_and_none_that_is_older_than_the_one_replayed(script):
    story = await Story(script).play()
    for stay in story.stays:
        assert len(live(stay)) == len(set(live(stay)))
        assert set(live(stay)) <= set(later(story, stay))


@few
@given(scripts())
@example(FAST_AND_SLOW)
async def test_nothing_is_missing_that_is_newer_than_the_one_replayed(script):
    story = await Story(script).play()
    for stay in story.stays:
        due = {number for number in later(story, stay) if story.published[number].done < stay.left}
        assert due <= set(live(stay))


@few
@given(scripts())
@example(FAST_AND_SLOW)
async def test_what_was_published_before_a_client_asked_is_not_newer_than_the_one_replayed(script):
    story = await Story(script).play()
    for stay in story.stays:
        before = {event.number for event in story.published if event.done < stay.asked}
        assert before.isdisjoint(later(story, stay))


@few
@given(scripts(nodes=1))
@example(Script(ONE_CLIENT, [[(5, NEWS)], [(5, NEWS)], [(6, NEWS)]], {}, (0,), (9, 0, 0)))
async def test_on_one_node_subscribers_get_events_in_the_order_they_are_remembered(script):
    story = await Story(script).play()
    for stay in story.stays:
        position = order(story, stay.channel).index
        assert list(map(position, stay.numbers)) == sorted(map(position, stay.numbers))


@few
@given(scripts())
async def test_in_the_end_all_is_sound(script):
    story = await Story(script).play()
    assert story.problems == []
    assert story.places == story.believed()


@few
@given(patience=st.integers(1, 12), before=delays, after=delays)
async def test_a_publish_that_is_given_up_is_remembered_and_delivered_or_neither(patience, before, after):
    pace = Pace(before, after)
    hub = Hub(APP, broker=Wire(pace).end(), directory=SlowDirectory(pace))
    async with hub:
        early, late = await arrive(hub), await arrive(hub)
        await early.subscribe(NEWS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.trigger, NEWS, "number", 1)
            await checkpoints(patience)
            tasks.cancel_scope.cancel()
        await hub.settle()
        await late.subscribe(NEWS)
        assert ("number" in early.events()) == ("number" in late.events())


# time to live, and the bound


@dataclass(frozen=True)
class Moment:
    """Time passes, then something is published to a channel, or somebody subscribes to it."""

    wait: int
    verb: str
    channel: str


moments = st.builds(
    Moment,
    wait=st.sampled_from([0, 0, 1, 4, 5, 6, 9, 10, 11]),
    verb=st.sampled_from(["publish", "subscribe"]),
    channel=st.sampled_from([f"cache-{number}" for number in range(5)]),
)
TTL, MOST = 10, 3


@given(st.lists(moments, max_size=30))
async def test_an_event_is_replayed_until_it_is_over_or_that_of_too_many_other_channels_is_newer(story):
    clock = ManualClock()
    hub = Hub(App(id="1", key="k", secret="s", cache_ttl=TTL, max_cached_channels=MOST), clock=clock)
    published: list[tuple[float, str]] = []
    async with hub:
        for number, moment in enumerate(story):
            await clock.advance(moment.wait)
            if moment.verb == "publish":
                await hub.trigger(moment.channel, "number", number)
                published.append((clock.now(), moment.channel))
                continue
            socket = await arrive(hub)
            await socket.subscribe(moment.channel)
            names = [channel for _, channel in published]
            last = len(names) - 1 - names[::-1].index(moment.channel) if moment.channel in names else None
            fresh = last is not None and clock.now() - published[last][0] < TTL and len(set(names[last:])) <= MOST
            assert socket.events() == [ACK, "number" if fresh else MISS]
            socket.disconnect()
