"""Several processes on one port, watched by one: a toy worker stands in for the server, all else is real."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.cli.workers import LIFELINE, LISTENER, Lifeline, listening

WORKER = """
import asyncio, os, signal, sys
from relay.cli.workers import Lifeline

async def main(told):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    lifeline = Lifeline.of(os.environ)
    lifeline.watch(stop.set, lifeline.quiet)
    os.fstat(int(os.environ["RELAY_WORKER_LISTENER"]))
    print(f"up {os.getpid()}", file=told, flush=True)  # before the other one is told to end
    lifeline.ready()
    await stop.wait()
    print(f"down {os.getpid()}", file=told, flush=True)

with open(sys.argv[1], "a") as told:
    asyncio.run(main(told))
"""
PATIENCE = 60
SUPERVISOR = """
import asyncio, sys
from relay.cli.workers import Supervisor, listening

with listening("127.0.0.1", 0, int(sys.argv[1])) as listeners:
    supervisor = Supervisor(sys.argv[2:], listeners, grace=10)
    sys.exit(asyncio.run(supervisor.run(lambda: print("all listen", flush=True))))
"""


class Story:
    """A supervisor, its workers, and the lines they write."""

    def __init__(self, folder: Path, count: int, *worker: str) -> None:
        path = folder / "told"
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDWR)  # kept open at both ends, so that opening waits for nobody
        self._read = b""
        command = [sys.executable, "-c", SUPERVISOR, str(count), *(worker or (sys.executable, "-c", WORKER, str(path)))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pids: set[int] = set()

    def next(self) -> tuple[str, int]:
        """The next line; the end of the test when none comes."""
        while b"\n" not in self._read:
            assert select.select([self._end], [], [], PATIENCE)[0], "no worker says anything"
            self._read += os.read(self._end, 4096)
        line, _, self._read = self._read.partition(b"\n")
        what, pid = line.decode().split()
        return what, int(pid)

    def see(self, count: int) -> list[str]:
        """The next ``count`` lines, with who is up after them in ``pids``."""
        seen = []
        for _ in range(count):
            what, pid = self.next()
            (self.pids.add if what == "up" else self.pids.discard)(pid)
            seen.append(what)
        return seen

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def complains(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(timeout=20)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        os.close(self._end)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path, 2)
    try:
        assert story.see(2) == ["up", "up"]
        assert story.says() == "all listen\n"
        yield story
    finally:
        story.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_end_together(story, number):
    story.process.send_signal(number)
    assert story.see(2) == ["down", "down"]
    assert story.process.wait(timeout=20) == 0


def test_a_worker_that_falls_over_is_replaced(story):
    first = min(story.pids)
    os.kill(first, signal.SIGKILL)
    assert f"worker {first} ended with SIGKILL" in story.complains()
    story.pids.discard(first)
    assert story.see(1) == ["up"]
    assert len(story.pids) == 2


def test_hangup_starts_all_new_workers_before_the_first_old_one_ends(story):
    old = set(story.pids)
    story.process.send_signal(signal.SIGHUP)
    assert story.see(4) == ["up", "up", "down", "down"]
    assert story.says() == "Relay: all workers are new\n"
    assert len(story.pids) == 2
    assert not story.pids & old


def test_workers_end_when_their_supervisor_is_killed(story):
    story.process.kill()
    assert story.see(2) == ["down", "down"]


def test_workers_that_cannot_start_end_it_all(tmp_path):
    story = Story(tmp_path, 2, sys.executable, "-c", "raise SystemExit(3)")
    try:
        assert story.process.wait(timeout=20) == 1
    finally:
        story.close()


def test_all_places_are_on_one_port_that_nobody_else_gets():
    with listening("127.0.0.1", 0, 3) as listeners:
        [address] = {one.getsockname() for one in listeners}
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
    with socket.socket() as other:
        other.bind(address)


def test_whoever_connects_while_a_worker_is_replaced_waits_for_the_next_one():
    with listening("127.0.0.1", 0, 1) as [listener], socket.create_connection(listener.getsockname()):
        with listener.dup() as workers:  # what a worker has, and closes when it ends
            workers.getsockname()
        with listener.accept()[0] as served:
            assert served.getpeername()


def test_only_a_worker_has_a_lifeline():
    assert Lifeline.of({}) is None
    assert {LISTENER, LIFELINE}.isdisjoint(os.environ)
