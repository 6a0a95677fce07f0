"""Encode once, frame once for each kind of transport, send to all but one (design 3.2)."""

from collections.abc import Callable

from relay.backlog import Bounds
from relay.channels import Channel
from relay.fanout import Batch, broadcast, fan_out
from relay.transport import Framing


class CountingFraming:
    """Frames with a mark of its own, and counts how often it does."""

    ping = None
    shares = False

    def __init__(self, mark: bytes) -> None:
        self.framed = 0
        self._mark = mark

    def frame(self, text: bytes) -> bytes:
        self.framed += 1
        return self._mark + text

    def text(self, frame: bytes) -> bytes:
        return frame.removeprefix(self._mark)


class SharingFraming(CountingFraming):
    """One of a kind that shares."""

    shares = True


class Recorder:
    """A transport that keeps what it is sent."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.backlog = 0
        self.sent: list[bytes] = []
        self.batches: list[Batch] = []

    def bound(self, bounds: Bounds, overflow: Callable[[], None], lost: Callable[[int], None]) -> None:
        """As much as comes."""

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def share(self, batch: Batch) -> bool:
        if self.framing.shares:
            self.batches.append(batch)
        return self.framing.shares

    def close(self, code: int, reason: str = "") -> None:
        """Nothing to end."""

    def abort(self) -> None:
        """Nothing to cut."""


def test_an_event_is_framed_once_and_everybody_gets_the_same_bytes():
    framing = CountingFraming(b">")
    transports = [Recorder(framing) for _ in range(1000)]
    broadcast(transports, b"paid")
    assert framing.framed == 1
    assert {id(transport.sent[0]) for transport in transports} == {id(transports[0].sent[0])}
    assert all(transport.sent == [b">paid"] for transport in transports)


def test_each_kind_of_transport_frames_for_itself():
    kinds = [CountingFraming(b"a"), CountingFraming(b"b")]
    transports = [Recorder(kind) for kind in kinds for _ in range(10)]
    broadcast(transports, b"paid")
    assert [kind.framed for kind in kinds] == [1, 1]
    assert [transport.sent for transport in transports] == [[b"apaid"]] * 10 + [[b"bpaid"]] * 10


def test_the_excluded_transport_gets_nothing_and_is_told_from_its_like_by_identity():
    framing = CountingFraming(b"")
    transports = [Recorder(framing) for _ in range(3)]
    broadcast(transports, b"paid", transports[1])
    assert [transport.sent for transport in transports] == [[b"paid"], [], [b"paid"]]


def test_nothing_is_framed_when_nobody_is_there_or_only_the_excluded_one():
    framing = CountingFraming(b"")
    only = Recorder(framing)
    broadcast([], b"paid")
    broadcast([only], b"paid", only)
    assert (framing.framed, only.sent) == (0, [])


def test_one_whose_kind_takes_no_part_keeps_nobody_else_from_sharing():
    channel: Channel[None] = Channel("orders")
    alone, sharing = CountingFraming(b"a"), SharingFraming(b"b")
    transports = [Recorder(alone), *(Recorder(sharing) for _ in range(20))]
    for transport in transports:
        channel.transports[transport] = None
    fan_out(channel, b"1")
    fan_out(channel, b"2")
    assert transports[0].sent == [b"a1", b"a2"]
    assert {batch.joined() for transport in transports[1:] for batch in transport.batches} == {b"b1b2"}
    assert [len(transport.sent) for transport in transports[1:]] == [0] * 20
