"""A Redis of one's own, or a Valkey, in a temporary folder, stopped and started as a test likes: one, a master with its
Sentinel, or a cluster. Never on the standard ports.
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
_AT_ONCE = ("--repl-diskless-sync-delay", "0")  # a replica is not kept waiting for others to come
_OPTIONS = ("--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--daemonize", "no", *_AT_ONCE)
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
                raise RuntimeError(f"{self._command[0]} does not start")
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

    @contextmanager
    def held_up(self, *command: Any) -> Iterator[None]:
        """Let it do nothing for as long as this lasts, and then `command` ahead of what it is asked meanwhile."""
        with redis.Redis(unix_socket_path=str(self._socket), single_connection_client=True) as client:
            connection = client.connection
            assert connection is not None
            self.pause()
            try:
                connection.send_command(*command)
                yield
            finally:
                self.resume()
                connection.read_response()

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
        wait(partial(_follows, self.servers[1]))
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
    """A Redis Cluster: masters, and a replica of each of the first of them."""

    def __init__(self, start: Callable[..., RedisServer], count: int, replicas: int = 0) -> None:
        total = count + replicas
        ports = free_ports(2 * total)
        patience = "1000" if replicas else "15000"  # milliseconds until a silent one is replaced
        everybody: list[RedisServer] = []
        for port, bus in zip(ports[:total], ports[total:], strict=True):
            name = ("--cluster-config-file", f"{port}.conf", "--cluster-port", str(bus))
            options = (*_OPTIONS, "--cluster-enabled", "yes", "--cluster-node-timeout", patience, *name)
            everybody.append(start(*options, port=port))
        self.servers, self.replicas = everybody[:count], everybody[count:]
        for number, server in enumerate(self.servers):
            server.ask("CLUSTER", "ADDSLOTSRANGE", 16384 * number // count, 16384 * (number + 1) // count - 1)
        for port, bus in zip(ports[:total], ports[total:], strict=True):
            everybody[0].ask("CLUSTER", "MEET", "127.0.0.1", port, bus)
        for server in everybody:
            wait(partial(_sound, server, total))
        for master, replica in zip(self.servers, self.replicas, strict=False):
            replica.ask("CLUSTER", "REPLICATE", master.ask("CLUSTER", "MYID"))
            wait(partial(_follows, replica))
        for server in everybody:
            wait(partial(_knows_replicas, server, replicas))
        self.url = f"redis+cluster://127.0.0.1:{ports[0]}"

    def ask_all(self, *command: Any) -> list[Any]:
        return [server.ask(*command) for server in self.servers]

    def owner(self, slot: int) -> RedisServer:
        """The master that has that slot, and says so itself."""
        for server in self.servers:
            for first, last, (_, port, *_), *_ in server.ask("CLUSTER", "SLOTS"):
                if first <= slot <= last and port == server.port:
                    return server
        raise LookupError(f"nobody has slot {slot}")

    @contextmanager
    def moving(self, slot: int, to: RedisServer) -> Iterator[None]:
        """Move a slot to another master while the cluster serves it, as `redis-cli --cluster reshard` does."""
        self.carry(slot, to)
        yield
        self.carry(slot, to)
        for server in (to, *(one for one in self.servers if one is not to)):
            server.ask(*self.given(slot, to))

    def carry(self, slot: int, to: RedisServer) -> None:
        """Bring what is in a slot to another master, and let both know that the slot follows."""
        source = self.owner(slot)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.ask("CLUSTER", "MYID"))
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)

    def given(self, slot: int, to: RedisServer) -> tuple[Any, ...]:
        """The command by which a server learns whose a slot is now."""
        return "CLUSTER", "SETSLOT", slot, "NODE", to.ask("CLUSTER", "MYID")


def _sound(server: RedisServer, count: int) -> bool:
    info = server.ask("CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_known_nodes:%d\r" % count in info


def _follows(replica: RedisServer) -> bool:
    known: dict[str, Any] = replica.ask("INFO", "replication")
    return known.get("master_link_status") == "up"


def _knows_replicas(server: RedisServer, count: int) -> bool:
    told: bytes = server.ask("CLUSTER", "NODES")
    return told.count(b"slave") == count


@contextmanager
def sharded(program: Path, count: int = 3, replicas: int = 0) -> Iterator[RedisShards]:
    with servers(program) as start:
        yield RedisShards(start, count, replicas)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
