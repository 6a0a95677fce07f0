"""A Redis of the benchmark's own: on a Unix socket in a temporary folder, on the core of everything but servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import redis

from benchmarks.harness.processes import cores

PROGRAM: Final = "redis-server"
MISSING: Final = f"{PROGRAM} is missing: install redis-server"
_START_SECONDS: Final = 10.0


class Used(NamedTuple):
    """What Redis used until now: CPU seconds, and the bytes that it holds."""

    cpu: float
    memory: int


def installed() -> bool:
    """Whether there is one."""
    return shutil.which(PROGRAM) is not None


class Engine:
    """One running Redis."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self._client = redis.Redis(unix_socket_path=str(path), socket_timeout=_START_SECONDS)

    @property
    def version(self) -> str:
        """Its own."""
        return str(self._client.info("server")["redis_version"])

    def used(self) -> Used:
        """What was used until now."""
        found = self._client.info()
        cpu = found["used_cpu_user"] + found["used_cpu_sys"]
        return Used(cpu, found["used_memory"])

    def wait(self) -> None:
        """Return when it answers. Raises what redis-py does when it does not."""
        over = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._client.ping()
            except redis.exceptions.ConnectionError:
                if time.monotonic() > over:
                    raise
                time.sleep(0.01)
            else:
                return

    def close(self) -> None:
        """Let go of it."""
        self._client.close()


@contextmanager
def running() -> Iterator[Engine]:
    """A Redis for the time of the block; it keeps nothing. Raises ``FileNotFoundError`` where there is none."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise FileNotFoundError(MISSING)
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        path = Path(folder) / "redis.sock"
        command = [program, "--port", "0", "--unixsocket", str(path), "--dir", folder]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        engine = Engine(path)
        try:
            os.sched_setaffinity(process.pid, {cores()[1]})
            engine.wait()
            yield engine
        finally:
            engine.close()
            process.kill()
            process.wait()
