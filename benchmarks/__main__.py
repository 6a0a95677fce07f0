"""The benchmark harness: ``python -m benchmarks [SCENARIO ...]``; ``--help`` lists what else it does."""

from __future__ import annotations

import sys

from benchmarks.harness.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
