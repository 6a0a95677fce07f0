"""A NATS with JetStream of one's own, in a temporary folder, stopped and started as a test likes. Never on the standard
port.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.redis_server import free_ports, wait

INSTALL = "apt-get install nats-server"


class NatsServer:
    """One server; nothing of it outlives `running`."""

    def __init__(self, program: Path, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._command = [str(program), "-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(self.port)]
        self._command += ["-l", str(folder / "log"), "-P", str(folder / "pid")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when JetStream answers."""
        process = self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError("nats-server does not start")
            try:
                return "error" not in self.ask("INFO")
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

    def ask(self, api: str) -> Any:
        """JetStream's answer, over a connection that speaks NATS in its plainest form."""
        return json.loads(self._exchange(f"SUB answers 1\r\nPUB $JS.API.{api} answers 0\r\n\r\n".encode()))

    def publish(self, subject: str, data: bytes) -> None:
        """Publish as any program may that reaches this NATS."""
        command = f"SUB answers 1\r\nPUB {subject} {len(data)}\r\n".encode() + data
        self._exchange(command + b"\r\nPUB answers 1\r\n1\r\n")

    def _exchange(self, commands: bytes) -> bytes:
        """Send commands, the first of which subscribes, and return the first message."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain, plain.makefile("rb") as lines:
            plain.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n' + commands)
            for line in lines:
                if line.startswith((b"MSG ", b"HMSG ")):
                    data = lines.read(int(line.rsplit(b" ", 1)[1]))
                    return data if line.startswith(b"MSG ") else b'{"error": "nobody answers"}'
        raise ConnectionError("NATS hung up")


@contextmanager
def running(program: Path) -> Iterator[NatsServer]:
    """A server that has just been started, and is stopped in the end."""
    folder = Path(tempfile.mkdtemp(prefix="relay-"))
    server = NatsServer(program, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
