"""What was measured, with everything needed to judge it: kept as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path
from typing import Final

import msgspec

DIRECTORY: Final = Path(__file__).parents[1] / "results"


class Samples(msgspec.Struct):
    """The rounds of one case for one peer: every single value, and how busy the sinks' core was meanwhile.

    ``case`` says in words what was asked for; ``at`` is its number on the axis of a plot.
    """

    scenario: str
    case: str
    peer: str
    unit: str
    at: float = 0.0
    values: list[float] = []
    sinks_busy: list[float] = []

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.values)

    def ratio(self, other: Samples) -> float | None:
        """How many times ``other``: the middle of the ratios round by round."""
        ratios = [one / two for one, two in zip(self.values, other.values, strict=False) if two]
        return statistics.median(ratios) if ratios else None


class Machine(msgspec.Struct):
    """Where it was measured."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str

    @classmethod
    def this(cls) -> Machine:
        """The machine that this runs on."""
        model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return cls(
            processor=model[0].partition(":")[2].strip() if model else platform.machine(),
            cores=os.cpu_count() or 1,
            memory_gib=round(memory, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
        )


class Results(msgspec.Struct):
    """One run: the machine, the versions, which peer was left out or which scenario broke off and why, the samples.

    ``scale`` below 1 means that every size was smaller than its case says: a look, nothing to quote.
    """

    machine: Machine
    seed: int
    sinks: str
    loop: str
    date: str = ""
    scale: float = 1.0
    versions: dict[str, dict[str, str]] = {}
    titles: dict[str, str] = {}
    skipped: dict[str, str] = {}
    samples: list[Samples] = []

    def of(self, scenario: str, case: str | None = None, peer: str | None = None) -> list[Samples]:
        """The samples of a scenario, of one case or peer where given."""
        return [
            one
            for one in self.samples
            if one.scenario == scenario and case in (None, one.case) and peer in (None, one.peer)
        ]

    def median(self, scenario: str, case: str, peer: str) -> float | None:
        """The middle of one case's rounds, None where it was not measured."""
        found = self.of(scenario, case, peer)
        return found[0].median if found and found[0].values else None

    def ratio(self, scenario: str, case: str, peer: str, other: str, other_case: str | None = None) -> float | None:
        """How many times ``other`` a peer is: the middle of the ratios round by round."""
        mine, theirs = self.of(scenario, case, peer), self.of(scenario, other_case or case, other)
        return mine[0].ratio(theirs[0]) if mine and theirs else None

    def replace(self, fresh: Results) -> None:
        """Take over what ``fresh`` measured anew; other scenarios stay."""
        again = {one.scenario for one in fresh.samples}
        self.samples = [one for one in self.samples if one.scenario not in again] + fresh.samples
        self.machine, self.seed, self.sinks, self.loop = fresh.machine, fresh.seed, fresh.sinks, fresh.loop
        self.date, self.scale = fresh.date, min(self.scale, fresh.scale)
        self.versions |= fresh.versions
        self.titles |= fresh.titles
        known = again | fresh.titles.keys()
        self.skipped = {name: why for name, why in self.skipped.items() if name not in known} | fresh.skipped


def load(path: Path) -> Results:
    """Results from a file."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path) -> None:
    """Results into a file, one line for each bit that can be compared by eye."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
