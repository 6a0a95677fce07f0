"""Micro: the pure parts one by one, measured by pyperf in processes of its own (see ``benchmarks/micro.py``)."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import micro
from benchmarks.harness.bench import MICRO, Bench
from benchmarks.harness.processes import ROOT

QUESTION = "What does each of the pure parts cost?"
UNIT = "µs per call"


def run(bench: Bench) -> None:
    """Every benchmark of the suite; one value each where a look is enough."""
    if not bench.peers("relay_hub"):
        return
    file = bench.directory / "micro.json"
    thorough = ["--fast"] if bench.scale == 1 else ["--processes=1", "--values=2", "--warmups=1", "--min-time=0.01"]
    command = [sys.executable, "-m", "benchmarks.micro", "--quiet", "--copy-env", *thorough, "-o", str(file)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for case, values in micro.values(str(file)).items():
        for value in values:
            bench.record("micro", case, "relay_hub", UNIT, value * MICRO)
