"""The two load programs, in C and in Python: both count the same."""

from __future__ import annotations

import queue
import socketserver
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from benchmarks.harness import load, shared
from benchmarks.harness.compiling import NoCompiler, compiled
from benchmarks.harness.load import Visit

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
STAMP = b'{"data":"T=%019d"}'


def frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    return bytes([first]) + head + payload


class Server(socketserver.ThreadingTCPServer):
    """Keeps what it saw, and how many bytes it sent."""

    daemon_threads = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.seen: queue.Queue[object] = queue.Queue()
        self.sent = 0


class WebSockets(socketserver.StreamRequestHandler):
    """Upgrades, greets, acknowledges, sends every kind of frame in small pieces, and closes after the last answer."""

    server: Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        self.send(frame(TEXT, b"greeting"))
        hello = self.read()
        self.send(frame(TEXT, b"acknowledged"))
        frames = [
            frame(TEXT, STAMP % (time.monotonic_ns() - 5_000_000)),
            frame(TEXT, STAMP % 0),
            frame(TEXT, b""),
            frame(TEXT, b"x" * 300),
            frame(BINARY, b"y" * 70_000),
            frame(TEXT, b"2"),
            frame(TEXT, b'{"event":"pusher:ping","data":{}}'),
            frame(PING, b"are you there?"),
        ]
        self.send(b"".join(frames))
        self.server.seen.put((path, hello, *(self.read() for _ in range(3))))
        self.send(frame(CLOSE, b"\x03\xe8"))

    def send(self, data: bytes) -> None:
        pieces = [data[at : at + 7] for at in range(0, min(len(data), 700), 7)]
        for piece in (*pieces, data[700:]):
            self.server.sent += self.wfile.write(piece)

    def read(self) -> tuple[int, str]:
        first, size = self.rfile.read(2)
        length = size & 127 if size & 127 < 126 else int.from_bytes(self.rfile.read(2))
        mask = self.rfile.read(4)
        return first, bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(length))).decode()


class Http(socketserver.StreamRequestHandler):
    """Answers each POST; the fifth of all is refused."""

    server: Server

    def handle(self) -> None:
        length = 0
        while self.rfile.readline():
            while line := self.rfile.readline().strip().lower():
                length = int(line.rpartition(b":")[2]) if line.startswith(b"content-length:") else 0
            self.server.seen.put(self.rfile.read(length))
            status = b"401 Unauthorized" if self.server.seen.qsize() == 5 else b"200 OK"
            self.wfile.write(b"HTTP/1.1 " + status + b"\r\nContent-")
            self.wfile.write(b"Length: 2\r\n\r\n{}")


@contextmanager
def serving(handler):
    with Server(handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["C", "Python"])
def program(request, monkeypatch):
    """Both load programs, one after the other."""
    try:
        command = [str(compiled("harness/load.c"))]
    except NoCompiler as missing:
        if request.param == "C":
            pytest.skip(str(missing))
        command = []
    if request.param == "Python":
        command = [sys.executable, "-m", "benchmarks.harness.slow_load"]
    monkeypatch.setattr(load, "command", lambda: command)


def test_subscribers_count_every_frame_and_answer_what_asks(program):
    visit = Visit("/app/key?user={i}", "hello {i} of {c}", 2)
    with serving(WebSockets) as server, load.sinks(server.server_address[1], visit, 3, window=2, channels=2) as sinks:
        sinks.wait_for(3 * 11)
        seen = sorted(server.seen.get(timeout=10) for _ in range(3))
        assert sinks.frames == 3 * 11
        assert sinks.counters[shared.READY] == 3
        assert sum(sinks.counters.histogram()) == 3
        [middle] = shared.percentiles([0] * 2048, sinks.counters.histogram(), [50.0])
        assert middle > 4_500_000
    answers = (TEXT, "3"), (TEXT, '{"event":"pusher:pong","data":{}}'), (PONG, "are you there?")
    assert seen == [(f"/app/key?user={i}", (TEXT, f"hello {i} of {i % 2}"), *answers) for i in range(3)]


def test_subscribers_count_bytes_and_connections_that_end(program):
    with serving(WebSockets) as server, load.sinks(server.server_address[1], Visit("/", "hello", 2), 1) as sinks:
        server.seen.get(timeout=10)
        over = time.monotonic() + 10
        while not sinks.closed and time.monotonic() < over:
            pass
        assert (sinks.closed, sinks.frames) == (1, 11)
        assert sinks.counters[shared.BYTES] == server.sent


def test_a_stalled_subscriber_reads_no_more(program):
    with (
        serving(WebSockets) as server,
        load.sinks(server.server_address[1], Visit("/", "hello", 2), 2, window=1, stalled=1) as sinks,
    ):
        sinks.wait_for(11)
        server.seen.get(timeout=10)
        assert sinks.counters[shared.READY] == 2


def test_a_publisher_counts_answers_and_tells_a_refusal(program, tmp_path):
    request = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
    with serving(Http) as server:
        with load.publisher(server.server_address[1], request, connections=2, directory=tmp_path) as publisher:
            publisher.publish(3)
            assert publisher.counters[shared.RESPONSES] == 3
            assert sum(publisher.counters.histogram()) == 3
            with pytest.raises(RuntimeError, match="refused"):
                publisher.publish(4)
            assert (publisher.counters[shared.RESPONSES], publisher.counters[shared.ERRORS]) == (7, 1)
        assert {server.seen.get() for _ in range(7)} == {b"body"}
