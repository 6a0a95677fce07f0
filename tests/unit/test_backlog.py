"""What waits for a slow client: which events make room, which frames never do, and when it is too much."""

import pytest

from relay.backlog import Backlog, Bounds, Policy
from relay.protocol import messages
from relay_transports import frames
from relay_transports.frames import WEBSOCKET
from relay_transports.inprocess.transport import TEXT

PROTOCOL = [
    WEBSOCKET.frame(messages.PONG),
    WEBSOCKET.frame(messages.error("no", 4301)),
    WEBSOCKET.frame(messages.member_removed("presence-a", "ada")),
    WEBSOCKET.frame(messages.subscription_succeeded("a", None)),
    WEBSOCKET.ping,
    frames.frame(frames.PONG, b"hello"),
    frames.close(4200),
    WEBSOCKET.frame(b"no JSON at all"),
    WEBSOCKET.frame(b'{"event": 5}'),
    b"",
]


def event(number: int, name: str = "paid", channel: str = "orders") -> bytes:
    return WEBSOCKET.frame(messages.event(name, channel, str(number)))


def backlog(policy: Policy, *, max_bytes: int = 100_000, max_frames: int = 3) -> Backlog:
    return Backlog(Bounds(max_bytes, max_frames, policy), WEBSOCKET)


def everything(waiting: Backlog) -> list[bytes]:
    return waiting.take(waiting.bytes, len(waiting))


@pytest.mark.parametrize("policy", ["drop_oldest", "latest_only"])
def test_frames_leave_in_the_order_they_came(policy):
    waiting = backlog(policy, max_frames=100)
    sent = [frame for number in range(5) for frame in (event(number, f"event-{number}"), PROTOCOL[number])]
    assert [waiting.push(frame) for frame in sent] == [0] * 10
    assert (waiting.bytes, len(waiting)) == (sum(map(len, sent)), 10)
    assert everything(waiting) == sent
    assert (waiting.bytes, len(waiting)) == (0, 0)


def test_oldest_event_makes_room_in_frames():
    waiting = backlog("drop_oldest")
    assert [waiting.push(event(number)) for number in range(5)] == [0, 0, 0, 1, 1]
    assert everything(waiting) == [event(2), event(3), event(4)]


def test_as_many_of_the_oldest_make_room_in_bytes_as_a_large_event_needs():
    waiting = backlog("drop_oldest", max_bytes=5 * len(event(0)), max_frames=100)
    large = event(10 ** (2 * len(event(0)) - 10))
    assert [waiting.push(event(number)) for number in range(5)] == [0] * 5
    assert waiting.push(large) == 3
    assert everything(waiting) == [event(3), event(4), large]


@pytest.mark.parametrize("policy", ["drop_oldest", "latest_only"])
@pytest.mark.parametrize("frame", PROTOCOL)
def test_what_is_no_event_of_the_application_is_never_lost(policy, frame):
    waiting = backlog(policy)
    waiting.push(frame)
    for number in range(9):
        waiting.push(event(number, f"event-{number}"))
    assert waiting.push(frame) == 1
    assert everything(waiting) == [frame, event(8, "event-8"), frame]
    assert not waiting.full


@pytest.mark.parametrize("policy", ["drop_oldest", "latest_only"])
def test_it_is_full_when_what_may_not_be_lost_fills_it(policy):
    waiting = backlog(policy)
    lost = [waiting.push(frame) for frame in (event(0), *PROTOCOL[:3])]
    assert (lost, waiting.full) == ([0, 0, 0, 1], False)
    assert (waiting.push(event(1)), waiting.full) == (1, False)
    assert (waiting.push(PROTOCOL[3]), waiting.full) == (0, True)
    assert everything(waiting) == PROTOCOL[:3]


def test_newer_event_takes_the_place_of_the_waiting_one_of_its_channel_and_name():
    waiting = backlog("latest_only", max_frames=100)
    sent = [event(0), event(1, "sent"), event(2, channel="other"), event(3), event(4)]
    assert [waiting.push(frame) for frame in sent] == [0, 0, 0, 1, 1]
    assert everything(waiting) == [event(1, "sent"), event(2, channel="other"), event(4)]


def test_newer_event_replaces_nothing_that_was_taken_already():
    waiting = backlog("latest_only")
    waiting.push(event(0))
    assert everything(waiting) == [event(0)]
    assert waiting.push(event(1)) == 0
    assert everything(waiting) == [event(1)]


def test_latest_of_too_many_kinds_are_bounded_too():
    waiting = backlog("latest_only")
    assert [waiting.push(event(number, f"event-{number}")) for number in range(5)] == [0, 0, 0, 1, 1]
    assert everything(waiting) == [event(number, f"event-{number}") for number in (2, 3, 4)]


def test_event_that_cannot_fit_is_lost_itself_and_costs_nobody_else():
    waiting = backlog("drop_oldest", max_bytes=100)
    waiting.push(event(1))
    assert waiting.push(event(10**200)) == 1
    assert everything(waiting) == [event(1)]


def test_what_is_held_elsewhere_counts_too():
    waiting = backlog("drop_oldest", max_bytes=10 * len(event(0)), max_frames=4)
    assert [waiting.push(event(number), held_frames=2) for number in range(3)] == [0, 0, 1]
    assert waiting.push(event(3), held_bytes=9 * len(event(0))) == 2
    assert everything(waiting) == [event(3)]


def test_at_least_one_frame_is_taken_and_no_more_than_asked_for():
    waiting = backlog("drop_oldest", max_frames=9)
    for number in range(6):
        waiting.push(event(number))
    size = len(event(0))
    assert waiting.take(1, 9) == [event(0)]
    assert waiting.take(2 * size, 9) == [event(1), event(2)]
    assert waiting.take(9 * size, 2) == [event(3), event(4)]
    assert (waiting.take_all(), waiting.take(9, 9)) == (event(5), [])


@pytest.mark.parametrize("framing", [WEBSOCKET, TEXT], ids=["WebSocket", "text"])
@pytest.mark.parametrize("size", [2, 125, 126, 127, 65_535, 65_536])
def test_a_framing_reads_what_it_wrote(framing, size):
    text = b"x" * size
    assert framing.text(framing.frame(text)) == text


@pytest.mark.parametrize("frame", [WEBSOCKET.ping, frames.close(4200, "x" * 124), frames.frame(frames.PONG, b"x"), b""])
def test_a_control_frame_holds_no_event(frame):
    assert WEBSOCKET.text(frame) is None
