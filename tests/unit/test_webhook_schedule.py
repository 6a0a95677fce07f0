"""When webhooks are sent, in which order, how often, and when they are given up (protocol 7.3)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay import WebhookEndpoint
from relay.facts import (
    CacheMissed,
    ChannelOccupied,
    ChannelVacated,
    ClientEvent,
    CountChanged,
    Fact,
    MemberAdded,
    MemberRemoved,
    WebhookDelivered,
    WebhookGivenUp,
)
from relay.protocol import messages
from relay.protocol.webhooks import WebhookEvent
from relay.webhooks import event_of, needed
from tests.unit.webhook_world import ABOUT, UNIX, World

URL = "https://example.com/w"
ONE = WebhookEndpoint(URL)
BATCHING = WebhookEndpoint(URL, batching=True, batch_size=3)


def occupied(channel: str = "orders") -> ChannelOccupied:
    return ChannelOccupied(channel=channel, **ABOUT)


def vacated(channel: str = "orders") -> ChannelVacated:
    return ChannelVacated(channel=channel, **ABOUT)


def added(user_id: str) -> MemberAdded:
    return MemberAdded(channel="presence-room", user_id=user_id, **ABOUT)


def removed(user_id: str) -> MemberRemoved:
    return MemberRemoved(channel="presence-room", user_id=user_id, **ABOUT)


def missed(channel: str) -> CacheMissed:
    return CacheMissed(socket_id="1.1", channel=channel, **ABOUT)


def news_of(fact: Fact) -> WebhookEvent:
    event = event_of(fact)
    assert event is not None
    return event


def typed(data: str, user_id: str | None = "u-42") -> ClientEvent:
    text = messages.event("client-typing", "presence-room", data, user_id)
    return ClientEvent(
        socket_id="1.2", channel="presence-room", event="client-typing", user_id=user_id, text=text, **ABOUT
    )


@pytest.mark.parametrize(
    ("fact", "event"),
    [
        (occupied(), {"name": "channel_occupied", "channel": "orders"}),
        (vacated(), {"name": "channel_vacated", "channel": "orders"}),
        (added("u"), {"name": "member_added", "channel": "presence-room", "user_id": "u"}),
        (removed("u"), {"name": "member_removed", "channel": "presence-room", "user_id": "u"}),
        (missed("cache-x"), {"name": "cache_miss", "channel": "cache-x"}),
        (
            CountChanged(app="1001", time=0.0, channel="orders", subscription_count=3),
            {"name": "subscription_count", "channel": "orders", "subscription_count": 3},
        ),
        (
            typed('{"who":"\u00e4"}'),
            {
                "name": "client_event",
                "channel": "presence-room",
                "event": "client-typing",
                "data": '{"who":"\u00e4"}',
                "socket_id": "1.2",
                "user_id": "u-42",
            },
        ),
    ],
)
def test_each_kind_is_sent_as_it_is_documented(fact, event):
    world = World(ONE)
    world.note(fact)
    world.advance(3)
    assert [attempt.events for attempt in world.attempts] == [[event]]


def test_user_id_is_only_told_of_members():
    world = World(ONE)
    world.note(typed("x", user_id=None))
    assert "user_id" not in world.attempts[0].events[0]


@pytest.mark.parametrize("fact", [occupied, vacated])
def test_server_to_user_channels_are_no_business_of_receivers(fact):
    assert event_of(fact("#server-to-user-ada")) is None


def test_only_facts_that_matter_are_listened_to():
    assert needed(["channel_vacated"]) == {ChannelOccupied, ChannelVacated}
    assert needed(["client_event"]) == {ClientEvent}
    assert needed([]) == set()


def test_signed_body_tells_when_it_was_made():
    world = World(ONE)
    world.now = 0.1234
    world.note(occupied())
    request = world.attempts[0].request
    assert request.body.startswith(b'{"time_ms":1760000000123,"events":[')
    assert request.headers["Content-Type"] == "application/json"


def test_headers_of_the_endpoint_come_along():
    world = World(WebhookEndpoint(URL, headers={"Authorization": "Bearer token"}))
    world.note(occupied())
    assert world.attempts[0].request.headers["Authorization"] == "Bearer token"


def test_departure_is_told_after_three_seconds():
    world = World(ONE)
    world.note(occupied())
    world.note(vacated())
    world.advance(2.99)
    assert world.told() == [(0, "channel_occupied", "orders")]
    world.advance(1)
    assert world.told()[1:] == [(3, "channel_vacated", "orders")]


def test_who_comes_back_in_time_was_never_away():
    world = World(ONE)
    world.note(added("ada"))
    for _ in range(5):
        world.note(removed("ada"))
        world.advance(2.9)
        world.note(added("ada"))
        world.advance(2.9)
    world.advance(10)
    assert [name for _, name, _ in world.told()] == ["member_added"]
    world.note(removed("ada"))
    world.advance(3)
    world.note(added("ada"))
    assert [name for _, name, _ in world.told()] == ["member_added", "member_removed", "member_added"]


def test_another_user_is_not_the_one_who_left():
    world = World(ONE)
    world.note(removed("ada"))
    world.note(added("bob"))
    world.advance(3)
    assert [event["user_id"] for attempt in world.attempts for event in attempt.events] == ["bob", "ada"]


@pytest.mark.parametrize("kind", ["channel_occupied", "channel_vacated"])
def test_reload_makes_no_noise_where_only_one_of_the_pair_is_wanted(kind):
    world = World(WebhookEndpoint(URL, events=(kind,)))
    world.note(vacated())
    world.advance(1)
    world.note(occupied())
    world.advance(10)
    assert world.told() == []
    world.note(vacated())
    world.advance(3)
    world.note(occupied())
    assert [name for _, name, _ in world.told()] == [kind]
    assert world.schedule.idle


def test_filter_by_channel_prefix():
    world = World(WebhookEndpoint(URL, channel_prefixes=("private-",)))
    for channel in ("orders", "private-a", "presence-b"):
        world.note(occupied(channel))
        world.note(vacated(channel))
    world.advance(3)
    assert [channel for _, _, channel in world.told()] == ["private-a", "private-a"]


def test_empty_cache_channel_is_told_once_until_something_is_published_to_it():
    world = World(ONE)
    world.note(missed("cache-a"))
    world.note(missed("cache-a"))
    world.note(missed("cache-b"))
    assert [channel for _, _, channel in world.told()] == ["cache-a", "cache-b"]
    world.schedule.filled(["cache-a", "orders"])
    world.note(missed("cache-b"))
    world.note(missed("cache-a"))
    assert [channel for _, _, channel in world.told()] == ["cache-a", "cache-b", "cache-a"]


def test_empty_cache_channel_is_told_anew_when_what_another_node_published_would_be_gone():
    world = World(ONE)
    world.note(missed("cache-a"))
    world.advance(1799)
    world.note(missed("cache-a"))
    world.advance(1)
    world.note(missed("cache-a"))
    assert [at for at, _, _ in world.told()] == [0, 1800]


def test_each_event_has_a_request_of_its_own_unless_batching_is_on():
    world = World(ONE)
    for number in range(3):
        world.schedule.note(event_of(occupied(f"c-{number}")), world.now, world.time)  # type: ignore[arg-type]
    world.advance(0)
    assert [len(attempt.events) for attempt in world.attempts] == [1, 1, 1]


def test_batch_gathers_for_a_moment_up_to_its_size():
    world = World(BATCHING)
    world.note(occupied("c-0"))
    world.advance(0.04)
    world.note(occupied("c-1"))
    assert world.attempts == []
    world.advance(0.02)
    assert world.told() == [(0.05, "channel_occupied", "c-0"), (0.05, "channel_occupied", "c-1")]
    for number in range(4):
        world.note(occupied(f"d-{number}"))
    assert [len(attempt.events) for attempt in world.attempts] == [2, 3]
    world.advance(1)
    assert [len(attempt.events) for attempt in world.attempts] == [2, 3, 1]


def test_batch_is_bounded_in_bytes_too():
    world = World(WebhookEndpoint(URL, batching=True, batch_interval=1))
    for _ in range(30):
        world.note(typed("x" * 20_000))
    world.advance(5)
    assert len(world.told()) == 30
    assert max(len(attempt.request.body) for attempt in world.attempts) < 262_144 + 100


def test_failed_request_comes_again_with_the_same_bytes_after_growing_pauses_for_five_minutes():
    world = World(ONE, lambda: 500)
    world.note(occupied())
    world.advance(1000)
    pauses = [later.at - earlier.at for earlier, later in pairwise(world.attempts)]
    for pause, most in zip(pauses[:-1], [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60], strict=False):
        assert most / 2 <= pause <= most
    assert world.attempts[-1].at == 300
    assert len({(attempt.request.body, *attempt.request.headers.values()) for attempt in world.attempts}) == 1
    assert list(world.schedule.reports()) == [
        WebhookGivenUp(
            app="1001",
            time=UNIX + 300,
            url=URL,
            events=1,
            reason="the last answer was status 500",
            attempts=len(world.attempts),
        )
    ]
    assert world.schedule.idle


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_a_success(status):
    world = World(ONE, lambda: status)
    world.note(occupied())
    world.advance(400)
    assert [attempt.status for attempt in world.attempts] == [status]
    assert list(world.schedule.reports()) == [
        WebhookDelivered(app="1001", time=UNIX, url=URL, events=1, status=status, attempts=1)
    ]


@pytest.mark.parametrize("status", [None, 199, 301, 307, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status):
    answers = [status, status, 200]
    world = World(ONE, lambda: answers.pop(0))
    world.note(occupied())
    world.advance(10)
    assert [attempt.status for attempt in world.attempts] == [status, status, 200]


def test_receiver_that_is_gone_is_not_asked_again_about_the_same():
    answers: list[int | None] = [410, 200]
    world = World(ONE, lambda: answers.pop(0))
    world.note(occupied("a"))
    world.note(occupied("b"))
    assert world.told() == [(0, "channel_occupied", "b")]
    [given_up, _] = world.schedule.reports()
    assert isinstance(given_up, WebhookGivenUp)
    assert given_up.reason == "the last answer was status 410"


def test_order_is_kept_while_a_request_is_tried_again():
    answers: list[int | None] = [None, 500, 200, 200, 200]
    world = World(ONE, lambda: answers.pop(0))
    for channel in ("a", "b", "c"):
        world.note(occupied(channel))
    world.advance(10)
    assert [channel for _, _, channel in world.told()] == ["a", "b", "c"]


def test_what_waited_five_minutes_behind_a_dead_receiver_is_given_up_with_it():
    world = World(ONE)
    world.respond = lambda: 500 if world.now < 300.5 else 200
    for number in range(100):
        world.note(occupied(f"c-{number}"))
    world.advance(299)
    world.note(occupied("late"))
    world.advance(10)
    assert [channel for _, _, channel in world.told()] == ["late"]
    *given_up, delivered = world.schedule.reports()
    assert [(report.events, report.attempts) for report in given_up] == [(1, given_up[0].attempts), (99, 0)]
    assert isinstance(delivered, WebhookDelivered)


@pytest.mark.parametrize("bound", [{"max_queued": 3}, {"max_queued_bytes": 150}])
def test_queue_is_bounded_and_the_oldest_makes_room(bound):
    world = World(WebhookEndpoint(URL, **bound), delay=50)
    for number in range(8):  # the first is out
        world.note(occupied(f"c-{number}"))
    world.advance(1000)
    assert [channel for _, _, channel in world.told()] == ["c-0", "c-5", "c-6", "c-7"]
    reports = world.schedule.reports()
    assert sum(report.events for report in reports if isinstance(report, WebhookGivenUp)) == 4
    assert {report.reason for report in reports if isinstance(report, WebhookGivenUp)} == {
        "too many wait for this receiver"
    }


def test_departures_that_are_kept_back_are_bounded_too():
    world = World(WebhookEndpoint(URL, max_queued=3))
    for number in range(5):
        world.note(vacated(f"c-{number}"))
    world.advance(3)
    assert [channel for _, _, channel in world.told()] == ["c-2", "c-3", "c-4"]
    assert sum(report.events for report in world.schedule.reports() if isinstance(report, WebhookGivenUp)) == 2


@pytest.mark.parametrize(
    ("endpoint", "a_second"), [(ONE, 100), (WebhookEndpoint(URL, batching=True, batch_size=5), 500)]
)
def test_crowd_that_leaves_at_once_is_told_at_a_bounded_rate(endpoint, a_second):
    world = World(endpoint)
    for number in range(2 * a_second):
        world.schedule.note(event_of(vacated(f"c-{number}")), world.now, world.time)  # type: ignore[arg-type]
    world.advance(60)
    told = world.told()
    assert len(told) == 2 * a_second
    assert [channel for _, _, channel in told] == [f"c-{number}" for number in range(2 * a_second)]
    seconds = [int((attempt.at - 3) // 1) for attempt in world.attempts]
    assert max(seconds.count(second) for second in set(seconds)) <= 110
    assert told[-1][0] == pytest.approx(3 + 2, abs=0.2)


def test_who_comes_back_while_a_crowd_waits_for_its_turn_was_never_away():
    world = World(ONE)
    for number in range(100):
        world.note(vacated(f"c-{number}"))
    world.advance(3.2)
    world.note(occupied("c-99"))
    world.advance(60)
    assert len(world.told()) == 99
    assert "c-99" not in {channel for _, _, channel in world.told()}


def test_departures_are_shown_before_they_are_let_go():
    world = World(ONE)
    for number in range(15):
        world.schedule.note(news_of(vacated(f"c-{number}")), world.now, world.time)
    assert world.schedule.leaving(2.9) == []
    leaving = world.schedule.leaving(3)
    assert [event.channel for event in leaving] == [f"c-{number}" for number in range(10)]
    world.schedule.stayed(leaving[0])
    world.advance(5)
    assert [channel for _, _, channel in world.told()] == [f"c-{number}" for number in range(1, 15)]


def test_hurry_sends_everything_now():
    world = World(BATCHING)
    world.note(vacated())
    world.note(occupied("a"))
    world.schedule.hurry(world.now)
    world.advance(0)
    assert {(at, name) for at, name, _ in world.told()} == {(0, "channel_occupied"), (0, "channel_vacated")}
    assert world.schedule.idle


def test_after_hurry_a_failure_gives_up_everything():
    world = World(ONE, lambda: 500)
    facts: list[Fact] = [occupied("a"), occupied("b"), vacated("c")]
    for fact in facts:
        world.note(fact)
    world.schedule.hurry(world.now)
    world.advance(0)
    assert len(world.attempts) == 2  # one before
    [report] = world.schedule.reports()
    assert isinstance(report, WebhookGivenUp)
    assert (report.events, report.attempts) == (3, 2)
    assert report.reason == "the hub closed; the last answer was status 500"
    assert world.schedule.idle


def test_abandoned_request_may_still_be_answered():
    world = World(ONE, delay=5)
    world.note(occupied())
    world.schedule.abandon("the hub closed", world.time)
    world.advance(5)
    [report] = world.schedule.reports()
    assert isinstance(report, WebhookGivenUp)
    assert report.events == 1
