"""Whatever happens, and whatever receivers answer: they are told each edge once, in order, and reloads are no news."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay import WebhookEndpoint
from relay.facts import ChannelOccupied, ChannelVacated, Fact, MemberAdded, MemberRemoved, WebhookGivenUp
from tests.unit.webhook_world import ABOUT, World

URL = "https://example.com/w"
PLACES = ("orders", "news", "presence-room/ada", "presence-room/bob")
STEPS = st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from([0, 0.5, 1, 2.5, 3, 4])), max_size=40)
"""Somebody comes or goes, whichever it is the turn of, and so many seconds pass."""
ENDPOINTS = st.builds(
    WebhookEndpoint,
    st.just(URL),
    batching=st.booleans(),
    batch_interval=st.sampled_from([0, 0.05, 1]),
    batch_size=st.integers(1, 5),
)
NAMES = {
    ChannelOccupied: "channel_occupied",
    ChannelVacated: "channel_vacated",
    MemberAdded: "member_added",
    MemberRemoved: "member_removed",
}
Edge = tuple[float, str, bool]
"""When, where, and whether somebody came."""


def fact_of(place: str, *, came: bool) -> Fact:
    channel, _, user_id = place.partition("/")
    if user_id:
        return (MemberAdded if came else MemberRemoved)(channel=channel, user_id=user_id, **ABOUT)
    return (ChannelOccupied if came else ChannelVacated)(channel=channel, **ABOUT)


def play(world: World, steps: list[tuple[str, float]]) -> list[Edge]:
    """What happened: at each place coming and going take turns."""
    here: set[str] = set()
    edges = []
    for place, seconds in steps:
        came = place not in here
        (here.add if came else here.discard)(place)
        edges.append((world.now, place, came))
        world.note(fact_of(place, came=came))
        world.advance(seconds)
    return edges


def expected(edges: list[Edge]) -> dict[str, list[tuple[float, bool]]]:
    """When each place is told of, and of what: a departure 3 s later, unless somebody comes back before."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for place in {place for _, place, _ in edges}:
        mine = [(at, came) for at, where, came in edges if where == place]
        news, skip = [], False
        for (at, came), following in zip(mine, [*mine[1:], None], strict=True):
            if skip:
                skip = False
            elif not came and following is not None and following[0] < at + 3:
                skip = True  # neither this departure nor the arrival after it
            else:
                news.append((at if came else at + 3, came))
        found[place] = news
    return found


def told(world: World) -> dict[str, list[tuple[float, bool]]]:
    """When the receiver took what about each place."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for attempt in world.attempts:
        if attempt.status == 200:
            for event in attempt.events:
                found.setdefault(place_of(event), []).append((attempt.at, came_of(event)))
    return found


def place_of(event: dict[str, Any]) -> str:
    return f"{event['channel']}/{event['user_id']}" if "user_id" in event else str(event["channel"])


def came_of(event: dict[str, Any]) -> bool:
    assert event["name"] in NAMES.values()
    return event["name"] in ("channel_occupied", "member_added")


@given(STEPS)
def test_receiver_that_answers_200_is_told_each_edge_exactly_once_and_in_time(steps):
    world = World(WebhookEndpoint(URL))
    edges = play(world, steps)
    world.advance(10)
    wanted = {place: news for place, news in expected(edges).items() if news}
    assert told(world) == wanted
    assert world.schedule.idle


@given(STEPS, ENDPOINTS)
def test_batches_tell_the_same_a_moment_later(steps, endpoint):
    world = World(endpoint)
    edges = play(world, steps)
    world.advance(10)
    for place, news in expected(edges).items():
        seen = told(world).get(place, [])
        assert [came for _, came in seen] == [came for _, came in news]
        slack = endpoint.batch_interval if endpoint.batching else 0
        for (at, _), (due, _) in zip(seen, news, strict=True):
            assert due - 1e-9 <= at <= due + slack + 1e-9
    most = endpoint.batch_size if endpoint.batching else 1
    assert all(1 <= len(attempt.events) <= most for attempt in world.attempts)


@given(
    STEPS, ENDPOINTS, st.lists(st.sampled_from([None, 200, 302, 500, 503]), max_size=30), st.sampled_from([0, 0.1, 4])
)
def test_whatever_is_answered_edges_take_turns_and_nothing_is_lost_or_told_twice(steps, endpoint, answers, delay):
    left = list(answers)
    world = World(endpoint, lambda: left.pop() if left else 200, delay=delay)
    last = {place: came for _, place, came in play(world, steps)}
    world.advance(3000)
    assert world.schedule.idle
    assert world.schedule.next() is None
    if not any(isinstance(report, WebhookGivenUp) for report in world.schedule.reports()):
        news = told(world)
        for place, came in last.items():
            seen = [edge for _, edge in news.get(place, [])]
            assert seen == [number % 2 == 0 for number in range(len(seen))], "coming and going take turns"
            assert (seen[-1] if seen else False) is came, "the last news is the truth"
    taken = [attempt.request.body for attempt in world.attempts if attempt.status == 200]
    assert sum(answer != 200 for answer in answers) >= len(world.attempts) - len(taken)


@given(st.lists(st.sampled_from([None, 302, 500]), max_size=12), st.integers(1, 6))
def test_attempts_at_one_request_are_the_same_bytes_and_no_other_comes_between(answers, count):
    left = list(answers)
    world = World(WebhookEndpoint(URL), lambda: left.pop() if left else 200)
    for number in range(count):
        world.note(ChannelOccupied(channel=f"c-{number}", **ABOUT))
    world.advance(2000)
    bodies = [attempt.request.body for attempt in world.attempts]
    assert len(list(dict.fromkeys(bodies))) == 1 + sum(a != b for a, b in pairwise(bodies))
    for earlier, later in pairwise(world.attempts):
        if earlier.request is later.request:
            assert 0.5 <= later.at - earlier.at <= 60
        else:
            assert earlier.request.body != later.request.body
