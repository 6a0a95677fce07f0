"""A Redis of one's own, in a temporary folder, stopped and started as a test likes: one, a master with its Sentinel, or
a cluster. Never on the standard ports.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

INSTALL = "apt-get install redis-server"
_OPTIONS = ("--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--daemonize", "no")
_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)


class RedisServer:
    """One server, reached by its Unix socket, and by its port if it has one; nothing of it outlives `running`."""

    def __init__(self, program: Path, folder: Path, *options: str, port: int = 0) -> None:
        self.port = port
        self._socket = folder / f"{port}.sock"
        self._command = [str(program), *options, "--port", str(port), "--bind", "127.0.0.1"]
        self._command += ["--unixsocket", str(self._socket), "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Return when it answers."""
        self._socket.unlink(missing_ok=True)
        process = self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError("redis-server does not start")
            return bool(self.ask("PING"))

        wait(answers)

    def stop(self) -> None:
        """Kill it; it has nothing to save."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it answer nobody, with all its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: Any) -> Any:
        """Redis's answer."""
        with redis.Redis(unix_socket_path=str(self._socket), socket_timeout=5) as client:
            return client.execute_command(*command)


def wait(true: Callable[[], bool]) -> None:
    """Return when it is so, as another process says."""
    pause = subprocess.Popen(["sleep", "20"])  # its end is the limit
    try:
        while True:
            try:
                if true():
                    return
            except _AWAY:
                pass
            try:
                pause.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise TimeoutError("it did not come true in 20 s")
    finally:
        pause.kill()
        pause.wait()


@contextmanager
def servers(program: Path) -> Iterator[Callable[..., RedisServer]]:
    """A way to start servers, with options of theirs; all of them are stopped in the end."""
    folder = Path(tempfile.mkdtemp(prefix="relay-"))  # a Unix socket's path must be short
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)

        def start(*options: str, port: int = 0) -> RedisServer:
            server = RedisServer(program, folder, *(options or _OPTIONS), port=port)
            stack.callback(server.stop)
            server.start()
            return server

        yield start


@contextmanager
def running(program: Path) -> Iterator[RedisServer]:
    """One server, that has just been started."""
    with servers(program) as start:
        yield start()


class Watched:
    """A master with one replica, and the Sentinel that makes the replica master when the other is gone."""

    def __init__(self, start: Callable[..., RedisServer], folder: Path) -> None:
        ports = free_ports(3)
        self.servers = [start(*_OPTIONS, port=port) for port in ports[:2]]
        self.servers[1].ask("REPLICAOF", "127.0.0.1", ports[0])
        wait(lambda: self.servers[1].ask("INFO", "replication")["master_link_status"] == "up")
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {ports[0]} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
        )
        self.sentinel = start(str(config), "--sentinel", port=ports[2])
        self.url = f"redis+sentinel://127.0.0.1:{ports[2]}/main"
        wait(lambda: self.sentinel.ask("SENTINEL", "replicas", "main") != [])


@contextmanager
def watched(program: Path) -> Iterator[Watched]:
    with servers(program) as start, tempfile.TemporaryDirectory() as folder:
        yield Watched(start, Path(folder))


class RedisShards:
    """A Redis Cluster of masters."""

    def __init__(self, start: Callable[..., RedisServer], count: int) -> None:
        ports = free_ports(2 * count)
        self.servers = []
        for port, bus in zip(ports[:count], ports[count:], strict=True):
            name = ("--cluster-config-file", f"{port}.conf")
            options = (*_OPTIONS, "--cluster-enabled", "yes", *name, "--cluster-port", str(bus))
            self.servers.append(start(*options, port=port))
        for number, server in enumerate(self.servers):
            first, last = 16384 * number // count, 16384 * (number + 1) // count - 1
            server.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            self.servers[0].ask("CLUSTER", "MEET", "127.0.0.1", ports[number], ports[count + number])
        for server in self.servers:
            wait(partial(_sound, server, count))
        self.url = f"redis+cluster://127.0.0.1:{ports[0]}"

    def ask_all(self, *command: Any) -> list[Any]:
        return [server.ask(*command) for server in self.servers]


def _sound(server: RedisServer, count: int) -> bool:
    info = server.ask("CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_known_nodes:%d\r" % count in info


@contextmanager
def sharded(program: Path, count: int = 3) -> Iterator[RedisShards]:
    with servers(program) as start:
        yield RedisShards(start, count)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
