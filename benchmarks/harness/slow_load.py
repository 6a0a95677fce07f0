"""``load.c`` in Python, for machines without a compiler: the same arguments, the same counters, far more CPU.

What each argument means, and what is counted, stands at the top of ``load.c``. Standard library alone.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import shared

_KEPT: Final = 512
_BUFFER: Final = 1 << 18
TEXT, PING, PONG = 1, 9, 10
UPGRADE: Final = (
    "GET {} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Counters:
    """The mapped file, from the side that writes."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), shared.SLOTS * 8)

    def __getitem__(self, slot: int) -> int:
        value: int = struct.unpack_from("<Q", self._map, slot * 8)[0]
        return value

    def add(self, slot: int, more: int = 1) -> None:
        """Count."""
        struct.pack_into("<Q", self._map, slot * 8, self[slot] + more)

    def note(self, nanoseconds: int) -> None:
        """Put a duration into the histogram."""
        self.add(shared.HISTOGRAM + shared.bucket(nanoseconds))

    def cpu(self) -> None:
        """Write down what was used."""
        struct.pack_into("<Q", self._map, shared.CPU * 8, time.process_time_ns())


def dial(port: int, *, deaf: bool = False) -> socket.socket:
    """A connection to the server; the kernel keeps little for one who is ``deaf``."""
    connection = socket.socket()
    if deaf:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def frame(opcode: int, text: bytes) -> bytes:
    """A client's frame; a mask of zeros leaves the text as it is."""
    size = len(text)
    head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else struct.pack(">BBH", 0x80 | opcode, 0xFE, size)
    return head + bytes(4) + text


def whole(buffer: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The frames that are there in full, opcode and payload, and the rest."""
    frames, at = [], 0
    while len(buffer) - at >= 2:
        size, start = buffer[at + 1] & 127, at + 2
        if size > 125:
            start += 2 if size == 126 else 8
            if len(buffer) < start:
                break
            size = int.from_bytes(buffer[at + 2 : start])
        if len(buffer) < start + size:
            break
        frames.append((buffer[at] & 15, buffer[start : start + size]))
        at = start + size
    return frames, buffer[at:]


class Subscriber:
    """One connection."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.number = number
        self._crowd = crowd
        self._acks = 0
        self._rest = b""
        self._handshaken = not crowd.path
        self.connection = dial(crowd.port, deaf=number < crowd.stalled)
        if crowd.path:
            path = crowd.fill(crowd.path, number, number % crowd.channels)
            self.connection.sendall(UPGRADE.format(path).encode())

    def read(self) -> None:
        """Take what came."""
        crowd = self._crowd
        try:
            data = self.connection.recv(_BUFFER)
        except OSError:
            data = b""
        if not data:
            crowd.counters.add(shared.CLOSED)
            crowd.forget(self)
            self.connection.close()
            return
        crowd.counters.add(shared.BYTES, len(data))
        self._rest += data
        if not self._handshaken and not self._upgraded():
            return
        frames, self._rest = whole(self._rest)
        for opcode, payload in frames:
            self._take(opcode, payload)

    def _upgraded(self) -> bool:
        head, end, rest = self._rest.partition(b"\r\n\r\n")
        if not end:
            return False
        if head[9:12] != b"101":
            sys.exit(f"no upgrade: {head.decode(errors='replace')}")
        self._handshaken, self._rest = True, rest
        if self._crowd.acks < 2:  # else HELLO comes after the server's greeting
            self._greet()
        if not self._crowd.acks:
            self._crowd.ready(self)
        return True

    def _greet(self) -> None:
        crowd = self._crowd
        for at in range(crowd.repeat if crowd.hello else 0):
            channel = (self.number * crowd.repeat + at) % crowd.channels
            self.say(TEXT, crowd.fill(crowd.hello, self.number, channel).encode())

    def say(self, opcode: int, text: bytes) -> None:
        """Send a frame; if the other side is gone, the reader sees the end."""
        try:
            self.connection.sendall(frame(opcode, text))
        except OSError:
            pass

    def _take(self, opcode: int, payload: bytes) -> None:
        crowd = self._crowd
        crowd.counters.add(shared.FRAMES)
        if opcode == PING:
            self.say(PONG, payload)
        if opcode != TEXT:
            return
        if not self._acks and crowd.acks > 1:
            self._greet()
        if self._acks < crowd.acks:
            self._acks += 1
            if self._acks == crowd.acks:
                crowd.ready(self)
                return
        self._answer(payload[:_KEPT])

    def _answer(self, payload: bytes) -> None:
        mark = payload.find(b"T=")
        if mark >= 0 and len(payload) >= mark + 21:
            digits = payload[mark + 2 : mark + 21]
            then, now = int(digits) if digits.isdigit() else 0, time.monotonic_ns()
            if then:
                self._crowd.counters.note(max(0, now - then))
        elif payload == b"2":
            self.say(TEXT, b"3")
        elif b'"pusher:ping"' in payload:
            self.say(TEXT, b'{"event":"pusher:pong","data":{}}')


class Crowd:
    """All subscribers of one process."""

    def __init__(self, port: int, counters: Counters, arguments: Sequence[str]) -> None:
        self.port = port
        self.counters = counters
        self._count, self._window, self.channels, self.stalled, self.acks = map(int, arguments[:5])
        self.path, self.hello, self.repeat = arguments[5], arguments[6], int(arguments[7])
        self._poll = select.epoll()
        self._open: dict[int, Subscriber] = {}
        self._opened = 0

    @staticmethod
    def fill(form: str, number: int, channel: int) -> str:
        """``form`` with its places filled."""
        return form.replace("{i}", str(number)).replace("{c}", str(channel))

    def ready(self, subscriber: Subscriber) -> None:
        """One more is a subscriber, and the next may come."""
        self.counters.add(shared.READY)
        if subscriber.number < self.stalled:
            self._poll.unregister(subscriber.connection.fileno())
        if self._opened < self._count:
            self._next()

    def forget(self, subscriber: Subscriber) -> None:
        """The server closed it."""
        self._poll.unregister(subscriber.connection.fileno())
        del self._open[subscriber.connection.fileno()]

    def _next(self) -> None:
        number, self._opened = self._opened, self._opened + 1
        subscriber = Subscriber(self, number)
        self._open[subscriber.connection.fileno()] = subscriber
        self._poll.register(subscriber.connection.fileno(), select.EPOLLIN)
        if not self.acks and not self.path:
            self.counters.add(shared.READY)

    def serve(self) -> None:
        """Until stdin ends."""
        while self._opened < self._count and (self._opened < self._window or not self.path):
            self._next()
        self._poll.register(0, select.EPOLLIN)
        told = False
        while True:
            if not told and self.counters[shared.READY] >= self._count:
                told = True
                print("ready", flush=True)
            for descriptor, _ in self._poll.poll():
                if descriptor == 0:
                    return
                self._open[descriptor].read()
            self.counters.cpu()


class Caller:
    """One connection of a publisher."""

    def __init__(self, port: int) -> None:
        self.connection = dial(port)
        self._text = b""
        self._sent_at = 0

    def ask(self, request: bytes) -> None:
        """Send the request."""
        self._text, self._sent_at = b"", time.monotonic_ns()
        self.connection.sendall(request)

    def answered(self, counters: Counters) -> bool:
        """Take what came; whether that is the whole answer, which is counted then."""
        data = self.connection.recv(_BUFFER)
        if not data:
            sys.exit(f"connection lost: {self._text[:200]!r}")
        self._text += data
        head, end, body = self._text.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if not end or not length or len(body) < int(length):
            return False
        counters.note(time.monotonic_ns() - self._sent_at)
        counters.add(shared.RESPONSES)
        if head[9:12] != b"200":
            if not counters[shared.ERRORS]:
                print(self._text[:300].decode(errors="replace"), file=sys.stderr)
            counters.add(shared.ERRORS)
        return True


def publish(port: int, counters: Counters, connections: int, file: str) -> None:
    """Send the request of ``file`` as often as each line of stdin says, until it ends."""
    request = Path(file).read_bytes()
    callers = [Caller(port) for _ in range(connections)]
    by_descriptor = {caller.connection.fileno(): caller for caller in callers}
    poll = select.epoll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    print("ready", flush=True)
    for line in sys.stdin:
        left, wanted = int(line), counters[shared.RESPONSES] + int(line)
        for caller in callers[:left]:
            caller.ask(request)
            left -= 1
        while counters[shared.RESPONSES] < wanted:
            ready = poll.poll(10)
            if not ready:
                sys.exit("no answer")
            for descriptor, _ in ready:
                if by_descriptor[descriptor].answered(counters) and left:
                    by_descriptor[descriptor].ask(request)
                    left -= 1
        counters.cpu()
        print("done", flush=True)


def main(arguments: Sequence[str]) -> None:
    """``sink`` or ``http``, with the arguments of ``load.c``."""
    mode, port, core = arguments[0], int(arguments[1]), int(arguments[2])
    if core >= 0:
        os.sched_setaffinity(0, {core})
    counters = Counters(arguments[3])
    if mode == "http":
        publish(port, counters, int(arguments[4]), arguments[5])
    else:
        Crowd(port, counters, arguments[4:]).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
