"""One client over HTTP, without any HTTP: lines, heartbeats, and which of its requests gets what (protocol 9)."""

import json

import pytest

from relay.backlog import Bounds
from relay.protocol import messages
from relay_transports.fallback import POLL, STREAM, FallbackSession
from relay_transports.fallback.frames import FALLBACK, PRELUDE, posted

PAID = b'{"event":"paid","channel":"orders","data":"7"}'


class Client:
    """A session, and what wakes its requests."""

    def __init__(self, manner=STREAM):
        self.ended = self.woken = 0
        self.session = FallbackSession(self._end, 0.0)
        self.manner = manner

    def ask(self, now=0.0):
        return self.session.attach(self.manner, self._wake, now)

    def read(self, receiver, now=0.0):
        data = self.session.take(receiver, now)
        self.session.confirm(receiver)
        return data.removeprefix(PRELUDE)

    def send(self, *texts):
        for text in texts:
            self.session.send(FALLBACK.frame(text))

    def _end(self):
        self.ended += 1

    def _wake(self):
        self.woken += 1


def test_session_opens_once_and_all_that_came_together_is_one_line():
    client = Client()
    receiver = client.ask()
    client.send(PAID, b"2")
    first = client.session.take(receiver, 0.0)
    assert first == PRELUDE + b"o\n" + b'a["' + PAID.replace(b'"', b'\\"') + b'","2"]\n'
    client.session.confirm(receiver)
    client.send(b"3")
    assert client.read(receiver) == b'a["3"]\n'
    assert client.read(client.ask()) == b""


def test_poll_ends_with_what_it_said_and_the_next_one_says_what_came_meanwhile():
    client = Client(POLL)
    first = client.ask()
    assert (client.read(first), first.over) == (b"o\n", True)
    client.session.detach(first, 0.0)
    client.send(b"1", b"2")
    second = client.ask()
    assert (client.read(second), second.over) == (b'a["1","2"]\n', True)


def test_nothing_more_is_taken_before_the_kernel_has_what_was():
    client = Client()
    receiver = client.ask()
    client.send(b"1")
    client.session.take(receiver, 0.0)
    client.send(b"2")
    assert client.session.take(receiver, 0.0) == b""
    assert client.session.backlog == len(b'"1""2"')
    client.session.confirm(receiver)
    assert client.read(receiver) == b'a["2"]\n'


@pytest.mark.parametrize(
    "text", ["\u2028\u2029", "\u00fc", "\U0001f600", "\x7f\x9f\ufeff\ufff0", '"\\/\b\n', "</script>", ""]
)
def test_line_is_ascii_without_a_line_break_and_says_the_text_word_for_word(text):
    event = messages.event("paid", "orders", text)
    frame = FALLBACK.frame(event)
    assert frame.isascii()
    assert b"\n" not in frame
    assert json.loads(frame).encode() == event == FALLBACK.text(frame)


def test_frame_that_holds_no_event_has_no_text():
    assert FALLBACK.text(b"{}") is None
    assert json.loads(FALLBACK.ping) == '{"event":"pusher:ping","data":"{}"}'


# Re-opening


def test_newer_request_takes_over_and_the_older_one_is_told_to_end():
    client = Client()
    first = client.ask()
    client.read(first)
    second = client.ask()
    assert (first.over, client.woken) == (True, 1)
    client.send(b"1")
    assert (client.read(first), client.read(second)) == (b"", b'a["1"]\n')
    client.session.detach(first, 5.0)
    assert client.session.receiver is second


def test_stream_rests_when_pusher_js_has_read_enough_to_ask_again_and_nothing_is_lost():
    client = Client()
    receiver = client.ask()
    sent = read = 0
    while not receiver.spent and sent < 100:
        client.send(b"x" * 10_000)
        read += client.read(receiver).count(b"x" * 10_000)
        sent += 1
    client.send(b"1")
    assert (client.read(receiver), read, sent) == (b"", sent, 26)
    assert client.read(client.ask()) == b'a["1"]\n'


def test_client_that_does_not_ask_again_gets_the_rest_when_a_heartbeat_is_due():
    client = Client()
    receiver = client.ask()
    client.send(b"x" * (300 << 10))
    client.read(receiver)
    client.send(b"1")
    assert client.read(receiver) == b""
    assert not client.session.expire(25.0)
    assert client.read(receiver, 25.0) == b'a["1"]\n'


# Heartbeats


@pytest.mark.parametrize("manner", [STREAM, POLL])
def test_heartbeat_comes_after_25_silent_seconds(manner):
    client = Client(manner)
    receiver = client.ask()
    client.read(receiver)
    if receiver.over:
        client.session.detach(receiver, 0.0)
        receiver = client.ask()
    assert client.session.due == 25.0
    assert not client.session.expire(24.9)
    assert client.read(receiver, 24.9) == b""
    assert not client.session.expire(25.0)
    assert (client.read(receiver, 25.0), receiver.over) == (b"h\n", manner is POLL)


def test_event_takes_the_place_of_a_heartbeat():
    client = Client()
    receiver = client.ask()
    client.read(receiver)
    client.session.expire(25.0)
    client.send(b"1")
    assert client.read(receiver, 25.0) == b'a["1"]\n'
    assert client.session.due == 50.0


def test_heartbeat_of_the_client_is_answered_only_after_a_silence():
    client = Client()
    receiver = client.ask()
    client.read(receiver)
    for now, answer in ((0.0, b""), (9.9, b""), (10.0, b"h\n"), (10.1, b""), (19.9, b""), (20.0, b"h\n")):
        client.session.heard(now)
        assert client.read(receiver, now) == answer


# Leaving


def test_client_without_a_request_is_away_after_10_seconds():
    client = Client()
    assert client.session.due == 10.0
    receiver = client.ask(9.0)
    client.session.detach(receiver, 40.0)
    assert (client.session.due, client.session.expire(49.9), client.session.expire(50.0)) == (50.0, False, True)


@pytest.mark.parametrize("manner", [STREAM, POLL])
def test_whoever_asks_a_closed_session_is_told_why(manner):
    client = Client(manner)
    client.send(b"1")
    client.session.close(4200, "Please reconnect immediately")
    client.send(b"2")
    told = b'c[4200,"Please reconnect immediately"]\n'
    first = client.ask()
    assert (client.read(first), first.over) == (b'o\na["1"]\n' + told, True)
    second = client.ask()
    assert (client.read(second), second.over) == (told, True)
    assert (client.ended, client.session.due) == (1, float("inf"))


def test_aborted_session_says_nothing_and_ends_its_request():
    client = Client()
    receiver = client.ask()
    client.send(b"1")
    client.session.abort()
    assert (client.read(receiver), receiver.over, client.session.backlog, client.ended) == (b"", True, 0, 1)


def test_close_waits_behind_what_is_too_much_for_one_line():
    client = Client()
    receiver = client.ask()
    client.session.bound(Bounds(), lambda: None, lambda _: None)
    client.send(*[b"x" * 40_000] * 3)
    client.session.close(4200)
    read = [client.read(receiver) for _ in range(3)]
    assert [line.count(b"x" * 40_000) for line in read] == [1, 1, 1]
    assert read[-1].endswith(b'c[4200,""]\n')


# What clients post


@pytest.mark.parametrize(
    ("body", "texts"), [(b"[]", []), (b'["{}"]', ["{}"]), (b' ["1", "\\u00fc"] ', ["1", "\u00fc"])]
)
def test_posted_messages_are_the_strings_of_an_array(body, texts):
    assert posted(body) == texts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b'"text"',
        b"[1]",
        b'[["nested"]]',
        b'["open',
        b"[NaN]",
        b"\xff",
        b"[" * 100_000,
        b'["\xff"]',
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(body):
    with pytest.raises(ValueError, match="must be a JSON array of strings"):
        posted(body)
