"""A Unix socket to listen on: what stands in its place, and what is left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_SECONDS = 5.0


class UnixSocket:
    """A socket that is bound to ``path``; its file is removed by ``remove``, unless somebody else's stands there.

    A socket file that nobody listens on any more is replaced. Raises :class:`OSError` where another process listens,
    or where the file is no socket: those are left alone.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            with _locked(self.path.parent):  # two that start at once would each take the other's for a stale one
                _clear(self.path)
                self.socket.bind(str(self.path))
                self.socket.listen(1024)
            self._made = _identity(self.path)
        except BaseException:
            self.socket.close()
            raise
        self.socket.setblocking(False)

    def remove(self) -> None:
        """Take the file away. To be called when nobody is accepted any more."""
        try:
            if _identity(self.path) == self._made:
                self.path.unlink()
        except OSError:  # somebody tidied up before us
            pass


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone among those that make sockets in ``folder``. The lock ends with the process that holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int]:
    """Tells one file from another that took its place, even one that got its inode."""
    status = path.lstat()
    return status.st_ino, status.st_mtime_ns


def _clear(path: Path) -> None:
    """Remove the socket file of a process that is gone."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PATIENCE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:  # it may be alive: not ours to remove
            raise OSError(error.errno, f"cannot tell whether another process listens there ({error})") from None
    raise OSError(errno.EADDRINUSE, "another process listens there")
