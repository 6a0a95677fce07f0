"""Several processes on one port: started, watched, replaced one at a time, and ended together.

Each worker is the same command once more, with two descriptors in its environment: the socket it listens on, and one to
us. Over the latter the worker says that it listens; and when we are gone it reads the end of it, and goes too.

Every place has a listening socket of its own (SO_REUSEPORT), which stays with us: whoever connects while a worker is
replaced waits in it for the next one, where a socket that a worker closes would take its queue with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, TextIO

LISTENER: Final = "RELAY_WORKER_LISTENER"
LIFELINE: Final = "RELAY_WORKER_FD"
_READY: Final = b"r"
_REPLACED: Final = b"s"
_QUIET: Final = b"q"
_QUEUE: Final = 1024
_START_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0
"""Between the end of a worker that fell over and the start of the next one in its place."""


class Lifeline:
    """A worker's end of the socket to its supervisor."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Lifeline | None:
        """The one this process was given, if it is a worker."""
        return cls(int(environ[LIFELINE])) if LIFELINE in environ else None

    def ready(self) -> None:
        """Say that this worker listens."""
        self._say(_READY)

    def quiet(self) -> None:
        """Say that this worker, which was replaced, accepts nobody any more."""
        self._say(_QUIET)

    def _say(self, what: bytes) -> None:
        try:
            self._socket.send(what)
        except OSError:  # the supervisor is gone, which ``watch`` finds out
            pass

    def watch(self, gone: Callable[[], None], replaced: Callable[[], None]) -> None:
        """Call ``gone`` when the supervisor is not there any more, and ``replaced`` when another worker accepts in this
        one's place: ``quiet`` is to be said then.
        """
        loop = asyncio.get_running_loop()

        def look() -> None:
            if self._socket.recv(1) == _REPLACED:
                replaced()
                return
            loop.remove_reader(self._socket)
            gone()

        loop.add_reader(self._socket, look)


class Worker:
    """One process and our end of its socket."""

    def __init__(self, process: asyncio.subprocess.Process, listener: socket.socket, ours: socket.socket) -> None:
        self.process = process
        self.listener = listener
        self._ours = ours
        self.retired = False
        """Whether it is to end; one that ends otherwise is replaced."""

    @classmethod
    async def start(cls, command: Sequence[str], listener: socket.socket) -> Worker:
        """A new worker on ``listener``, which may not accept yet."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, LISTENER: str(listener.fileno()), LIFELINE: str(theirs.fileno())},
                pass_fds=[listener.fileno(), theirs.fileno()],
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us; workers are told by us
            )
        return cls(process, listener, ours)

    async def listens(self) -> bool:
        """Whether it came to listen; False when it ended before, or takes too long."""
        return await self._hear() == _READY

    async def replace(self) -> None:
        """Tell it that another one accepts in its place; returns when it lets nobody in any more."""
        self.retired = True
        try:
            self._ours.send(_REPLACED)
        except OSError:  # it fell over just now
            return
        await self._hear()

    async def _hear(self) -> bytes:
        """What it says next; nothing when it is gone, or takes too long."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                return await asyncio.get_running_loop().sock_recv(self._ours, 1)
        except (OSError, TimeoutError):
            return b""

    async def end(self, within: float) -> None:
        """Ask it to end, and see to it after ``within`` seconds."""
        self.retired = True
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(within):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def gone(self) -> int:
        """Wait for its end; returns how it ended."""
        code = await self.process.wait()
        self._ours.close()
        return code


class Supervisor:
    """Keeps one worker running ``command`` on each of ``listeners`` until it is told to stop."""

    def __init__(self, command: Sequence[str], listeners: Sequence[socket.socket], *, grace: float) -> None:
        self._command = command
        self._listeners = listeners
        self._grace = grace
        self._workers: list[Worker] = []
        self._stop = asyncio.Event()
        self._replacing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, told: Callable[[], None]) -> int:
        """Start the workers, call ``told`` when all listen, and keep them until SIGTERM or SIGINT; SIGHUP replaces them
        one at a time. Returns the exit code: 1 when they cannot even start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._replace_all()))
        try:
            started = await asyncio.gather(*map(self._start, self._listeners))
            if not all(started):
                return 1
            told()
            await self._stop.wait()
        finally:
            self._stop.set()
            await asyncio.gather(*(worker.end(self._grace) for worker in self._workers))
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return 0

    async def _start(self, listener: socket.socket) -> Worker | None:
        """A worker that accepts on ``listener``, or None."""
        worker = await Worker.start(self._command, listener)
        self._workers.append(worker)
        listens = asyncio.create_task(worker.listens())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([listens, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._stop.is_set() or not await listens:
            listens.cancel()
            await worker.end(self._grace)
            await self._bury(worker)
            return None
        self._begin(self._watch(worker))
        return worker

    async def _watch(self, worker: Worker) -> None:
        """Replace ``worker`` when it falls over."""
        code = await worker.gone()
        if worker in self._workers:
            self._workers.remove(worker)
        if worker.retired or self._stop.is_set():
            return
        _say(f"worker {worker.process.pid} ended with {_ending(code)}: starting another one")
        while not self._stop.is_set() and await self._start(worker.listener) is None:
            _say("a worker could not be started: trying again")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _replace_all(self) -> None:
        """A new worker for each old one, one after the other. When all listen no old one accepts any more, and they end
        one at a time: so whoever is sent away comes to a new one, and is sent away once.
        """
        async with self._replacing:
            old = [worker for worker in self._workers if not worker.retired]
            new: list[Worker] = []
            for worker in old:
                started = None if self._stop.is_set() else await self._start(worker.listener)
                if started is None:
                    await asyncio.gather(*(one.end(self._grace) for one in new))
                    _say("the new workers do not come up: the others stay as they are")
                    return
                new.append(started)
            await asyncio.gather(*(worker.replace() for worker in old))
            for worker in old:
                await worker.end(self._grace)
            if not self._stop.is_set():
                _say("all workers are new", sys.stdout)

    async def _bury(self, worker: Worker) -> None:
        await worker.gone()
        self._workers.remove(worker)

    def _begin(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextmanager
def listening(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """``count`` sockets that listen on one port, any free one for 0. Raises :class:`OSError`."""
    with ExitStack() as stack:
        listeners: list[socket.socket] = []
        for _ in range(count):
            one = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((host, listeners[0].getsockname()[1] if listeners else port))
            listeners.append(one)
        for one in listeners:
            one.listen(_QUEUE)
            one.setblocking(False)
        yield listeners


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _say(text: str, where: TextIO | None = None) -> None:
    print(f"Relay: {text}", file=where or sys.stderr, flush=True)
