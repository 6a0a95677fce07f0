"""The promises of `relay.transport.Transport`, for every transport there is.

A transport of one's own is put to the test by a subclass of `TransportContract` with a fixture `rig`.
"""

import asyncio
import json
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
from anyio.lowlevel import checkpoint

from relay.backlog import Bounds, Policy
from relay.protocol import messages
from relay.transport import Transport
from relay_transports import frames
from relay_transports.aiohttp.door import BareSocket
from relay_transports.aiohttp.outbox import Flusher, SocketTransport
from relay_transports.fallback import POLL, STREAM, FallbackSession, Manner, Receiver
from relay_transports.inprocess import InProcessTransport


def never(count: int) -> None:
    raise AssertionError(f"{count} events lost where no event may be")


DROPPING = ["drop_oldest", "latest_only"]
BOUND = 20_000
MANY = 400
"""Events that fill the kernel's buffers, which a rig keeps small, and the bound several times over."""


def event(number: int, name: str = "paid", channel: str = "orders", size: int = 1000) -> bytes:
    return messages.event(name, channel, f"{number} {'x' * size}")


def pong(number: int) -> bytes:
    return messages.event("pusher:pong", "", f"{number} {'x' * 1000}")


class Told:
    """What the transport of a rig told the hub; sends with a turn of the loop after each frame."""

    def __init__(self, rig: "Rig", policy: Policy) -> None:
        self.lost = self.overflows = 0
        self._transport = rig.transport
        rig.transport.bound(Bounds(BOUND, 1000, policy), self._overflow, self._lose)

    async def send(self, text: bytes) -> None:
        self._transport.send(self._transport.framing.frame(text))
        await checkpoint()

    def _overflow(self) -> None:
        self.overflows += 1

    def _lose(self, count: int) -> None:
        self.lost += count


class Rig(ABC):
    """A transport just made, and the client at its other end."""

    transport: Transport

    @abstractmethod
    def like(self) -> Transport:
        """Another transport of the same kind."""

    @abstractmethod
    async def read(self) -> list[bytes]:
        """Let the client read all that is on its way; the texts it got."""

    @abstractmethod
    async def end(self) -> tuple[int, str] | None:
        """Once the client read everything: code and reason of the end, (1006, "") without a close frame."""


class TransportContract(ABC):
    """What the hub relies on."""

    @pytest.fixture
    @abstractmethod
    def rig(self) -> Rig:
        """What to test."""

    def send(self, rig: Rig, *texts: bytes) -> None:
        for text in texts:
            rig.transport.send(rig.transport.framing.frame(text))

    async def test_the_client_reads_what_was_sent_in_order(self, rig):
        texts = [b'{"n":%d}' % number for number in range(500)]
        self.send(rig, *texts[:300])
        assert await rig.read() == texts[:300]
        self.send(rig, *texts[300:])
        assert await rig.read() == texts[300:]
        assert await rig.end() is None

    async def test_transports_of_one_kind_share_one_framing(self, rig):
        framing = rig.transport.framing
        assert rig.like().framing is framing
        assert rig.transport.framing is framing

    async def test_a_framing_has_no_state(self, rig):
        framing = rig.transport.framing
        frame = framing.frame(b'{"a":1}')
        framing.frame(b"[]")
        assert framing.frame(b'{"a":1}') == frame
        assert framing.ping is None or isinstance(framing.ping, bytes)

    async def test_transports_are_told_apart_by_identity(self, rig):
        other = rig.like()
        assert rig.transport != other
        assert {rig.transport: 1, other: 2}[rig.transport] == 1

    async def test_the_backlog_is_what_was_accepted_and_not_read_yet(self, rig):
        assert rig.transport.backlog == 0
        frame = rig.transport.framing.frame(b"{}")
        for _ in range(3):
            rig.transport.send(frame)
        assert rig.transport.backlog == 3 * len(frame)
        await rig.read()
        assert rig.transport.backlog == 0

    async def test_closing_comes_after_what_is_queued_and_says_how(self, rig):
        self.send(rig, b"1", b"2")
        rig.transport.close(4200, "Please reconnect immediately")
        assert await rig.read() == [b"1", b"2"]
        assert await rig.end() == (4200, "Please reconnect immediately")

    async def test_closing_again_changes_nothing(self, rig):
        rig.transport.close(4201, "Pong reply not received")
        rig.transport.close(4200, "Please reconnect immediately")
        assert await rig.read() == []
        assert await rig.end() == (4201, "Pong reply not received")

    async def test_nothing_is_sent_after_closing(self, rig):
        self.send(rig, b"1")
        rig.transport.close(4200)
        self.send(rig, b"2")
        assert await rig.read() == [b"1"]
        self.send(rig, b"3")
        assert await rig.read() == []

    async def test_aborting_drops_what_is_queued_and_all_that_follows(self, rig):
        self.send(rig, b"1")
        rig.transport.abort()
        self.send(rig, b"2")
        rig.transport.close(4200, "too late")
        assert rig.transport.backlog == 0
        assert await rig.read() == []
        assert await rig.end() == (1006, "")

    async def test_aborting_again_changes_nothing(self, rig):
        rig.transport.abort()
        rig.transport.abort()
        assert await rig.end() == (1006, "")

    async def test_as_much_as_the_bound_may_wait(self, rig):
        overflows: list[int] = []
        frame = rig.transport.framing.frame(b"{}")
        rig.transport.bound(Bounds(3 * len(frame)), lambda: overflows.append(1), never)
        for _ in range(3):
            rig.transport.send(frame)
        assert overflows == []
        assert await rig.read() == [b"{}"] * 3

    async def test_one_frame_more_overflows_once_and_at_once_and_is_dropped_with_what_follows(self, rig):
        overflows: list[int] = []
        frame = rig.transport.framing.frame(b"{}")
        rig.transport.bound(Bounds(3 * len(frame)), lambda: overflows.append(rig.transport.backlog), never)
        for _ in range(4):
            rig.transport.send(frame)
        assert overflows == [3 * len(frame)]
        rig.transport.send(frame)
        assert await rig.read() == [b"{}"] * 3
        rig.transport.send(frame)
        assert (await rig.read(), len(overflows)) == ([], 1)

    async def test_a_frame_larger_than_the_bound_overflows_alone(self, rig):
        overflows: list[int] = []
        rig.transport.bound(Bounds(10), lambda: overflows.append(1), never)
        self.send(rig, b"x" * 20)
        assert (await rig.read(), overflows) == ([], [1])

    async def test_what_was_read_makes_room_again(self, rig):
        overflows: list[int] = []
        frame = rig.transport.framing.frame(b"{}")
        rig.transport.bound(Bounds(3 * len(frame)), lambda: overflows.append(1), never)
        for _ in range(5):
            for _ in range(3):
                rig.transport.send(frame)
            assert await rig.read() == [b"{}"] * 3
        assert overflows == []

    async def test_one_that_overflowed_is_closed_after_what_was_queued(self, rig):
        frame = rig.transport.framing.frame(b"{}")
        rig.transport.bound(Bounds(len(frame)), lambda: None, never)
        rig.transport.send(frame)
        rig.transport.send(frame)
        rig.transport.close(4100, "Slow consumer")
        assert await rig.read() == [b"{}"]
        assert await rig.end() == (4100, "Slow consumer")

    async def test_nobody_is_told_of_an_overflow_after_the_end(self, rig):
        overflows: list[int] = []
        rig.transport.bound(Bounds(10), lambda: overflows.append(1), never)
        rig.transport.close(4200)
        self.send(rig, b"x" * 20)
        assert overflows == []

    # Clients that do not keep up, where events are dropped instead

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_client_that_keeps_up_loses_nothing(self, rig, policy):
        told = Told(rig, policy)
        for number in range(100):
            await told.send(event(number))
            assert await rig.read() == [event(number)]
        assert (told.lost, told.overflows) == (0, 0)

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_what_waits_never_exceeds_the_bound_and_is_all_read_in_the_end(self, rig, policy):
        told = Told(rig, policy)
        for number in range(MANY):
            await told.send(event(number))
            assert rig.transport.backlog <= BOUND
        assert rig.transport.backlog > (BOUND / 4 if policy == "drop_oldest" else 0)
        assert len(await rig.read()) + told.lost == MANY
        assert (rig.transport.backlog, told.overflows) == (0, 0)

    async def test_oldest_are_lost_and_the_rest_comes_in_order_up_to_the_newest(self, rig):
        told, sent = Told(rig, "drop_oldest"), [event(number) for number in range(MANY)]
        for text in sent:
            await told.send(text)
        read = await rig.read()
        assert [sent.index(text) for text in read] == sorted(sent.index(text) for text in read)
        assert (read[-1], told.lost > 0) == (sent[-1], True)

    async def test_latest_of_each_channel_and_name_comes_in_any_case(self, rig):
        told, last = Told(rig, "latest_only"), {}
        for number in range(MANY):
            kind = f"event-{number % 3}", f"channel-{number % 2}"
            last[kind] = event(number, *kind)
            await told.send(last[kind])
        read = await rig.read()
        assert set(last.values()) <= set(read)
        assert (told.lost > 0, told.lost + len(read)) == (True, MANY)

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_protocol_frames_all_come_however_many_events_are_lost(self, rig, policy):
        told = Told(rig, policy)
        for number in range(MANY):
            await told.send(event(number))
            if number % 100 == 0:
                await told.send(pong(number))
        read = await rig.read()
        assert [text for text in read if b"pusher:pong" in text] == [pong(number) for number in range(0, MANY, 100)]

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_more_protocol_frames_than_the_bound_overflow_once_and_end_what_is_taken(self, rig, policy):
        told = Told(rig, policy)
        for number in range(MANY):
            await told.send(pong(number))
        await told.send(event(0))
        read = await rig.read()
        assert read == [pong(number) for number in range(len(read))]
        assert (told.overflows, told.lost, len(read) < MANY) == (1, 0, True)

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_closing_comes_after_what_waits_for_a_client_that_is_behind(self, rig, policy):
        told = Told(rig, policy)
        for number in range(MANY):
            await told.send(event(number))
        rig.transport.close(4200, "Please reconnect immediately")
        await told.send(event(MANY))
        assert (await rig.read())[-1] == event(MANY - 1)
        assert await rig.end() == (4200, "Please reconnect immediately")

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_aborting_drops_what_waits_for_a_client_that_is_behind(self, rig, policy):
        told = Told(rig, policy)
        for number in range(MANY):
            await told.send(event(number))
        rig.transport.abort()
        assert await rig.end() == (1006, "")
        assert rig.transport.backlog == 0

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_client_that_caught_up_is_as_any_other(self, rig, policy):
        told = Told(rig, policy)
        for number in range(MANY):
            await told.send(event(number))
        await rig.read()
        lost = told.lost
        for number in range(50):
            await told.send(event(number))
            assert await rig.read() == [event(number)]
        assert told.lost == lost

    @pytest.mark.parametrize("policy", DROPPING)
    async def test_event_larger_than_the_bound_is_lost_alone(self, rig, policy):
        told = Told(rig, policy)
        await told.send(event(1))
        await told.send(event(2, size=BOUND))
        await told.send(event(3))
        assert (await rig.read(), told.lost, told.overflows) == ([event(1), event(3)], 1, 0)


class InProcessRig(Rig):
    def __init__(self) -> None:
        self.transport: InProcessTransport = InProcessTransport()

    def like(self) -> Transport:
        return InProcessTransport()

    async def read(self) -> list[bytes]:
        return list(iter(self.transport.take, None))

    async def end(self) -> tuple[int, str] | None:
        closed = self.transport.closed
        return None if closed is None else (closed.code, closed.reason)


@pytest.mark.every_loop
class TestInProcess(TransportContract):
    @pytest.fixture
    def rig(self) -> Rig:
        return InProcessRig()


class FallbackRig(Rig):
    """A client that asks for what there is with one receive request after another."""

    def __init__(self, manner: Manner) -> None:
        self.transport: FallbackSession = FallbackSession(lambda: None, 0.0)
        self._manner = manner
        self._receiver: Receiver | None = None
        self._close: tuple[int, str] | None = None

    def like(self) -> Transport:
        return FallbackSession(lambda: None, 0.0)

    async def read(self) -> list[bytes]:
        texts: list[bytes] = []
        while self._close is None:
            receiver = self._receiver
            if receiver is None or receiver.over or receiver.spent:
                receiver = self._receiver = self.transport.attach(self._manner, lambda: None, 0.0)
            data = self.transport.take(receiver, 0.0)
            if not data:
                break
            for line in data.splitlines():
                texts += self._told(line)
            self.transport.confirm(receiver)
            if receiver.over:
                self.transport.detach(receiver, 0.0)
        return texts

    def _told(self, line: bytes) -> list[bytes]:
        if line[:1] == b"c":
            code, reason = json.loads(line[1:])
            self._close = code, reason
        return [text.encode() for text in json.loads(line[1:])] if line[:1] == b"a" else []

    async def end(self) -> tuple[int, str] | None:
        await self.read()
        return (1006, "") if self.transport.aborted else self._close


@pytest.mark.every_loop
@pytest.mark.parametrize("rig", [STREAM, POLL], ids=["streaming", "polling"], indirect=True)
class TestFallback(TransportContract):
    """A client that is served over HTTP."""

    @pytest.fixture
    def rig(self, request) -> Rig:
        return FallbackRig(request.param)


class SocketRig(Rig):
    """A real connection, with a client that knows just enough of RFC 6455."""

    def __init__(
        self, transport: SocketTransport, like: Callable[[], Transport], lower: asyncio.Transport, theirs: socket.socket
    ) -> None:
        self.transport: SocketTransport = transport
        self._like = like
        self._lower, self._theirs = lower, theirs
        self._close: tuple[int, str] | None = None

    def like(self) -> Transport:
        return self._like()

    async def read(self) -> list[bytes]:
        """All that comes, turn by turn of the loop; a local connection has at once what was flushed."""
        data, texts = b"", []
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while (chunk := self._arrived()) or self.transport.backlog:
                data += chunk
                await asyncio.sleep(0)
        while data:
            size, head = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4], "big"), 4)
            payload = data[head : head + size]
            if data[0] == frames.TEXT:
                texts.append(payload)
            elif data[0] == frames.CLOSE:
                self._close = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            data = data[head + size :]
        return texts

    def _arrived(self) -> bytes:
        try:
            return self._theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    async def end(self) -> tuple[int, str] | None:
        await self.read()
        if self._close is None and self._lower.is_closing():
            return 1006, ""
        return self._close


ASYNCIO = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
    scope="module",
)


@contextmanager
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection for which the kernel keeps little."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with theirs:
        yield ours, theirs


@ASYNCIO
class TestSocket(TransportContract):
    """A socket of somebody else's, as aiohttp's response keeps it through TLS."""

    @pytest.fixture
    async def rig(self, anyio_backend) -> AsyncIterator[Rig]:
        loop = asyncio.get_running_loop()
        flusher = Flusher(loop)
        with sockets() as (ours, theirs):
            lower, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            yield SocketRig(SocketTransport(lower, flusher), lambda: SocketTransport(lower, flusher), lower, theirs)
            lower.abort()
            await asyncio.sleep(0)


@ASYNCIO
class TestDoor(TransportContract):
    """A socket of our own."""

    @pytest.fixture
    async def rig(self, anyio_backend) -> AsyncIterator[Rig]:
        loop = asyncio.get_running_loop()
        flusher = Flusher(loop)
        with sockets() as (ours, theirs):
            lower, bare = await loop.create_connection(lambda: new_door(flusher), sock=ours)
            yield SocketRig(bare, lambda: new_door(flusher), lower, theirs)
            lower.abort()
            await asyncio.sleep(0)


def new_door(flusher: Flusher) -> BareSocket:
    return BareSocket(flusher, 1000, lambda: None)
