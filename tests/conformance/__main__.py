"""The conformance run: ``python -m tests.conformance [CLIENT ...]``; ``--help`` tells the rest."""

from __future__ import annotations

import sys

from tests.conformance.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
