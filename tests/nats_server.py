"""A NATS with JetStream of one's own, in a temporary folder, stopped and started as a test likes: one server, or three
that keep the same. Never on the standard port.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.redis_server import free_ports, wait

INSTALL = "apt-get install nats-server"


class NatsServer:
    """One server, with options of its own; nothing of it outlives `running`. `login` and `tls` are how to ask it."""

    def __init__(
        self,
        program: Path,
        folder: Path,
        *options: str,
        login: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        jetstream: bool = True,
    ) -> None:
        self.port, self._monitor = free_ports(2)
        self._command = [str(program), "-a", "127.0.0.1", "-p", str(self.port)]
        self._command += ["-js", "-sd", str(folder)] if jetstream else []
        self._command += ["-m", str(self._monitor), "-l", str(folder / "log"), "-P", str(folder / "pid"), *options]
        self._connect = {"verbose": False, "headers": True, "no_responders": True, **(login or {})}
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when JetStream answers."""
        self.launch()
        self.wait("INFO")

    def launch(self) -> None:
        """Start it, without waiting."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self, api: str, data: bytes = b"") -> None:
        """Return when JetStream does what it is asked."""
        process = self._process
        assert process is not None

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError("nats-server does not start")
            try:
                return "error" not in self.ask(api, data)
            except OSError:
                return False

        wait(answers)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Delete every stream, as if it never had been."""
        for name in self.ask("STREAM.NAMES")["streams"] or ():
            assert self.ask(f"STREAM.DELETE.{name}")["success"]

    def pause(self) -> None:
        """Let it answer nobody, with all its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # it has several threads

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, api: str, data: bytes = b"") -> Any:
        """JetStream's answer, over a connection that speaks NATS in its plainest form."""
        command = f"SUB answers 1\r\nPUB $JS.API.{api} answers {len(data)}\r\n".encode()
        return json.loads(self._exchange(command + data + b"\r\n"))

    def count(self, what: str) -> int:
        """How many `connections`, or `routes`, it has; none before it has started."""
        page = {"connections": "connz", "routes": "routez"}[what]
        try:
            with urlopen(f"http://127.0.0.1:{self._monitor}/{page}", timeout=5) as answer:
                return int(json.load(answer)[f"num_{what}"])
        except URLError:
            return 0

    def publish(self, subject: str, data: bytes) -> None:
        """Publish as any program may that reaches this NATS."""
        command = f"SUB answers 1\r\nPUB {subject} {len(data)}\r\n".encode() + data
        self._exchange(command + b"\r\nPUB answers 1\r\n1\r\n")

    def _exchange(self, commands: bytes) -> bytes:
        """Send commands, the first of which subscribes, and return the first message."""
        with ExitStack() as stack:
            way = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=1))
            lines = stack.enter_context(way.makefile("rb"))
            lines.readline()  # what kind of server it is, before TLS begins
            if self._tls is not None:
                way = stack.enter_context(self._tls.wrap_socket(way, server_hostname="127.0.0.1"))
                lines = stack.enter_context(way.makefile("rb"))
            way.sendall(b"CONNECT " + json.dumps(self._connect).encode() + b"\r\n" + commands)
            for line in lines:
                if line.startswith((b"MSG ", b"HMSG ")):
                    data = lines.read(int(line.rsplit(b" ", 1)[1]))
                    return data if line.startswith(b"MSG ") else b'{"error": "nobody answers"}'
        raise ConnectionError("NATS hung up")


@contextmanager
def running(
    program: Path, *options: str, login: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[NatsServer]:
    """A server that has just been started, and is stopped in the end."""
    with tempfile.TemporaryDirectory(prefix="relay-", ignore_cleanup_errors=True) as folder:
        server = NatsServer(program, Path(folder), *options, login=login, tls=tls)
        try:
            server.start()
            yield server
        finally:
            server.stop()


class NatsServers:
    """Three servers that keep the same, in three copies."""

    def __init__(self, program: Path, folder: Path) -> None:
        ports = free_ports(3)
        routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
        self.servers: list[NatsServer] = []
        for number, port in enumerate(ports):
            (folder / str(number)).mkdir()
            options = ["-n", str(number), "--cluster_name", "relay", "--cluster", f"nats://127.0.0.1:{port}"]
            self.servers.append(NatsServer(program, folder / str(number), *options, "--routes", routes))
        self.url = ",".join(server.url for server in self.servers)

    def start(self) -> None:
        """Return when all of them keep something together."""
        for server in self.servers:
            server.launch()
        wanted = {"name": "three", "subjects": ["three"], "num_replicas": 3, "storage": "memory"}
        self.servers[0].wait("STREAM.CREATE.three", json.dumps(wanted).encode())
        self.servers[0].wait("STREAM.DELETE.three")

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def leader(self, stream: str) -> NatsServer:
        """Who decides what is in that stream."""
        return self.servers[int(self.servers[0].ask(f"STREAM.INFO.{stream}")["cluster"]["leader"])]


@contextmanager
def three(program: Path) -> Iterator[NatsServers]:
    """Three servers that have just been started, and are stopped in the end."""
    with tempfile.TemporaryDirectory(prefix="relay-", ignore_cleanup_errors=True) as folder:
        servers = NatsServers(program, Path(folder))
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()
