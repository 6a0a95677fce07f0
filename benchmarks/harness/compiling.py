"""Compiling the small C programs of the harness, where there is a compiler. Standard library alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parents[1]


class NoCompiler(Exception):
    """There is no C compiler here."""


def compiled(source: str) -> Path:
    """The program made of ``source``, a path below ``benchmarks/``; made once for each version of it.

    Raises :class:`NoCompiler`.
    """
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoCompiler("no C compiler: install gcc")
    path = _HERE / source
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relay-benchmarks"
    program = cache / f"{path.stem}-{path.stat().st_mtime_ns:x}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, "-O2", "-o", fresh, path], check=True)
        fresh.rename(program)
    return program
