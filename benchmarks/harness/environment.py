"""Where peers run: an environment of their own, made when it is needed; who cannot be installed is left out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any, Final

import msgspec

from benchmarks.harness.load import Visit
from benchmarks.harness.processes import ROOT

_PYTHON: Final = ROOT / ".venvs" / "bench" / "bin" / "python"
_NODE: Final = ROOT / ".venvs" / "bench-node"
_PEERS: Final = ROOT / "benchmarks" / "peers"


class Peer(msgspec.Struct):
    """One peer that can be measured here."""

    name: str
    title: str
    visit: Visit
    channels: bool
    program: bool
    versions: dict[str, str]
    python: str

    def command(self, core: int, loop: str, options: dict[str, object]) -> list[str]:
        """How to start it."""
        return [self.python, "-m", f"benchmarks.peers.{self.name}", str(core), loop, json.dumps(options)]


def names() -> list[str]:
    """Every peer there is a file of."""
    return sorted(path.stem for path in _PEERS.glob("*.py") if path.stem not in ("__init__", "serving"))


def find(name: str, options: dict[str, object] | None = None) -> Peer | str:
    """A peer, ready to run, or the reason why there is none."""
    source = (_PEERS / f"{name}.py").read_text().splitlines()
    reason = _install(_named(source, "# Requires:"), ours=_is_ours(source)) or _install_npm(
        _named(source, "# Requires of npm:")
    )
    if reason:
        return reason
    python = sys.executable if _is_ours(source) else str(_PYTHON)
    described = subprocess.run(
        [python, "-m", f"benchmarks.peers.{name}", "describe", "-", json.dumps(options or {})],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if described.returncode:
        lines = described.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended with {described.returncode}"
    about: dict[str, Any] = json.loads(described.stdout)
    visit = Visit(**about.pop("visit"))
    return Peer(name=name, visit=visit, python=python, **about)


def _named(source: list[str], mark: str) -> list[str]:
    return next((line.removeprefix(mark).partition("  #")[0].split() for line in source if line.startswith(mark)), [])


def _is_ours(source: list[str]) -> bool:
    """Whether it is Relay itself, which runs where the harness runs."""
    return any(line.startswith(("from relay", '"""Relay')) for line in source)


def _install(packages: list[str], *, ours: bool) -> str | None:
    """Make the environment and put ``packages`` into it; the reason why that failed."""
    if ours:
        return None
    if not _PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", _PYTHON.parents[1]], check=True)
    mark = _PYTHON.parents[1] / "installed"
    known = set(mark.read_text().split()) if mark.exists() else set()
    for package in packages:
        if package in known:
            continue
        pip = [str(_PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", package]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{package} cannot be installed: {done.stderr.strip().splitlines()[-1]}"
        known.add(package)
        mark.write_text("\n".join(sorted(known)))
    return None


def _install_npm(packages: list[str]) -> str | None:
    """Put npm packages into a folder of their own. ``name=npm:other`` overrides a package that npm does not have."""
    if not packages:
        return None
    if shutil.which("npm") is None:
        return "npm is missing: install nodejs and npm"
    wanted = [package for package in packages if "=" not in package]
    manifest = {
        "private": True,
        "dependencies": dict(package.rsplit("@", 1) for package in wanted),
        "overrides": dict(package.split("=", 1) for package in packages if "=" in package),
    }
    text = json.dumps(manifest, indent=1)
    file, mark = _NODE / "package.json", _NODE / "installed"
    if mark.exists() and mark.read_text() == text:
        return None
    _NODE.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--omit=optional", "--loglevel=error"]
    done = subprocess.run(npm, cwd=_NODE, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return f"npm cannot install {', '.join(wanted)}: {lines[-1] if lines else done.returncode}"
    mark.write_text(text)
    return None
