"""The promises of `relay.transport.Transport`, for every transport there is.

A transport of one's own is put to the test by a subclass of `TransportContract` with a fixture `rig`.
"""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from relay.transport import Transport
from relay_transports import frames
from relay_transports.aiohttp.outbox import Flusher, SocketTransport
from relay_transports.inprocess import InProcessTransport


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
        rig.transport.bound(3 * len(frame), lambda: overflows.append(1))
        for _ in range(3):
            rig.transport.send(frame)
        assert overflows == []
        assert await rig.read() == [b"{}"] * 3

    async def test_one_frame_more_overflows_once_and_at_once_and_is_dropped_with_what_follows(self, rig):
        overflows: list[int] = []
        frame = rig.transport.framing.frame(b"{}")
        rig.transport.bound(3 * len(frame), lambda: overflows.append(rig.transport.backlog))
        for _ in range(4):
            rig.transport.send(frame)
        assert overflows == [3 * len(frame)]
        rig.transport.send(frame)
        assert await rig.read() == [b"{}"] * 3
        rig.transport.send(frame)
        assert (await rig.read(), len(overflows)) == ([], 1)

    async def test_a_frame_larger_than_the_bound_overflows_alone(self, rig):
        overflows: list[int] = []
        rig.transport.bound(10, lambda: overflows.append(1))
        self.send(rig, b"x" * 20)
        assert (await rig.read(), overflows) == ([], [1])

    async def test_what_was_read_makes_room_again(self, rig):
        overflows: list[int] = []
        frame = rig.transport.framing.frame(b"{}")
        rig.transport.bound(3 * len(frame), lambda: overflows.append(1))
        for _ in range(5):
            for _ in range(3):
                rig.transport.send(frame)
            assert await rig.read() == [b"{}"] * 3
        assert overflows == []

    async def test_one_that_overflowed_is_closed_after_what_was_queued(self, rig):
        frame = rig.transport.framing.frame(b"{}")
        rig.transport.bound(len(frame), lambda: None)
        rig.transport.send(frame)
        rig.transport.send(frame)
        rig.transport.close(4100, "Slow consumer")
        assert await rig.read() == [b"{}"]
        assert await rig.end() == (4100, "Slow consumer")

    async def test_nobody_is_told_of_an_overflow_after_the_end(self, rig):
        overflows: list[int] = []
        rig.transport.bound(10, lambda: overflows.append(1))
        rig.transport.close(4200)
        self.send(rig, b"x" * 20)
        assert overflows == []


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


class SocketRig(Rig):
    """A real connection, with a client that knows just enough of RFC 6455."""

    def __init__(self, lower: asyncio.Transport, theirs: socket.socket) -> None:
        self._lower, self._theirs = lower, theirs
        self._flusher = Flusher(asyncio.get_running_loop())
        self._close: tuple[int, str] | None = None
        self.transport = SocketTransport(lower, self._flusher)

    def like(self) -> Transport:
        return SocketTransport(self._lower, self._flusher)

    async def read(self) -> list[bytes]:
        """All that one turn of the loop flushes; a local connection has it at once."""
        await asyncio.sleep(0)
        data, texts = b"", []
        try:
            while chunk := self._theirs.recv(1 << 20):
                data += chunk
        except BlockingIOError:
            pass
        while data:
            size, head = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4], "big"), 4)
            payload = data[head : head + size]
            if data[0] == frames.TEXT:
                texts.append(payload)
            elif data[0] == frames.CLOSE:
                self._close = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            data = data[head + size :]
        return texts

    async def end(self) -> tuple[int, str] | None:
        await self.read()
        if self._close is None and self._lower.is_closing():
            return 1006, ""
        return self._close


class TestSocket(TransportContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        lower, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        yield SocketRig(lower, theirs)
        lower.abort()
        theirs.close()
        await asyncio.sleep(0)
