"""Writing to sockets: one write for each tick, in order, within bounds; on real sockets too."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from relay.backlog import Bounds
from relay.protocol import messages
from relay_transports import frames
from relay_transports.aiohttp.outbox import Flusher, SocketTransport


class Wire(asyncio.Transport):
    """An asyncio transport that keeps what it is told to write; `stuck` bytes of it stay in its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.stuck = 0
        self.end: str | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.stuck

    def is_closing(self) -> bool:
        return self.end is not None

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"


async def tick() -> None:
    """Let everything happen that was to happen in this tick of the loop."""
    await asyncio.sleep(0)


@pytest.fixture
async def flusher() -> Flusher:
    return Flusher(asyncio.get_running_loop())


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def transport(wire: Wire, flusher: Flusher) -> SocketTransport:
    return SocketTransport(wire, flusher)


def never(count: int) -> None:
    raise AssertionError(f"{count} events lost where no event may be")


class Overflows(list[int]):
    """Counts how often a transport could take no more, and what was waiting then."""

    def bind(self, transport: SocketTransport, backlog: int) -> "Overflows":
        transport.bound(Bounds(backlog), lambda: self.append(transport.backlog), never)
        return self


async def test_what_is_queued_in_one_tick_leaves_in_one_write_in_order(wire, transport):
    for frame in (b"a", b"b", b"c"):
        transport.send(frame)
    assert wire.writes == []
    await tick()
    assert wire.writes == [b"abc"]


async def test_a_frame_alone_is_written_as_it_is_and_the_next_tick_writes_again(wire, transport):
    for frame in (b"a", b"b"):
        transport.send(frame)
        await tick()
    assert wire.writes == [b"a", b"b"]


async def test_sockets_are_written_in_the_order_they_got_something(flusher):
    order = []

    class Named(Wire):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            order.append(bytes(data))

    first, second = SocketTransport(Named(), flusher), SocketTransport(Named(), flusher)
    for transport, frame in ((second, b"2"), (first, b"1"), (second, b"2")):
        transport.send(frame)
    await tick()
    assert order == [b"22", b"1"]


async def test_after_128_sockets_the_loop_does_something_else_before_the_next(flusher):
    wires = [Wire() for _ in range(300)]
    for wire in wires:
        SocketTransport(wire, flusher).send(b"a")
    seen = []
    for _ in range(4):
        await tick()
        seen.append(sum(bool(wire.writes) for wire in wires))
    assert seen == [128, 256, 300, 300]


async def test_what_is_queued_while_others_wait_their_turn_is_written_after_them_and_once(flusher):
    wires = [Wire() for _ in range(129)]
    transports = [SocketTransport(wire, flusher) for wire in wires]
    for transport in transports:
        transport.send(b"a")
    await tick()
    transports[0].send(b"b")
    transports[128].send(b"b")
    await tick()
    assert (wires[0].writes, wires[128].writes) == ([b"a", b"b"], [b"ab"])


@pytest.mark.parametrize("first", ["many", "few"])
async def test_a_few_do_not_wait_for_the_many_that_got_something_in_the_same_tick(flusher, first):
    many, few = [Wire() for _ in range(1000)], [Wire() for _ in range(10)]
    for wires, frame in ((many, b"a"), (few, b"b")) if first == "many" else ((few, b"b"), (many, b"a")):
        for wire in wires:
            SocketTransport(wire, flusher).send(frame)
    await tick()
    assert all(wire.writes == [b"b"] for wire in few)
    assert sum(bool(wire.writes) for wire in many) == 118


async def test_a_few_do_not_wait_for_the_many_that_are_left_from_before(flusher):
    many, few = [Wire() for _ in range(1000)], [Wire() for _ in range(10)]
    for wire in many:
        SocketTransport(wire, flusher).send(b"a")
    await tick()
    for wire in few:
        SocketTransport(wire, flusher).send(b"b")
    await tick()
    assert all(wire.writes == [b"b"] for wire in few)
    assert sum(bool(wire.writes) for wire in many) == 256


async def test_the_backlog_is_what_is_queued_and_what_the_socket_still_has(wire, transport):
    transport.send(b"abc")
    wire.stuck = 10
    assert transport.backlog == 13
    await tick()
    assert transport.backlog == 10


async def test_a_frame_that_just_fits_is_sent_and_the_next_one_overflows(wire, transport):
    overflows = Overflows().bind(transport, 6)
    transport.send(b"abc")
    transport.send(b"def")
    assert overflows == []
    transport.send(b"g")
    assert overflows == [6]
    await tick()
    assert wire.writes == [b"abcdef"]


async def test_overflow_is_told_once_and_nothing_is_sent_after_it(wire, transport):
    overflows = Overflows().bind(transport, 3)
    for frame in (b"abcd", b"a", b"b", b""):
        transport.send(frame)
        await tick()
    assert (len(overflows), wire.writes) == (1, [])


async def test_the_sockets_own_buffer_counts_too(wire, transport):
    overflows = Overflows().bind(transport, 10)
    wire.stuck = 8
    transport.send(b"ab")
    await tick()
    transport.send(b"abc")
    assert overflows == [8]


async def test_a_client_that_caught_up_in_the_meantime_has_all_its_room_again(wire, transport):
    overflows = Overflows().bind(transport, 10)
    wire.stuck = 8
    transport.send(b"ab")
    await tick()
    wire.stuck = 0
    transport.send(b"abcdefgh")
    await tick()
    assert (overflows, wire.writes) == ([], [b"ab", b"abcdefgh"])


async def test_a_client_closed_after_an_overflow_gets_what_was_queued_and_the_close_frame(wire, transport):
    Overflows().bind(transport, 3)
    transport.send(b"abc")
    transport.send(b"d")
    transport.close(4100, "Slow consumer")
    await tick()
    assert wire.writes == [b"abc" + frames.close(4100, "Slow consumer")]


async def test_the_close_frame_comes_last_and_once_and_nothing_after_it(wire, transport):
    transport.send(b"a")
    transport.close(4200, "Please reconnect immediately")
    transport.close(4201, "Pong reply not received")
    transport.answer_close(1000)
    transport.send(b"b")
    await tick()
    transport.send(b"c")
    await tick()
    assert wire.writes == [b"a" + frames.close(4200, "Please reconnect immediately")]
    assert wire.end is None


async def test_nobody_is_told_of_an_overflow_after_the_end(transport):
    overflows = Overflows().bind(transport, 3)
    transport.close(4200)
    transport.send(b"abcd")
    assert overflows == []


@pytest.mark.parametrize(("code", "payload"), [(1000, b"\x03\xe8"), (0, b"")])
async def test_the_clients_own_close_is_answered_with_its_code_if_it_gave_one(wire, transport, code, payload):
    transport.send(b"a")
    transport.answer_close(code)
    await tick()
    assert wire.writes == [b"a" + frames.frame(frames.CLOSE, payload)]


async def test_abort_cuts_at_once_and_drops_what_is_queued(wire, transport):
    transport.send(b"a")
    transport.abort()
    transport.send(b"b")
    transport.close(4200)
    await tick()
    assert (wire.writes, wire.end, transport.backlog) == ([], "aborted", 0)


async def test_the_end_writes_what_is_left_at_once_and_closes(wire, transport):
    transport.send(b"a")
    transport.end()
    transport.send(b"b")
    assert (wire.writes, wire.end) == ([b"a"], "closed")
    await tick()
    assert wire.writes == [b"a"]


async def test_nothing_is_written_to_a_socket_that_is_closing(wire, transport):
    transport.send(b"a")
    wire.close()
    await tick()
    assert (wire.writes, transport.backlog) == ([], 0)


class Ahead(asyncio.SelectorEventLoop):
    """An event loop whose time can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


@pytest.mark.parametrize(
    ("seconds", "end", "stuck", "expected"),
    [(4.9, None, 0, None), (5.1, None, 0, "aborted"), (5.1, "closed", 0, "closed"), (5.1, "closed", 7, "aborted")],
    ids=["still within its time", "silent", "gone in time", "gone but for what it does not read"],
)
def test_a_client_that_does_not_answer_the_close_frame_within_5_seconds_is_cut(wire, seconds, end, stuck, expected):
    loop = Ahead()

    async def close_and_wait() -> None:
        transport = SocketTransport(wire, Flusher(loop))
        transport.close(4200)
        wire.end, wire.stuck = end, stuck
        loop.ahead = seconds
        for _ in range(3):
            await tick()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(close_and_wait())
    assert wire.end == expected


# A flush interval


def run_ahead(*seconds: float, interval: float, wire: Wire, close: bool = False) -> list[bytes]:
    """What was written after a frame in each of two turns, an optional close, and ``seconds`` more."""
    loop = Ahead()

    async def send_and_wait() -> None:
        transport = SocketTransport(wire, Flusher(loop, interval))
        for frame in (b"a", b"b"):
            transport.send(frame)
            await tick()
        if close:
            transport.close(4200)
        for each in seconds:
            loop.ahead += each
        for _ in range(3):
            await tick()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(send_and_wait())
    return wire.writes


def test_what_comes_within_a_flush_interval_leaves_in_one_write(wire):
    assert run_ahead(0.5, interval=0.4, wire=wire) == [b"ab"]


def test_nothing_is_written_before_a_flush_interval_is_over(wire):
    assert run_ahead(0.3, interval=0.4, wire=wire) == []


def test_a_close_does_not_wait_for_the_flush_interval(wire):
    assert run_ahead(interval=0.4, wire=wire, close=True) == [b"ab" + frames.close(4200)]


async def test_the_end_does_not_wait_for_the_flush_interval(wire):
    transport = SocketTransport(wire, Flusher(asyncio.get_running_loop(), 0.4))
    transport.send(b"a")
    transport.end()
    assert (wire.writes, wire.end) == ([b"a"], "closed")


# Bounds in frames


async def test_frames_are_bounded_too(wire, transport):
    overflows: list[int] = []
    transport.bound(Bounds(1000, 3), lambda: overflows.append(1), never)
    for frame in (b"abc", b"def", b"ghi", b"jkl"):
        transport.send(frame)
    await tick()
    assert (wire.writes, overflows) == ([b"abcdefghi"], [1])


async def test_frames_that_were_read_in_the_meantime_do_not_count(wire, transport):
    overflows: list[int] = []
    transport.bound(Bounds(1000, 3), lambda: overflows.append(1), never)
    wire.stuck = 3
    for _ in range(20):  # one is always unread, and never more than that
        transport.send(b"abc")
        await tick()
    assert overflows == []
    for _ in range(3):
        wire.stuck += 3
        transport.send(b"abc")
        await tick()
    assert overflows == [1]


# Clients that are behind


class Losses(list[int]):
    """What a transport told about lost events; ``overflows`` how often it could take no more."""

    overflows = 0

    def bind(self, transport: SocketTransport, bounds: Bounds) -> "Losses":
        transport.bound(bounds, self.overflow, self.append)
        return self

    def overflow(self) -> None:
        self.overflows += 1


def paid(number: int) -> bytes:
    return frames.WEBSOCKET.frame(messages.event("paid", "orders", f"{number:0100}"))


SIZE = len(paid(0))


async def test_no_more_is_handed_to_a_slow_socket_than_leaves_room_for_the_newest(wire, transport):
    losses = Losses().bind(transport, Bounds(10 * SIZE, 100, "drop_oldest"))
    wire.stuck = 1
    transport.send(paid(0))
    await tick()
    for number in range(1, 30):
        transport.send(paid(number))
        await tick()
    wire.stuck = 0
    transport.catch_up()
    assert wire.writes[:2] == [paid(0), b"".join(paid(number) for number in range(21, 26))]
    assert (sum(losses), losses.overflows) == (20, 0)


async def test_what_waits_is_written_portion_by_portion_as_the_socket_is_done(wire, transport):
    Losses().bind(transport, Bounds(10 * SIZE, 4, "drop_oldest"))
    wire.stuck = 1
    for number in range(4):
        transport.send(paid(number))
        await tick()
    assert wire.writes == [paid(0)]
    wire.stuck = 0
    transport.catch_up()
    transport.send(paid(4))
    await tick()
    assert wire.writes == [paid(0), paid(1) + paid(2), paid(3), paid(4)]


async def test_the_end_hands_on_all_that_waits(wire, transport):
    Losses().bind(transport, Bounds(10 * SIZE, 100, "drop_oldest"))
    wire.stuck = 1
    for number in range(9):
        transport.send(paid(number))
        await tick()
    transport.close(4200)
    transport.end()
    assert b"".join(wire.writes) == b"".join(map(paid, range(9))) + frames.close(4200)
    assert (wire.end, transport.backlog) == ("closed", 1)


async def test_nothing_waits_for_a_socket_that_is_gone(wire, transport):
    Losses().bind(transport, Bounds(10 * SIZE, 100, "drop_oldest"))
    wire.stuck = 1
    for number in range(9):
        transport.send(paid(number))
        await tick()
    wire.close()
    wire.stuck = 0
    transport.catch_up()
    assert (wire.writes, transport.backlog) == ([paid(0)], 0)


# Real sockets


@pytest.fixture
async def pair(flusher: Flusher) -> AsyncIterator[tuple[SocketTransport, socket.socket]]:
    """A transport on one end of a real connection, and the other end."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    loop = asyncio.get_running_loop()
    lower, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    yield SocketTransport(lower, flusher), theirs
    lower.abort()
    theirs.close()
    await tick()


async def read(theirs: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)):
        data += chunk
    return data


async def test_frames_arrive_whole_and_in_order(pair):
    transport, theirs = pair
    sent = [bytes([number]) * 1000 for number in range(200)]
    for frame in sent:
        transport.send(frame)
    assert await read(theirs, 200_000) == b"".join(sent)
    assert transport.backlog == 0


async def test_a_client_that_does_not_read_overflows_at_its_bound_and_keeps_what_was_taken(pair):
    transport, theirs = pair
    overflows = Overflows().bind(transport, 1 << 20)
    frame, sent = bytes(1 << 16), 0
    while not overflows:
        transport.send(frame)
        sent += len(frame)
        await tick()
    assert (1 << 20) - len(frame) < overflows[0] <= 1 << 20
    assert len(await read(theirs, sent - len(frame))) == sent - len(frame)


async def test_the_other_end_sees_the_end_after_the_last_frame(pair):
    transport, theirs = pair
    transport.send(b"a")
    transport.close(4200)
    transport.end()
    assert await read(theirs, 1 << 20) == b"a" + frames.close(4200)


class ClosedTls(Wire):
    """Like asyncio's TLS transport once it is closed: its buffer cannot be asked for any more."""

    def get_write_buffer_size(self) -> int:
        if self.end is not None:
            raise AttributeError("'NoneType' object has no attribute '_get_write_buffer_size'")
        return self.stuck


async def test_a_peer_that_closed_does_not_keep_others_from_their_frames(flusher: Flusher) -> None:
    gone, here = ClosedTls(), Wire()
    first, second = SocketTransport(gone, flusher), SocketTransport(here, flusher)
    first.send(b"a")
    second.send(b"b")
    gone.end = "closed by the peer"
    await tick()
    assert (gone.writes, here.writes) == ([], [b"b"])
