"""Runs the Autobahn test suite against `echo.py` and judges what it found; `make autobahn` runs this as a program.

`.ci/autobahn` makes the environment that the suite needs. It speaks over the loopback interface only, and is ended
after PATIENCE seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.autobahn.echo import echoing

WSTEST = Path(__file__).parents[2] / ".venvs/autobahn/wstest"
GROUPS = ("1", "2", "3", "4", "5", "6", "7", "10")
"""9 asks for messages larger than a hub takes; 12 and 13 are about compression, which Relay never agrees to."""
PATIENCE = 120.0
OURS, AIOHTTPS = "Relay's own door", "aiohttp's door, through TLS"
BINARY = ("1.2.*",)
"""What aiohttp's door cannot say back: see `Echo.reject`."""
BEHAVIORS = ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED")


class Case(NamedTuple):
    """One case of the suite, and what it says of how the server behaved and closed."""

    id: str
    behavior: str
    close: str

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]

    @property
    def verdict(self) -> str:
        """One of BEHAVIORS; whoever closes wrongly has failed."""
        well = self.behavior in BEHAVIORS and self.close in ("OK", "INFORMATIONAL")
        return self.behavior if well else "FAILED"


async def judge(folder: Path, groups: Sequence[str] = GROUPS) -> dict[str, list[Case]]:
    """Every case of ``groups`` for each door; the suite's own reports are left in ``folder``."""
    async with asyncio.timeout(PATIENCE), echoing() as (ours, aiohttps), asyncio.TaskGroup() as tasks:
        both = {
            OURS: tasks.create_task(fuzz(folder / "ours", ours, groups)),
            AIOHTTPS: tasks.create_task(fuzz(folder / "aiohttps", aiohttps, groups, leave_out=BINARY)),
        }
    return {name: task.result() for name, task in both.items()}


async def fuzz(folder: Path, url: str, groups: Sequence[str], leave_out: Sequence[str] = ()) -> list[Case]:
    """Run the suite against ``url``; its process is gone when this returns, whatever happened."""
    specification = specify(folder, url, groups, leave_out)
    arguments = (WSTEST, "--mode", "fuzzingclient", "--spec", specification)
    process = await asyncio.create_subprocess_exec(*arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode(errors="replace")
    return found_in(folder)


def specify(folder: Path, url: str, groups: Sequence[str], leave_out: Sequence[str]) -> Path:
    """Write down what the suite is to do, in ``folder``, which is made."""
    folder.mkdir()
    path = folder / "specification.json"
    path.write_text(
        json.dumps(
            {
                "outdir": str(folder),
                "servers": [{"agent": "server", "url": url}],
                "cases": [f"{group}.*" for group in groups],
                "exclude-cases": leave_out,
                "exclude-agent-cases": {},
            }
        )
    )
    return path


def found_in(folder: Path) -> list[Case]:
    """What the suite wrote down, in the order of its numbers."""
    index = json.loads((folder / "index.json").read_text())["server"]
    cases = [Case(number, said["behavior"], said["behaviorClose"]) for number, said in index.items()]
    return sorted(cases, key=lambda case: [int(part) for part in case.id.split(".")])


def summary(cases: Sequence[Case]) -> str:
    """A line for each group, how many cases and how they went; then those that are not plainly OK."""
    lines = ["group  cases" + "".join(f"{behavior:>15}" for behavior in BEHAVIORS)]
    for group in [*dict.fromkeys(case.group for case in cases), "all"]:
        members = [case.verdict for case in cases if group in (case.group, "all")]
        counts = Counter(members)
        lines.append(f"{group:>5}{len(members):>7}" + "".join(f"{counts[behavior]:>15}" for behavior in BEHAVIORS))
    lines += [f"{case.id}: {case.behavior}, closing: {case.close}" for case in cases if case.verdict != "OK"]
    return "\n".join(lines)


def main() -> int:
    with TemporaryDirectory() as folder:
        both = asyncio.run(judge(Path(folder), sys.argv[1:] or GROUPS))
    for name, cases in both.items():
        print(f"{name}\n{summary(cases)}\n")
    return any(case.verdict == "FAILED" for cases in both.values() for case in cases)


if __name__ == "__main__":
    sys.exit(main())
