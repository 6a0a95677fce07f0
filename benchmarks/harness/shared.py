"""Counters that a load process writes and the harness reads, in a mapped file: asking costs nothing.

The layout is that of ``load.c``: 64-bit numbers, the first of them named here, then a histogram of nanoseconds with
32 buckets for each power of two.
"""

from __future__ import annotations

import mmap
import struct
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

READY, BYTES, FRAMES, CPU, RESPONSES, ERRORS, CLOSED = range(7)
HISTOGRAM: Final = 8
PER_POWER: Final = 32
SLOTS: Final = HISTOGRAM + 64 * PER_POWER


class Shared:
    """One file of counters. Use it as a context manager."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._file.write(bytes(SLOTS * 8))
        self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), SLOTS * 8)
        self.path = self._file.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()
        self._file.close()

    def __getitem__(self, slot: int) -> int:
        value: int = struct.unpack_from("<Q", self._map, slot * 8)[0]
        return value

    def histogram(self) -> list[int]:
        """All buckets as they are now."""
        return list(struct.unpack_from(f"<{64 * PER_POWER}Q", self._map, HISTOGRAM * 8))


def bucket(nanoseconds: int) -> int:
    """Which bucket a duration falls into."""
    value = max(nanoseconds, PER_POWER)
    power = value.bit_length() - 1
    return power * PER_POWER + ((value >> (power - 5)) & (PER_POWER - 1))


def middle(index: int) -> float:
    """The nanoseconds in the middle of a bucket."""
    power, part = divmod(index, PER_POWER)
    return float(2**power) * (1 + (part + 0.5) / PER_POWER)


def percentiles(before: Sequence[int], after: Sequence[int], wanted: Sequence[float]) -> list[float]:
    """The ``wanted`` percentiles (100 is the maximum) in nanoseconds of what came between two readings.

    Raises ``ValueError`` when nothing came.
    """
    counts = [late - early for early, late in zip(before, after, strict=True)]
    total = sum(counts)
    if not total:
        raise ValueError("no sample came between the two readings")
    found = []
    for percentile in wanted:
        rank, seen = max(1, round(total * percentile / 100)), 0
        for index, count in enumerate(counts):
            seen += count
            if seen >= rank:
                found.append(middle(index))
                break
    return found
