"""The gate (design 3.4): whatever is slow, and whoever gives up or is dropped meanwhile, a client that was told that it
is subscribed gets every event from then on, none before, none twice, and counts the members right from its roster.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.story import NEWS, ROOM, Script, Step, Story, delays, steps_in
from tests.unit.client import ACK, count_members

pytestmark = pytest.mark.every_loop
few = settings(max_examples=50)
"""For each loop; the same script takes other turns on each."""

channels = st.sampled_from([ROOM, ROOM, NEWS])
steps = steps_in(channels)


def scripts(*, late: bool = True, nodes: int = 1) -> st.SearchStrategy[Script]:
    """With `late`, answers of the engines may overtake each other; what they do never does."""
    return st.builds(
        Script,
        clients=st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=5),
        publishers=st.lists(st.lists(st.tuples(st.integers(0, 4), channels), max_size=6), max_size=2),
        drops=st.dictionaries(st.integers(0, 4), st.integers(0, 20), max_size=2),
        before=delays,
        after=delays if late else st.just((0,)),
        nodes=st.integers(1, nodes),
    )


@few
@given(scripts(nodes=2))
async def test_the_acknowledgement_is_the_first_frame_on_its_channel_and_comes_once(script):
    story = await Story(script).play()
    assert [reader.astray for reader in story.readers if reader.astray] == []
    for stay in story.stays:
        assert [frame.event for frame in stay.frames].index(ACK) == 0
        assert [frame.event for frame in stay.frames].count(ACK) == 1


@few
@given(scripts(nodes=2))
async def test_no_event_is_lost_that_was_published_after_the_client_saw_the_acknowledgement(script):
    story = await Story(script).play()
    for stay in story.stays:
        due = {
            event.number
            for event in story.published
            if event.channel == stay.channel and stay.acknowledged < event.began and event.done < stay.left
        }
        assert due <= set(stay.numbers)


@few
@given(scripts(nodes=2))
async def test_no_event_comes_twice_or_from_before_the_client_asked(script):
    story = await Story(script).play()
    for stay in story.stays:
        assert len(stay.numbers) == len(set(stay.numbers))
        for event in map(story.published.__getitem__, stay.numbers):
            assert event.channel == stay.channel
            assert event.done > stay.asked


@few
@given(scripts(nodes=2))
async def test_events_come_in_the_order_their_publisher_sent_them(script):
    story = await Story(script).play()
    for stay in story.stays:
        for publisher, _ in enumerate(script.publishers):
            numbers = [number for number in stay.numbers if story.published[number].publisher == publisher]
            assert numbers == sorted(numbers)


@few
@given(scripts(nodes=2))
@example(Script(clients=[[Step(0, "subscribe", ROOM)], [Step(0, "subscribe", ROOM, 1), Step(0, "subscribe", ROOM)]]))
async def test_when_all_is_quiet_clients_and_hub_and_directory_and_broker_agree_who_is_where(script):
    story = await Story(script).play()
    assert story.problems == []
    assert story.places == story.believed()
    assert story.subscribed == [set(story.believed(hub)) for hub in story.hubs]


def check_members(story: Story) -> None:
    """Whoever is in the room and counts from its roster knows who else is."""
    for reader in story.readers:
        if ROOM in reader.now:
            assert count_members(reader.now[ROOM].frames)[0] == story.roster


def check_news(story: Story) -> None:
    """Nobody was told of a member it had, or of the leaving of one it had not."""
    for stay in story.stays:
        if stay.channel == ROOM:
            assert count_members(stay.frames)[1] == []


@few
@given(scripts(late=False))
async def test_a_reader_who_counts_from_its_roster_ends_with_the_true_members(script):
    check_members(await Story(script).play())


@few
@given(scripts(late=False))
async def test_each_member_is_told_once(script):
    check_news(await Story(script).play())


@few
@given(scripts())
async def test_members_are_true_in_the_end_when_answers_of_the_directory_overtake_each_other(script):
    check_members(await Story(script).play())


@few
@given(scripts())
async def test_each_member_is_told_once_when_answers_of_the_directory_overtake_each_other(script):
    check_news(await Story(script).play())


@few
@given(scripts(nodes=2))
async def test_members_are_true_in_the_end_over_two_nodes(script):
    check_members(await Story(script).play())
